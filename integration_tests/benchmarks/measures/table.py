"""The measures by name, in the order in which they are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from integration_tests.benchmarks.result import Result

from . import columns, commands, company, cost, killed, speed, stalled, substreams, sweep, tables
from .plan import Plan

Measure = Callable[[Plan, Result], None]
"""Adds its figures to the result, and what it could not measure to `skipped`."""

MEASURES: Mapping[str, Measure] = {
    "commands": commands.measure,
    "speed": speed.measure,
    "tables": tables.measure,
    "company": company.measure,
    "unchanged": company.measure_unchanged,
    "substreams": substreams.measure,
    "cost": cost.measure,
    "stalled": stalled.measure,
    "killed": killed.measure,
    "sweep": sweep.measure,
    "columns": columns.measure,
}
