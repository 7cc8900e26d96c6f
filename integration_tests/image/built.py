"""Builds the image of this folder on the base that was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .engines import Engine
from .pip_settings import PipSettings
from .stand_in import build_stand_in

ROOT = Path(__file__).resolve().parents[2]

STAND_IN = "stand-in"
"""Asks for the base image that `stand_in` makes."""

TAG = "airbyte/source-coupa:dev"

_STAND_IN_TAG = "localhost/python-connector-stand-in:dev"


@dataclass(frozen=True)
class Built:
    """An image, its base, and the settings that it was built with, by their tags and values."""

    image: str
    base: str
    pip: PipSettings


def build(
    engine: Engine, base: str | None, tag: str = TAG, *, pip: PipSettings | None = None
) -> Built:
    """Builds the image under `tag`, on the base that `Dockerfile` names if none is given, and with
    the settings that pip has on this machine.

    Raises:
        UnavailableError: if this machine cannot make the base that was asked for.
        ImageError: if the image cannot be built.
    """
    if base == STAND_IN:
        build_stand_in(engine, _STAND_IN_TAG)
        base = _STAND_IN_TAG
    pip = pip or PipSettings.of_this_machine()
    engine.build(tag, ROOT, base=base, pip=pip)
    return Built(tag, base or _base_of_the_dockerfile(), pip)


def _base_of_the_dockerfile() -> str:
    [base] = re.findall("^ARG BASE_IMAGE=(.*)$", (ROOT / "Dockerfile").read_text(), re.M)
    return str(base)
