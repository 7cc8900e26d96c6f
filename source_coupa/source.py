"""The connector: the manifest, with streams limited to what the OAuth client may read."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from airbyte_cdk.models import (
    AirbyteCatalog,
    AirbyteConnectionStatus,
    AirbyteLogMessage,
    AirbyteMessage,
    AirbyteStateMessage,
    AirbyteStreamStatus,
    ConfiguredAirbyteCatalog,
    FailureType,
    Level,
    Status,
    StreamDescriptor,
    Type,
)
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)
from airbyte_cdk.sources.declarative.models.declarative_component_schema import HTTPAPIBudget
from airbyte_cdk.utils.stream_status_utils import as_airbyte_message as status_message
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from airbyte_cdk.utils.yaml_loader import safe_load_yaml

from source_coupa import errors
from source_coupa.config import CoupaConfig
from source_coupa.oauth import shared_store, token_store
from source_coupa.oauth.scope_gate import ScopeGate
from source_coupa.protocol import settings_file
from source_coupa.protocol.catalog import describe, schema_of
from source_coupa.protocol.config_update import hand_back
from source_coupa.protocol.failure_report import reported_once
from source_coupa.protocol.files import read_json, read_settings
from source_coupa.protocol.heartbeat import every
from source_coupa.protocol.state import AHEAD, bookmarks
from source_coupa.query_filter import ListFilter
from source_coupa.reading.field_selection import FieldSelection
from source_coupa.reading.id_ranges import PAGE_SIZE
from source_coupa.reading.sweep import Sweep
from source_coupa.streams import StreamRow, additional_streams, filters_of, stream_rows
from source_coupa.tables.discovery import look_at, with_columns
from source_coupa.tables.fan_out import TICK, FanOut
from source_coupa.tables.plan import ListPlan, plan
from source_coupa.transport.instance import instance_of
from source_coupa.transport.session import PARALLEL_REQUESTS

MANIFEST = Path(__file__).parent / "manifest.yaml"

CHECK_SECONDS = 50.0
"""By then `check` has a result, whatever Coupa does: its first responses can take many seconds."""

LOOK_SECONDS = 20.0
"""By then `discover` has looked at the records of all lists, or leaves them."""

SECONDS_PER_TICK = 20.0
"""From one look at how long nothing was printed to the next."""

_DISCOVER_RETRY_WAITS = (1.0, 2.0, 5.0)

NO_STREAMS = ConfiguredAirbyteCatalog(streams=[])

_T = TypeVar("_T")


class SourceCoupa(ConcurrentDeclarativeSource):
    """Coupa as an Airbyte source."""

    def __init__(
        self,
        catalog: ConfiguredAirbyteCatalog | None = None,
        config: Mapping[str, Any] | None = None,
        state: list[AirbyteStateMessage] | None = None,
        config_path: str | None = None,
    ) -> None:
        """The CDK reads settings and state when a source is made, not when it is used.

        Args:
            catalog: the configured catalog, for `read`. The CDK gets to know only its streams,
                all streams without one: to build those takes it seconds.
            config: the settings as the user entered them; None for `spec`.
            state: the state messages to go on from.
            config_path: where settings that the manifest migrates are written back. A file that
                is mounted into a container often cannot be written; they then are only printed.
        """
        self._config_path = config_path
        self._manifest = safe_load_yaml(MANIFEST.read_text(encoding="utf-8"))
        self._own_rows = stream_rows(self._manifest)
        # wrong ones are refused before anything is done with them
        with suppress(AirbyteTracedException):
            self._manifest["streams"] = [
                *self._manifest["streams"],
                *additional_streams(CoupaConfig.additional_lists_of(config or {}), self._own_rows),
            ]
        self._rows = stream_rows(self._manifest)
        selected = catalog and {configured.stream.name for configured in catalog.streams}
        super().__init__(
            catalog=catalog,
            config=config,
            state=state,
            source_config={
                **self._manifest,
                "streams": [
                    stream
                    for stream in self._manifest["streams"]
                    if selected is None or stream["$parameters"]["name"] in selected
                ],
            },
            config_path=config_path if config_path and os.access(config_path, os.W_OK) else None,
        )
        self._definitions = {stream["name"]: stream for stream in self.resolved_manifest["streams"]}

    @staticmethod
    def read_config(config_path: str) -> dict[str, Any]:
        """See `read_settings`."""
        return read_settings(config_path)

    @classmethod
    def read_catalog(cls, catalog_path: str) -> ConfiguredAirbyteCatalog:
        """The configured catalog in a file.

        Raises:
            AirbyteTracedException: `config_error` if it holds none.
        """
        try:
            return super().read_catalog(catalog_path)
        except ValueError:
            # the CDK's words show what is in the file
            raise errors.config_error(
                f"The file {catalog_path} holds no configured catalog: pass one with the streams "
                "to read, each with its sync mode and destination sync mode."
            ) from None

    @staticmethod
    def _read_json_file(file_path: str) -> Any:
        return read_json(file_path)

    def _migrate_and_transform_config(
        self, config_path: str | None, config: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        """Replaces the file of the settings, which the CDK would empty before it writes."""
        migrated = super()._migrate_and_transform_config(None, config)
        if config_path and migrated is not None and migrated != config:
            # the CONTROL message has them too
            with suppress(OSError):
                settings_file.replace(Path(config_path), json.dumps(migrated))
        return migrated

    def configure(self, config: Mapping[str, Any], temp_dir: str) -> Mapping[str, Any]:
        """Checks the settings before the CDK does, whose messages name no field.

        A setting that is null counts as left out, for which the CDK's check has no understanding.

        Raises:
            AirbyteTracedException: `config_error` saying which setting is wrong.
        """
        if not self._config:
            config = self._migrate_and_transform_config(self._config_path, config) or config
        configured = super().configure(config, temp_dir)
        settings = CoupaConfig.parse(configured)
        self._filters(settings)
        entered = _without_nulls(configured)
        if settings.credentials is None:
            entered.pop("credentials", None)
        return entered

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Proves within `CHECK_SECONDS` that at least one stream can be read, or says why not."""
        try:
            source = self._for(config)
            if source is not self:
                return source.check(logger, source._config)
            within(CHECK_SECONDS, lambda: self._check_access(logger))
        except AirbyteTracedException as error:
            return AirbyteConnectionStatus(status=Status.FAILED, message=error.message)
        except TimeoutError:
            host = CoupaConfig.parse(self._config).host
            message = (
                f"{host} is slow and did not finish its responses within {CHECK_SECONDS:.0f} "
                "seconds: try again later, this says nothing against the settings."
            )
            return AirbyteConnectionStatus(status=Status.FAILED, message=message)
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def discover(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteCatalog:
        """The catalog of the streams that the OAuth client may read.

        Raises:
            AirbyteTracedException: if that cannot be found out; a stream is never left out for
                another reason than a refused scope.
        """
        source = self._for(config)
        if source is not self:
            return source.discover(logger, source._config)
        gate = self._gate(_DISCOVER_RETRY_WAITS)
        opened = gate.open_streams()
        self._log_closed_streams(logger, {stream.name for stream in opened})
        seen = look_at(
            opened,
            lambda stream: gate.newest(stream, PAGE_SIZE),
            seconds=LOOK_SECONDS,
            parallel=PARALLEL_REQUESTS,
        )
        marks_deleted = CoupaConfig.parse(self._config).deleted_records_every_days > 0
        return AirbyteCatalog(
            streams=[
                with_columns(describe(stream), stream, seen, marks_deleted=marks_deleted)
                for stream in opened
            ]
        )

    def read(
        self,
        logger: logging.Logger,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog,
        state: list[AirbyteStateMessage] | None = None,
    ) -> Iterator[AirbyteMessage]:
        """The messages of a sync; a stream that fails does not keep others from completing.

        Raises:
            AirbyteTracedException: at the end if a stream failed, or at once if a state is not one
                of this connector.
        """
        source = self._for(config, catalog, state)
        if source is not self:
            yield from source.read(logger, source._config, catalog, state)
            return
        rows = [row for row in self._rows if row.name in self._definitions]
        known = {row.name for row in rows}
        settings = CoupaConfig.parse(self._config)
        _refuse_start_ahead(settings)
        instance = instance_of(settings)
        clock = instance.clock
        states = bookmarks(state or [], rows, clock.now())
        schemas = {row.name: schema_of(row) for row in rows}
        plans = plan(catalog, states, rows, schemas, settings, self._filters(settings))
        unknown = [
            message
            for configured in catalog.streams
            if (name := configured.stream.name) not in known
            for message in _failed(errors.unknown_stream(name), name)
        ]
        self.resolved_manifest["streams"][:] = [
            self._list_definition(
                list_plan,
                list_plan.selection(schemas),
                list_plan.sweep(clock.now(), settings.deleted_records_every_days),
            )
            for list_plan in plans
        ]
        # the CDK logs lists as streams; the fan-out logs streams
        self.logger.setLevel(logging.WARNING)
        streams = self.streams(config)
        messages = self._concurrent_source.read(streams) if streams else ()
        fan_out = FanOut(plans, clock, instance.scheduler.traffic)
        with every(SECONDS_PER_TICK, self._tick):
            yield from reported_once(chain(unknown, fan_out.messages(messages)))

    def _for(
        self,
        config: Mapping[str, Any],
        catalog: ConfiguredAirbyteCatalog = NO_STREAMS,
        state: list[AirbyteStateMessage] | None = None,
    ) -> SourceCoupa:
        """This source, or one for `config` if this one was made with other settings or none.

        Raises:
            AirbyteTracedException: `config_error` saying which setting is wrong.
        """
        if self._config:
            with suppress(AirbyteTracedException):
                if CoupaConfig.parse(config) == CoupaConfig.parse(self._config):
                    return self
        source = SourceCoupa(catalog, config, state, self._config_path)
        CoupaConfig.parse(source._config)
        return source

    def streams(self, config: Mapping[str, Any]) -> list[Any]:
        """The streams of the manifest; while a read goes on, one for each list.

        One without its scope fails when it is read, by name.
        """
        settings = CoupaConfig.parse(self._config)
        store = shared_store(settings)
        store.scopes, store.keep = self._scopes(), self._keep_sign_in
        store.needs = [
            scopes
            for stream in self._rows
            if stream.name in self._definitions
            for scopes in stream.needs
        ]
        return super().streams(config)

    def _list_definition(
        self, list_plan: ListPlan, selection: FieldSelection | None, sweep: Sweep | None
    ) -> dict[str, Any]:
        """The manifest's definition of one of a list's streams, as the CDK is to read the list."""
        definition = self._definitions[list_plan.tables[0].name]
        whole = {key: value for key, value in definition.items() if key != "incremental_sync"}
        retriever = {
            **definition["retriever"],
            "name": list_plan.name,
            "wanted": list_plan.wanted(),
            "selection": selection,
            "filter": list_plan.filter,
            "sweep": sweep,
        }
        return {**whole, "name": list_plan.name, "retriever": retriever}

    def _tick(self) -> None:
        tick = AirbyteLogMessage(level=Level.INFO, message=TICK)
        self._message_repository.emit_message(AirbyteMessage(type=Type.LOG, log=tick))

    def _check_access(self, logger: logging.Logger) -> None:
        _refuse_start_ahead(CoupaConfig.parse(self._config))
        gate = self._gate(())
        opened = gate.open_streams()
        self._log_closed_streams(logger, {stream.name for stream in opened})
        self._check_any_list(logger, gate, opened)
        self._check_named_lists(gate, opened)

    def _check_any_list(
        self, logger: logging.Logger, gate: ScopeGate, opened: list[StreamRow]
    ) -> None:
        """Raises unless a list can be read."""
        first_of_list: dict[str, StreamRow] = {}
        for stream in opened:
            first_of_list.setdefault(stream.resource, stream)
        is_refused, passing, failure = False, 0, None
        for stream in first_of_list.values():
            try:
                if gate.can_read(stream):
                    return
                is_refused = True
                reason = "Coupa refuses access although its scope is granted."
            except AirbyteTracedException as error:
                passing += error.failure_type == FailureType.transient_error
                if passing > 1:
                    # one list can be ill, two are the host
                    raise
                failure, reason = error, error.message or ""
            logger.warning(f"Stream {stream.name} cannot be read: {reason}")
        if is_refused or failure is None:
            # other lists may fail because the instance does not offer them
            failure = gate.refused(errors.access_refused(stream.name for stream in opened))
        raise failure

    def _check_named_lists(self, gate: ScopeGate, opened: list[StreamRow]) -> None:
        """Raises what is wrong with filters and additional lists, of all of them together."""
        settings = CoupaConfig.parse(self._config)
        filtered = self._filters(settings)
        additional = {entry.name for entry in settings.additional_lists}
        wrong: list[AirbyteTracedException] = []
        for stream in self._rows:
            is_filtered = stream.is_main and stream.resource in filtered
            if not is_filtered and stream.name not in additional:
                continue
            try:
                if stream in opened:
                    gate.try_settings(stream)
                elif stream.name in additional:
                    raise errors.closed_list(stream.name, stream.scopes)
            except AirbyteTracedException as error:
                if error.failure_type == FailureType.transient_error:
                    raise
                wrong.append(error)
        if wrong:
            raise errors.config_error(" ".join(error.message or "" for error in wrong))

    def _gate(self, retry_waits: tuple[float, ...]) -> ScopeGate:
        settings = CoupaConfig.parse(self._config)
        store = token_store(settings, self._scopes(), retry_waits=retry_waits)
        store.keep = self._keep_sign_in
        budget = self._constructor.create_component(
            HTTPAPIBudget, self.resolved_manifest["api_budget"], self._config
        )
        return ScopeGate(store, self._rows, budget, self._filters(settings))

    def _filters(self, settings: CoupaConfig) -> dict[str, ListFilter]:
        """What the settings ask of lists, by the list's name.

        Raises:
            AirbyteTracedException: `config_error` if a filter or an additional list has a name that
                it cannot have.
        """
        additional = additional_streams(settings.additional_lists, self._own_rows)
        rows = stream_rows({**self._manifest, "streams": additional})
        return filters_of(settings.filters, [*self._own_rows, *rows])

    def _keep_sign_in(self, renewed: Mapping[str, str]) -> None:
        credentials = {**self._config["credentials"], **renewed}
        hand_back({**self._config, "credentials": credentials}, self._config_path)

    def _scopes(self) -> tuple[str, ...]:
        needs = (scopes for stream in self._rows for scopes in stream.needs)
        return tuple(dict.fromkeys(chain.from_iterable(needs)))

    def _log_closed_streams(self, logger: logging.Logger, opened: set[str]) -> None:
        has_signed_in = CoupaConfig.parse(self._config).credentials is not None
        for stream in self._rows:
            if stream.name in opened:
                continue
            needs = " and ".join(" or ".join(scopes) for scopes in stream.needs)
            if has_signed_in:
                logger.warning(
                    f"Stream {stream.name} is not available: the sign-in lacks the scope {needs}, "
                    "or its user may not read this list."
                )
            else:
                logger.warning(
                    f"Stream {stream.name} is not available: the OAuth client lacks the scope "
                    f"{needs}."
                )


def _refuse_start_ahead(settings: CoupaConfig) -> None:
    """Raises a `config_error` if no record could be new enough to come."""
    now = instance_of(settings).clock.now()
    if settings.start_date is not None and settings.start_date > now + AHEAD:
        raise errors.start_date_ahead()


def _failed(error: AirbyteTracedException, stream: str) -> tuple[AirbyteMessage, AirbyteMessage]:
    descriptor = StreamDescriptor(name=stream)
    status = status_message(descriptor, AirbyteStreamStatus.INCOMPLETE)
    return error.as_airbyte_message(descriptor), status


def _without_nulls(config: Mapping[str, Any]) -> dict[str, Any]:
    def cleared(value: Any) -> Any:
        if isinstance(value, list):
            return [cleared(item) for item in value]
        return _without_nulls(value) if isinstance(value, Mapping) else value

    return {key: cleared(value) for key, value in config.items() if value is not None}


def within(seconds: float, function: Callable[[], _T]) -> _T:
    """The result of `function`, or its exception, or TimeoutError if it takes longer."""
    outcome: list[_T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:
            failure.append(error)

    worker = threading.Thread(target=run, name="check", daemon=True)
    worker.start()
    worker.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise TimeoutError
    return outcome[0]
