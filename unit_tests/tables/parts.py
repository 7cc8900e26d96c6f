"""Invoices as a list of three tables, planned and fanned out without a source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from airbyte_cdk.models import (
    AirbyteLogMessage,
    AirbyteMessage,
    AirbyteRecordMessage,
    AirbyteStreamStatus,
    FailureType,
    Level,
    StreamDescriptor,
    SyncMode,
    Type,
)
from airbyte_cdk.test.catalog_builder import CatalogBuilder
from airbyte_cdk.utils.stream_status_utils import as_airbyte_message as status_message
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa.config import CoupaConfig
from source_coupa.reading.bookmark import Bookmark
from source_coupa.reading.pages import Page
from source_coupa.records.fields import JsonRecord
from source_coupa.streams import StreamRow
from source_coupa.tables.fan_out import PAGE, TICK, FanOut
from source_coupa.tables.plan import ListPlan, plan
from source_coupa.transport.clock import Clock
from source_coupa.transport.scheduler import Traffic
from unit_tests.reading.fake_list import InstantClock

BEGAN = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)

STREAMS = (
    StreamRow("invoices", "invoices", ("s",), cursor_field="updated_at"),
    StreamRow(
        "invoice_lines",
        "invoices",
        ("s",),
        rows="invoice-lines",
        parent="invoice",
        cursor_field="invoice_updated_at",
    ),
    StreamRow(
        "invoice_taxes",
        "invoices",
        ("s",),
        rows="invoice-lines.tax-lines",
        parent="invoice",
        cursor_field="invoice_updated_at",
    ),
    StreamRow("currencies", "currencies", ("s",)),
    StreamRow("user_addresses", "users", ("s",), nested="addresses", parent="user"),
)

SCHEMAS: Mapping[str, Any] = {
    stream.name: {
        "properties": {
            name: {"type": ["null", "string"]} for name in ("id", "updated_at", "number", "status")
        }
        | {"lines": {"type": ["null", "array"]}}
    }
    for stream in STREAMS
}

SETTINGS = {
    "instance_url": "https://acme.coupahost.com",
    "client_id": "i",
    "client_secret": "s",
    "lookback_window_hours": 0,
}


def at(day: int, month: int = 6) -> str:
    return f"2026-{month:02}-{day:02}T00:00:00Z"


def moment(day: int, month: int = 6) -> datetime:
    return datetime(2026, month, day, tzinfo=timezone.utc)


def invoice(id_: int, updated_at: str | None, **fields: Any) -> JsonRecord:
    """An invoice with two lines, as the reader hands it on."""
    lines = [{"id": 10 * id_ + n, "tax_lines": [{"id": 100 * id_ + n}]} for n in (1, 2)]
    return {"id": id_, "updated_at": updated_at, "invoice_lines": lines, **fields}


def planned(
    modes: Mapping[str, SyncMode] | Sequence[str],
    states: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    **settings: Any,
) -> list[ListPlan]:
    """The plan for streams, incremental ones unless `modes` says otherwise.

    Args:
        modes: of the streams by name, or their names.
        states: of streams, by name.
        columns: those that are selected, by stream.
        settings: changes of the settings.
    """
    if not isinstance(modes, Mapping):
        modes = dict.fromkeys(modes, SyncMode.incremental)
    builder = CatalogBuilder()
    for name, mode in modes.items():
        builder = builder.with_stream(name, mode)
    catalog = builder.build()
    for configured in catalog.streams:
        names = (columns or {}).get(configured.stream.name, ())
        configured.stream.json_schema = {"properties": {name: {} for name in names}}
    cursors = {stream.name: stream.cursor_field or "no_cursor" for stream in STREAMS}
    bookmarks = {
        name: Bookmark.from_state(state, cursors[name]) for name, state in (states or {}).items()
    }
    config = CoupaConfig.parse({**SETTINGS, **settings})
    return plan(catalog, bookmarks, STREAMS, SCHEMAS, config)


@dataclass
class Sync:
    """What a sync said.

    Attributes:
        messages: all of them.
    """

    messages: list[AirbyteMessage] = field(default_factory=list)

    def ids(self, stream: str) -> list[int]:
        """The ids of a stream's rows, in their order."""
        return [row["id"] for row in self.rows(stream)]

    def rows(self, stream: str) -> list[JsonRecord]:
        """The rows of a stream."""
        return [m.record.data for m in self.messages if m.record and m.record.stream == stream]

    def states(self, stream: str) -> list[dict[str, Any]]:
        """The states of a stream, in their order."""
        found = [m.state.stream for m in self.messages if m.state and m.state.stream]
        return [
            dict(vars(state.stream_state))
            for state in found
            if state.stream_descriptor.name == stream
        ]

    def statuses(self, stream: str) -> list[str]:
        """The statuses of a stream, in their order."""
        found = [m.trace.stream_status for m in self.messages if m.trace and m.trace.stream_status]
        return [s.status.value for s in found if s.stream_descriptor.name == stream]

    def errors(self, stream: str) -> list[str]:
        """The messages of a stream's errors."""
        found = [m.trace.error for m in self.messages if m.trace and m.trace.error]
        return [
            error.message
            for error in found
            if error.stream_descriptor and error.stream_descriptor.name == stream
        ]


def page_message(name: str, page: Page) -> AirbyteMessage:
    """A page as the CDK prints it."""
    record = AirbyteRecordMessage(stream=name, data={PAGE: page}, emitted_at=1)
    return AirbyteMessage(type=Type.RECORD, record=record)


def page_of(*records: JsonRecord, after: int = 0, until: int | None = None) -> Page:
    """A page that covers the ids of its records, or those that are given."""
    end = until if until is not None else max((r["id"] for r in records), default=after)
    return Page(records=list(records), began=BEGAN, covers=(after, end))


def tick() -> AirbyteMessage:
    return AirbyteMessage(type=Type.LOG, log=AirbyteLogMessage(level=Level.INFO, message=TICK))


def said_of(name: str, *pages: Page, error: str | None = None) -> list[AirbyteMessage]:
    """What the CDK says of a list: to its end, or to an error behind these pages."""
    descriptor = StreamDescriptor(name=name)
    messages = [status_message(descriptor, AirbyteStreamStatus.STARTED)]
    if pages:
        messages.append(status_message(descriptor, AirbyteStreamStatus.RUNNING))
    messages += [page_message(name, page) for page in pages]
    if error is None:
        last = Page(began=BEGAN, is_last=True)
        return [
            *messages,
            page_message(name, last),
            status_message(descriptor, AirbyteStreamStatus.COMPLETE),
        ]
    failure = AirbyteTracedException(message=error, failure_type=FailureType.transient_error)
    return [
        *messages,
        failure.as_airbyte_message(descriptor),
        status_message(descriptor, AirbyteStreamStatus.INCOMPLETE),
    ]


def fanned_out(
    plans: Sequence[ListPlan],
    messages: Iterable[AirbyteMessage],
    clock: Clock | None = None,
    traffic: Traffic | None = None,
) -> Sync:
    """The messages of the tables."""
    return Sync(
        list(FanOut(plans, clock or InstantClock(), traffic or Traffic(20)).messages(messages))
    )


def synced(plans: Sequence[ListPlan], *pages: Page, error: str | None = None) -> Sync:
    """A sync of the one list of a plan."""
    (list_plan,) = plans
    return fanned_out(plans, said_of(list_plan.name, *pages, error=error))
