"""What all lists of a connection share."""

from __future__ import annotations

from functools import lru_cache

import requests

from source_coupa.config import CoupaConfig
from source_coupa.transport.backpressure import Backpressure
from source_coupa.transport.capabilities import Capabilities
from source_coupa.transport.circuit_breaker import CircuitBreaker
from source_coupa.transport.clock import Clock
from source_coupa.transport.connection import LONGEST_RESPONSE
from source_coupa.transport.scheduler import Scheduler
from source_coupa.transport.session import new_session


class Instance:
    """A Coupa instance as one process reads it.

    Args:
        clock: for all waits and times.
        max_workers: how many requests may be under way at the same time.
        requests_per_second: the budget.

    Attributes:
        scheduler: sends all requests to lists.
        breaker: knows whether the host is down.
        capabilities: what lists have learned about it.
        session: keeps the connections to the host.
    """

    def __init__(self, clock: Clock, *, max_workers: int, requests_per_second: int) -> None:
        self.clock = clock
        self.scheduler = Scheduler(
            max_workers=max_workers,
            requests_per_second=requests_per_second,
            clock=clock,
            backpressure=Backpressure(),
        )
        self.breaker = CircuitBreaker()
        self.capabilities = Capabilities()
        self.session: requests.Session = new_session(
            longest_response=LONGEST_RESPONSE, connections=max_workers
        )


new_clock = Clock


@lru_cache(maxsize=8)
def instance_of(config: CoupaConfig) -> Instance:
    """The one of this process for these settings."""
    return Instance(
        new_clock(),
        max_workers=config.num_workers,
        requests_per_second=config.requests_per_second,
    )
