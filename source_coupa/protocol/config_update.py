"""Hands settings back to Airbyte that the connector had to change."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airbyte_cdk.config_observation import emit_configuration_as_airbyte_control_message

from source_coupa.protocol import settings_file

logger = logging.getLogger("airbyte")


def hand_back(config: Mapping[str, Any], path: str | None) -> None:
    """Prints the settings as the CONTROL message from which Airbyte stores them, at once and in
    every command, and writes them into the file that they came from, for those who run the
    connector without Airbyte.

    Args:
        config: all settings, secrets included.
        path: the file; None if there is none.
    """
    emit_configuration_as_airbyte_control_message(dict(config))
    if path is None:
        return
    try:
        settings_file.replace(Path(path), json.dumps(config))
    except OSError as error:
        logger.warning(
            f"The renewed sign-in could not be written into {path} ({type(error).__name__}): make "
            "the file writable, or take the settings of the CONTROL message for the next sync."
        )
