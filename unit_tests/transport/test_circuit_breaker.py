"""A list that is ill is distinguished from a host that is down."""

from __future__ import annotations

from source_coupa.transport.circuit_breaker import CircuitBreaker


def test_one_list_that_is_given_up_is_ill_alone() -> None:
    breaker = CircuitBreaker()
    for _ in range(3):
        breaker.gave_up("invoices")
    assert not breaker.is_open


def test_two_lists_that_are_given_up_are_the_host() -> None:
    breaker = CircuitBreaker()
    breaker.gave_up("invoices")
    breaker.gave_up("users")
    assert breaker.is_open


def test_any_response_shows_that_the_host_is_up() -> None:
    breaker = CircuitBreaker()
    breaker.gave_up("invoices")
    breaker.answered()
    breaker.gave_up("users")
    assert not breaker.is_open
    assert breaker.answers == 1


def test_a_host_that_came_back_is_up() -> None:
    breaker = CircuitBreaker()
    breaker.gave_up("invoices")
    breaker.gave_up("users")
    breaker.answered()
    assert not breaker.is_open
