"""How long to wait before a refused request is sent again."""

# without `from __future__ import annotations`: on Python 3.10 the CDK cannot read InitVar as text

import math
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from airbyte_cdk.sources.declarative.requesters.error_handlers.backoff_strategy import (
    BackoffStrategy,
)

from source_coupa import errors
from source_coupa.config import CoupaConfig
from source_coupa.transport.circuit_breaker import shared_outages
from source_coupa.transport.scheduler import shared_fetchers

LONGEST_WAIT = 600.0
"""Seconds; a Retry-After beyond it ends the stream, the next sync goes on from its state."""


@dataclass
class SharedBackoff(BackoffStrategy):
    """Waits 2, 4, 8 ... seconds, or what Retry-After says, but no less than a quarter of these;
    after a 429, everyone waits.

    Coupa documents neither what it answers above its request limit nor a Retry-After header.
    Workers that went on while one waits would keep the limit used up.
    """

    config: Mapping[str, Any]
    parameters: InitVar[Mapping[str, Any]]

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        config = CoupaConfig.parse(self.config)
        self._host = config.host
        self._fetchers = shared_fetchers(config)
        self._outages = shared_outages(config)

    def backoff_time(
        self,
        response_or_exception: requests.Response | requests.RequestException | None,
        attempt_count: int,
    ) -> float:
        """Seconds to wait after the attempt `attempt_count`, counted from 1.

        Raises:
            AirbyteTracedException: `transient_error` if Coupa asks for too long a wait, or if
                other requests already waited in vain for a host that is down.
        """
        answer = response_or_exception
        is_down = not isinstance(answer, requests.Response) or errors.is_unavailable(answer)
        if is_down and self._outages.is_likely:
            raise errors.given_up(self._host)
        wait = float(2**attempt_count)
        if isinstance(answer, requests.Response):
            asked = retry_after(answer)
            if asked is not None and asked > LONGEST_WAIT:
                raise errors.wait_too_long(self._host, asked)
            # where it asks for a second or none each time, all attempts would be over at once
            wait = wait if asked is None else max(asked, wait / 4)
            if answer.status_code == requests.codes.too_many_requests:
                self._fetchers.pause(wait)
        return wait


def retry_after(response: requests.Response) -> float | None:
    """The seconds of a Retry-After header in either of its forms, None without a valid one."""
    value = response.headers.get("Retry-After", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        seconds = (moment - datetime.now(timezone.utc)).total_seconds()
    return max(seconds, 0.0) if math.isfinite(seconds) else None
