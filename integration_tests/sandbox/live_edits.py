"""Edits that go on while a client reads."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from random import Random

from .instance import Instance
from .request_log import RequestRecord


class LiveEdits:
    """A callback for Sandbox.before_each that changes tables at every resource request.

    `inserts`, `edits` and `deletes` are the weights of the three kinds of change. The ids that were
    touched are in `inserted`, `edited` and `deleted`, by resource.
    """

    def __init__(
        self,
        seed: int,
        per_request: int,
        resources: Sequence[str],
        *,
        inserts: float = 1.0,
        edits: float = 3.0,
        deletes: float = 0.0,
    ) -> None:
        self.inserted: defaultdict[str, set[int]] = defaultdict(set)
        self.edited: defaultdict[str, set[int]] = defaultdict(set)
        self.deleted: defaultdict[str, set[int]] = defaultdict(set)
        self._random = Random(f"{seed}/live edits")
        self._per_request = per_request
        self._resources = list(resources)
        self._weights = (inserts, edits, deletes)
        self._lock = threading.Lock()
        self._count = 0

    def __call__(self, sandbox: Instance, request: RequestRecord) -> None:
        """Make `per_request` changes, each in one of the resources."""
        with self._lock:
            for _ in range(self._per_request):
                self._change(sandbox, self._random.choice(self._resources))

    def _change(self, sandbox: Instance, resource: str) -> None:
        self._count += 1
        table = sandbox.tables[resource]
        (kind,) = self._random.choices(("insert", "edit", "delete"), self._weights)
        with table.lock:
            if kind == "insert" or not len(table):
                self.inserted[resource].add(table.add())
                return
            id = table.id_at(self._random.randrange(len(table)))
            if kind == "delete":
                table.delete(id)
                self.deleted[resource].add(id)
            else:
                table.edit(id, {table.resource.edited_key: f"live edit {self._count}"})
                self.edited[resource].add(id)
