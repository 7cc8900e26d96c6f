"""NOTICE names every package that the image holds, with its license."""

from __future__ import annotations

import re
import sys

import pytest

from integration_tests.reference.notice import NOTICE, image_packages, notice


def test_it_names_the_packages_of_the_image() -> None:
    named = re.findall(r"(?m)^(\S+)  +\S.*$", NOTICE.read_text(encoding="utf-8"))
    assert named == image_packages()
    assert "airbyte-cdk" in named
    assert "pytest" not in named


def test_each_has_a_license() -> None:
    assert "not stated" not in NOTICE.read_text(encoding="utf-8")


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the image has Python 3.11")
def test_it_is_up_to_date() -> None:
    assert NOTICE.read_text(encoding="utf-8") == notice(), (
        "run python -m integration_tests.reference"
    )
