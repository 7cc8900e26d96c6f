"""Which scopes the OAuth client holds, and so which streams exist for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import orjson
import requests
from airbyte_cdk.sources.streams.call_rate import APIBudget
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from source_coupa import errors
from source_coupa.oauth import Token, TokenStore
from source_coupa.query_filter import NO_FILTER, ListFilter
from source_coupa.records.fields import UPDATED_AT, JsonRecord
from source_coupa.streams import ADDITIONAL_SCHEMA, StreamRow
from source_coupa.transport.session import PARALLEL_REQUESTS, new_session, send

_WARM_UP_POLL = 1.5
_ONE_RECORD = MappingProxyType({"limit": "1"})
_SOME_RECORDS = MappingProxyType({"limit": "10"})
_HAS_TIME = frozenset({UPDATED_AT, UPDATED_AT.replace("_", "-")})


class ScopeGate:
    """Finds which streams an OAuth client may read.

    A stream is closed only on an explicit refusal of its scopes; every other failure is raised, for
    a stream that is missing from `discover` for a moment would be dropped from connections.
    """

    def __init__(
        self,
        store: TokenStore,
        streams: list[StreamRow],
        budget: APIBudget | None,
        filters: Mapping[str, ListFilter] = MappingProxyType({}),
    ) -> None:
        self._store = store
        self._streams = streams
        self._budget = budget
        self._filters = filters
        self._session = new_session()
        self._refusals: set[bool] = set()

    def open_streams(self) -> list[StreamRow]:
        """The streams that the client may read, in the manifest's order.

        Raises:
            AirbyteTracedException: if the client may read nothing, or if it cannot be found out.
        """
        held = self._store.held(self._budget)
        if held:
            return [stream for stream in self._streams if stream.is_open_to(held)]
        possible = self._store.possible_scopes
        streams = [stream for stream in self._streams if stream.is_open_to(possible)]
        lists = {_list_of(stream): stream for stream in streams}
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            may_read = dict(zip(lists, pool.map(self._is_open, lists.values()), strict=True))
        found = set(may_read.values())
        if True in found or found == {None}:
            # a list that the instance does not offer hides nothing, but opens nothing either
            return [stream for stream in streams if may_read[_list_of(stream)] is not False]
        if self._store.forget_stored():
            return self.open_streams()
        raise self.refused(self._store.nothing_to_read())

    def can_read(self, stream: StreamRow) -> bool:
        """Reads one record's worth of a stream; False if Coupa refuses access to it.

        Raises:
            AirbyteTracedException: on any other response than a JSON list.
        """
        return self._may_read(stream, self._first_page(stream))

    def newest(self, stream: StreamRow, records: int) -> list[JsonRecord]:
        """The newest records of a stream's list, at most so many.

        Raises:
            AirbyteTracedException: if there is no JSON list of objects.
        """
        query = {"order_by": "id", "dir": "desc", "limit": str(records)}
        response = self._first_page(stream, self._filter_of(stream).added_to(query))
        host = self._store.config.host
        if response.status_code != 200:
            raise errors.unexpected_status(host, response.status_code)
        page = orjson.loads(response.content) if _is_json_list(response) else None
        if page is None or not all(isinstance(record, dict) for record in page):
            raise errors.not_coupa(host, f"/api/{stream.resource} gives no JSON list")
        return list(page)

    def try_settings(self, stream: StreamRow) -> None:
        """Asks for some records of a list as the settings want them.

        Raises:
            AirbyteTracedException: `config_error` if Coupa refuses a filter, does not apply it, or
                does not have the list, or if its records lack what the connector needs.
        """
        filter_ = self._filter_of(stream)
        response = self._first_page(stream, filter_.added_to(_SOME_RECORDS))
        if response.status_code == 400:
            raise errors.refused_setting(stream.name, errors.stated(response.content))
        if response.status_code in (404, 410):
            raise errors.no_such_setting(stream.resource, stream.name)
        if response.status_code == 200 and not _is_json_list(response):
            raise errors.no_list(stream.resource, stream.name)
        if not self._may_read(stream, response):
            raise errors.access_refused([stream.name])
        records = [item for item in orjson.loads(response.content) if isinstance(item, dict)]
        for id_ in [] if stream.shape else [record.get("id") for record in records]:
            if id_ is None:
                raise errors.trimmed(stream.resource, "id")
            if not isinstance(id_, int) or isinstance(id_, bool):
                raise errors.odd_id(stream.resource)
        if (
            records
            and stream.cursor_field
            and not any(_HAS_TIME.intersection(record) for record in records)
        ):
            if stream.schema_file == ADDITIONAL_SCHEMA:
                raise errors.without_update_times(stream.resource, stream.name)
            raise errors.trimmed(stream.resource, UPDATED_AT)
        if (found := filter_.contradicted_by(records)) is not None:
            condition, record = found
            raise errors.user_filter_ignored(stream.resource, condition.name, record.get("id"))

    def refused(self, failure: AirbyteTracedException) -> AirbyteTracedException:
        """What to say where no list could be read: `failure`, unless each refusal was a web page,
        which something in front of Coupa sends."""
        if self._refusals == {True}:
            return errors.in_front_of_coupa(self._store.config.host, 403)
        return failure

    def _filter_of(self, stream: StreamRow) -> ListFilter:
        return self._filters.get(stream.resource, NO_FILTER)

    def _is_open(self, stream: StreamRow) -> bool | None:
        """As `can_read`, but None for a list that the instance does not offer, or not like this."""
        response = self._first_page(stream)
        is_odd = response.status_code in (400, 404, 410)
        return None if is_odd else self._may_read(stream, response)

    def _first_page(
        self, stream: StreamRow, query: Mapping[str, str] = _ONE_RECORD
    ) -> requests.Response:
        token = self._store.token(stream.needs[-1], self._budget)
        response = self._get(stream, token, query)
        while response.status_code == 401 and token.may_be_too_fresh:
            time.sleep(_WARM_UP_POLL)
            response = self._get(stream, token, query)
        if response.status_code == 200:
            token.accepted()
        return response

    def _may_read(self, stream: StreamRow, response: requests.Response) -> bool:
        if response.status_code in (401, 403):
            self._refusals.add(errors.bars_the_way(response.status_code, response.content))
            return False
        host = self._store.config.host
        if (failure := errors.refusal(host, response)) is not None:
            raise failure
        if response.status_code != 200:
            raise errors.not_coupa(
                host, f"/api/{stream.resource} gives HTTP {response.status_code}"
            )
        if not _is_json_list(response):
            raise errors.not_coupa(host, f"/api/{stream.resource} gives no JSON list")
        return True

    def _get(self, stream: StreamRow, token: Token, query: Mapping[str, str]) -> requests.Response:
        config = self._store.config
        request = requests.Request(
            "GET",
            f"{config.instance_url}/api/{stream.resource}",
            params=query,
            headers={"Accept": "application/json"},
            auth=token,
        )
        return send(self._session, request, config=config, budget=self._budget)


def _list_of(stream: StreamRow) -> tuple[str, tuple[str, ...]]:
    """What is asked to see whether a stream can be read: many streams come from one list."""
    return stream.resource, stream.needs[-1]


def _is_json_list(response: requests.Response) -> bool:
    try:
        return isinstance(orjson.loads(response.content), list)
    except orjson.JSONDecodeError:
        return False
