"""One sync of the connector."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from integration_tests.benchmarks.instance import Instance
from integration_tests.benchmarks.process import Run, Trouble, run
from integration_tests.benchmarks.readers.source_coupa import Messages, command_reading


@dataclass(frozen=True)
class Sync:
    """What a sync did, what it printed, and what the instance was asked for it."""

    run: Run
    messages: Messages
    log: Sequence[Mapping[str, Any]]


def sync(
    instance: Instance,
    streams: Sequence[str],
    *,
    requests_per_second: int,
    states: Mapping[str, Any] | None = None,
    trouble: Trouble | None = None,
    **settings: Any,
) -> Sync:
    """Lets the connector read streams whole, from the states of an earlier sync.

    Raises:
        BenchmarkError: if it fails.
    """
    messages = Messages()
    instance.requests(clear=True)
    config = {**instance.config, "requests_per_second": requests_per_second, **settings}
    with tempfile.TemporaryDirectory() as folder:
        command = command_reading(dict.fromkeys(streams, ()), config, Path(folder), states)
        done = run(command, messages, trouble=trouble)
    return Sync(done, messages, instance.requests()["requests"])
