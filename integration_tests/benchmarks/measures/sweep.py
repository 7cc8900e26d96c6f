"""What it costs to look for deleted records in a long list."""

from __future__ import annotations

import json
from typing import Any

from integration_tests.benchmarks import figures
from integration_tests.benchmarks.instance import Instance, started
from integration_tests.benchmarks.readers.source_coupa import STREAM
from integration_tests.benchmarks.result import Result, SweepFigures
from integration_tests.benchmarks.scale import COUPAS_LIMIT
from source_coupa.reading.known_ids import Ids

from .plan import Plan
from .reading import sync

GONE = 100
"""Records that the state knows, and the instance does not."""


def measure(plan: Plan, result: Result) -> None:
    """Lets the connector compare the ids of a long list with those in a state, as fast as it can be
    set, with the latency of every other read."""
    load = plan.scale.swept
    with started(load, latency_ms=plan.scale.latency_ms, rate_limit=False) as instance:
        ids = instance.ids()
        gone = range(ids[-1] + 1, ids[-1] + 1 + GONE)
        done = sync(
            instance,
            [STREAM],
            requests_per_second=COUPAS_LIMIT,
            states={STREAM: _state(instance, [*ids, *gone])},
            deleted_records_every_days=1,
        )
    known = done.messages.states[STREAM]["stream"]["stream_state"]["known_ids"]
    left = Ids.from_text(known["ids"])
    swept = SweepFigures(
        rows=len(ids),
        gone=GONE,
        found=sum(id_ not in left for id_ in gone),
        lost=sum(id_ not in left for id_ in ids),
        requests=len(done.log),
        answer_bytes=sum(request["bytes"] or 0 for request in done.log),
        state_bytes=len(json.dumps(known)),
        seconds=figures.seconds(done.log, done.run.times),
        cpu_seconds=done.run.cpu_seconds,
        peak_memory_mb=done.run.peak_memory_mb,
    )
    result.sweep.append(swept)
    plan.tell(f"{swept.rows:,} ids: {swept.requests:,} requests, {swept.seconds:.0f} s")


def _state(instance: Instance, ids: list[int]) -> dict[str, Any]:
    known = {"ids": Ids.of(ids).text(), "swept_at": "2020-01-01T00:00:00+00:00"}
    state = {"updated_at": instance.newest(), "highest_id": ids[-1], "known_ids": known}
    descriptor = {"name": STREAM}
    return {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": state}}
