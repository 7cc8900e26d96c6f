"""A Coupa instance for tests: a real HTTP server that behaves like Coupa's Core API.

    with Sandbox(rows={"users": 120, "invoices": 1000}, seed=7) as sandbox:
        run_connector(sandbox.config())
        assert sandbox.tables["invoices"].records() == what_was_read

It has no canned responses: what it says comes from its tables, from Coupa's query language and from
two sets of switches, the Dialect (what Coupa leaves open) and Faults (what can go wrong).
"""

from __future__ import annotations

from .blueprint import Record
from .clients import Client
from .dialect import Dialect, RateLimit, Refusal, interesting_dialects
from .documented import documented_records, payload
from .faults import Fault
from .live_edits import LiveEdits
from .request_log import RequestRecord
from .resources import CUSTOM_OBJECTS, HAND_MADE, RESOURCES, Resource
from .sandbox import Sandbox
from .table import Table

__all__ = [
    "CUSTOM_OBJECTS",
    "HAND_MADE",
    "RESOURCES",
    "Client",
    "Dialect",
    "Fault",
    "LiveEdits",
    "RateLimit",
    "Record",
    "Refusal",
    "RequestRecord",
    "Resource",
    "Sandbox",
    "Table",
    "documented_records",
    "interesting_dialects",
    "payload",
]
