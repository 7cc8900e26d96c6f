"""How long a Retry-After header asks to wait, in both of its forms."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
import requests

from source_coupa.transport.retry_after import retry_after

NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("77", 77.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 14:01:00 +0200", 60.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("1e308", 86_400.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
    ],
)
def test_a_number_or_a_date_is_read(value: str, seconds: float) -> None:
    assert retry_after(_with(value), NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "inf",
        "nan",
        "Sat, 21 Nov 2026 12:00:00 +9999",
        "Sat, 21 Nov 2026 12:00:00 -99999999",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Sat, 99 Nov 2026 12:00:00 GMT",
    ],
)
def test_what_is_neither_does_not_raise(value: str) -> None:
    found = retry_after(_with(value), NOW)
    assert found is None or found > 0


def _with(value: str) -> requests.Response:
    response = requests.Response()
    response.headers["Retry-After"] = value
    return response
