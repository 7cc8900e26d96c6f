"""Ends responses that drip. Timeouts of requests count from one byte to the next: a response
could go on for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.connection import HTTPConnection


def limit_heads(session: requests.Session, seconds: float, *, connections: int = 10) -> None:
    """Lets the requests of a session fail with a ReadTimeout if the head of a response (its status
    and headers) is not complete in time. Keeps up to so many `connections` to a host."""
    for prefix in list(session.adapters):
        session.mount(prefix, _HeadsInTime(seconds, connections))


class _HeadsInTime(HTTPAdapter):
    def __init__(self, seconds: float, connections: int) -> None:
        super().__init__(pool_connections=connections, pool_maxsize=connections)
        self._seconds = seconds

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        assert isinstance(pool, HTTPConnectionPool)
        pool.ConnectionCls = _in_time(type(pool).ConnectionCls, self._seconds)
        return pool


@cache
def _in_time(connection: type[HTTPConnection], seconds: float) -> type[HTTPConnection]:
    """A kind of connection whose responses begin in time."""

    class InTime(connection):  # type: ignore[valid-type, misc]
        def getresponse(self) -> HTTPResponse:
            with over_after(seconds, lambda: _shut(self.sock)) as is_over:
                response: HTTPResponse = super().getresponse()
            if is_over():
                # an end of the connection looks like the end of the head
                raise TimeoutError("the head of a response took too long")
            return response

    return InTime


def _shut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def over_after(seconds: float, end: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Calls `end` if the block takes longer; gives a function that says whether it did."""
    over = threading.Event()

    def call() -> None:
        over.set()
        end()

    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()
    try:
        yield over.is_set
    finally:
        timer.cancel()
