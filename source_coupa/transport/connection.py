"""Sends one request to a list, once, and says what came of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.sources.streams.call_rate import APIBudget
from airbyte_cdk.sources.streams.http.error_handlers import ErrorHandler, ResponseAction
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from requests.auth import AuthBase

from source_coupa import errors
from source_coupa.query_filter import NO_FILTER, ListFilter
from source_coupa.transport.backpressure import Load, TooMuchHeldError
from source_coupa.transport.clock import Clock
from source_coupa.transport.retry_after import retry_after
from source_coupa.transport.session import LARGEST_LIST, exchange

LONGEST_RESPONSE = 900.0
"""Seconds that the head of a response may take, and its body, however steadily they drip: large
documents take Coupa minutes."""

LARGEST_PAGE = 12_000_000
"""Bytes of a page with several records, unpacked; fewer records are asked for behind it."""

LARGEST_RECORD = LARGEST_LIST
"""Bytes of a page that can hold one record only."""

_SECOND = timedelta(seconds=1)

logger = logging.getLogger("airbyte")


@dataclass(frozen=True)
class Response:
    """A response that is a page or a refused query: 200, 400, or a 404 that is no failure.

    Attributes:
        status: HTTP's.
        body: unpacked.
        began: before Coupa looked at the list, by Coupa's own clock.
        seconds: from the request to the end of the body.
    """

    status: int
    body: bytes
    began: datetime
    seconds: float = 0.0

    @property
    def is_not_found(self) -> bool:
        """Whether there is no such list; a list that has no match says so in its body (page
        0011)."""
        return self.status in (404, 410) and _NO_RESULTS not in self.body.lower()


class RequestFailedError(Exception):
    """A request brought nothing.

    Attributes:
        error: what the user is to read if it stays so.
        is_final: whether it is a setting if it fails from the first request on.
        is_token: whether no token came.
        is_refused_token: whether the token was refused, which is renewed by then.
        too_large: the bytes at which a response was given up because it was too large, else 0.
        is_limit: whether the request limit is used up, which is nobody's fault.
        wait: seconds that Coupa asks to wait; None if it does not.
    """

    def __init__(
        self,
        error: AirbyteTracedException,
        *,
        is_final: bool = False,
        is_token: bool = False,
        is_refused_token: bool = False,
        too_large: int = 0,
        is_limit: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.is_final = is_final
        self.is_token = is_token
        self.is_refused_token = is_refused_token
        self.too_large = too_large
        self.is_limit = is_limit
        self.wait = wait

    @property
    def is_page(self) -> bool:
        """Whether fewer records may come where these did not."""
        return not (self.is_token or self.is_refused_token or self.is_limit)


_T = TypeVar("_T", bound=AuthBase)


class Authenticator(Protocol[_T]):
    """Signs requests to one list."""

    def issue(self) -> _T:
        """A token for one request.

        Raises:
            AirbyteTracedException: why none came.
        """

    def accepted(self, token: _T) -> None:
        """Takes note that Coupa accepted a token."""

    def refused(self, token: _T) -> None:
        """Takes note that Coupa did not accept a token."""

    def not_accepted(self) -> AirbyteTracedException:
        """What to say if no token is accepted."""


class Connection(Protocol):
    """What a list is read with."""

    def get(self, query: Mapping[str, str], load: Load, *, records: int) -> Response:
        """Sends one request for at most so many `records`.

        Raises:
            RequestFailedError: if it brought nothing.
        """


class HttpConnection:
    """A list at its URL. Safe to share between threads.

    Args:
        url: of the list, without a query.
        headers: of each request.
        optional: query parameters of each request, as long as the list takes them: one that sends
            400 with them twice, and not without them, is read without them.
        authenticator: signs requests.
        error_handler: the manifest's; says what a status means.
        session: shared by all lists of a process.
        budget: the request budget of the process.
        timeouts: seconds to connect and to wait for the next bytes.
        clock: the connector's.
        host: for messages.
        resource: for messages, the name of the list under /api/.
        filter: that each request has, as the settings want it.
    """

    def __init__(
        self,
        *,
        url: str,
        headers: Mapping[str, str],
        optional: Mapping[str, str] = MappingProxyType({}),
        authenticator: Authenticator[Any],
        error_handler: ErrorHandler,
        session: requests.Session,
        budget: APIBudget | None,
        timeouts: tuple[float, float],
        clock: Clock,
        host: str,
        resource: str,
        filter: ListFilter = NO_FILTER,
    ) -> None:
        self._url = url
        self._headers = headers
        self._optional = optional
        self._takes_optional = not optional
        self._authenticator = authenticator
        self._error_handler = error_handler
        self._session = session
        self._budget = budget
        self._timeouts = timeouts
        self._clock = clock
        self._host = host
        self._resource = resource
        self._filter = filter

    def get(self, query: Mapping[str, str], load: Load, *, records: int) -> Response:
        """See `Connection`."""
        optional = self._optional
        response = self._send({**query, **optional}, load, records=records)
        if self._takes_optional or not optional:
            return response
        if response.status == requests.codes.bad_request:
            # one refusal may be a blip
            response = self._send({**query, **optional}, load, records=records)
        if response.status == requests.codes.ok:
            self._takes_optional = True
        elif response.status == requests.codes.bad_request:
            response = self._send(query, load, records=records)
            if response.status == requests.codes.ok and self._optional and not self._takes_optional:
                self._optional = {}
                logger.info(
                    f"{self._resource}: Coupa refuses {', '.join(optional)}. The list is read "
                    "without it, and what it adds is missing."
                )
        return response

    def _send(self, query: Mapping[str, str], load: Load, *, records: int) -> Response:
        try:
            token = self._authenticator.issue()
        except AirbyteTracedException as error:
            is_final = error.failure_type == FailureType.config_error
            wait = error.wait if isinstance(error, errors.TransientError) else None
            raise RequestFailedError(error, is_final=is_final, is_token=True, wait=wait) from None
        request = self._session.prepare_request(
            requests.Request(
                "GET",
                self._url,
                params=self._filter.added_to(query),
                headers=dict(self._headers),
                auth=token,
            )
        )
        if self._budget is not None:
            self._budget.acquire_call(request)
        began = self._clock.monotonic()
        try:
            response = exchange(
                self._session,
                request,
                host=self._host,
                timeout=self._timeouts,
                longest=LONGEST_RESPONSE,
                take=partial(self._take, load, LARGEST_PAGE if records > 1 else LARGEST_RECORD),
            )
        except AirbyteTracedException as failure:
            is_final = failure.failure_type == FailureType.config_error
            raise RequestFailedError(failure, is_final=is_final) from None
        load.resize(len(response.content))
        seconds = self._clock.monotonic() - began
        self._judge(token, response)
        moment = self._moment(response, seconds)
        return Response(response.status_code, response.content, moment, seconds)

    def _take(self, load: Load, limit: int, size: int) -> None:
        """Reserves room for a body that has grown to `size`, beyond what was expected."""
        if size > limit:
            raise RequestFailedError(errors.too_large(self._resource, limit), too_large=2 * size)
        if size > load.size:
            try:
                load.resize(2 * size)
            except TooMuchHeldError:
                error = errors.too_large(self._resource, size)
                raise RequestFailedError(error, too_large=2 * size) from None

    def _judge(self, token: AuthBase, response: requests.Response) -> None:
        """Raises RequestFailedError unless the response is a page or a refused query."""
        status, body = response.status_code, response.content
        if status == requests.codes.ok:
            self._authenticator.accepted(token)
        if status in (requests.codes.ok, requests.codes.bad_request):
            return
        if status == requests.codes.unauthorized:
            self._authenticator.refused(token)
            raise RequestFailedError(self._authenticator.not_accepted(), is_refused_token=True)
        if status == requests.codes.not_found and _NO_RESULTS in body.lower():
            return
        resolution = self._error_handler.interpret_response(response)
        if errors.bars_the_way(status, body):
            raise RequestFailedError(errors.in_front_of_coupa(self._host, status), is_final=True)
        if resolution.response_action == ResponseAction.IGNORE:
            return
        error = errors.unexpected_status(self._host, status)
        if resolution.error_message and resolution.failure_type != FailureType.system_error:
            error = AirbyteTracedException(
                message=resolution.error_message,
                internal_message=resolution.error_message,
                failure_type=resolution.failure_type,
            )
        raise RequestFailedError(
            error,
            is_final=resolution.response_action == ResponseAction.FAIL,
            is_limit=status == requests.codes.too_many_requests,
            wait=retry_after(response, self._clock.now()),
        )

    def _moment(self, response: requests.Response, seconds: float) -> datetime:
        """When Coupa began to respond, at the latest, by its own clock if it says."""
        try:
            responded = parsedate_to_datetime(response.headers.get("Date", ""))
        except (TypeError, ValueError, OverflowError):
            responded = self._clock.now()
        if responded.tzinfo is None:
            responded = self._clock.now()
        return responded - timedelta(seconds=seconds) - _SECOND


_NO_RESULTS = b"no results match your search criteria"
"""How Coupa says that a list is empty where it does not send `[]` (page 0011)."""
