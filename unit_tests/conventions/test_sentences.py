"""Every message that users can see is found in the source, and missed where the docs lack it."""

from __future__ import annotations

import pytest

from unit_tests.conventions.pages import Pages, check_troubleshooting
from unit_tests.conventions.sentences import all_sentences, python_sentences


def test_message_without_a_row_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = [*all_sentences(), "Coupa sings where it should speak."]
    monkeypatch.setattr("unit_tests.conventions.pages.all_sentences", lambda: sentences)

    assert "no row: Coupa sings where it should speak." in check_troubleshooting(Pages.read())


def test_messages_are_read_from_the_source() -> None:
    source = """
def f(host, seen):
    count = "three"
    logger.warning(f"{host} is slow.")
    logger.info("not shown")
    raise errors.config_error(f"{host} does not respond ({seen}) after {count} tries: see.", "x")

def g(host):
    message = f"{host} did not respond."
    return AirbyteConnectionStatus(status=1, message=message)
"""
    assert python_sentences("m.py", source) == [
        "… is slow.",
        "… does not respond (…) after three tries: see.",
        "… did not respond.",
    ]


def test_message_that_cannot_be_read_is_not_overlooked() -> None:
    with pytest.raises(ValueError, match="holds no message"):
        python_sentences("m.py", "raise errors.config_error(sentence_from_elsewhere)")
