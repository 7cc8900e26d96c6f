"""The figures of many scenarios."""

from __future__ import annotations

from collections import Counter

from .player import Outcome

MOST_SHOWN = 20


class Report:
    """Adds up outcomes and keeps those in which a promise was broken."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.broken: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        """Takes up one outcome."""
        self.counts += outcome.counts
        self.faults += outcome.faults
        if outcome.broken:
            self.broken.append(outcome)

    def text(self) -> str:
        """The report as lines of text."""
        lines = [f"{name:28} {self.counts[name]:>12,}" for name in sorted(self.counts)]
        lines += ["", f"{'faults played':28} {self.faults.total():>12,}"]
        lines += [f"  {kind:26} {count:>12,}" for kind, count in sorted(self.faults.items())]
        lines += ["", f"{'scenarios with a loss':28} {len(self.broken):>12,}"]
        for outcome in self.broken[:MOST_SHOWN]:
            lines += [f"  seed {outcome.scenario.seed}: {'; '.join(outcome.broken)}"]
            lines += [f"    {outcome.scenario.as_json()}"]
        return "\n".join(lines)
