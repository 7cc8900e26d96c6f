"""The Python parts that the manifest names can be made by the CDK on every Python."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from source_coupa.source import MANIFEST

CLASSES = sorted(set(re.findall(r"class_name: (\S+)", MANIFEST.read_text())))


@pytest.mark.parametrize("name", CLASSES)
def test_init_vars_are_no_text(name: str) -> None:
    """On Python 3.10 the CDK cannot read the type hints of a class else."""
    module, _, cls = name.rpartition(".")
    part = getattr(importlib.import_module(module), cls)
    hints = inspect.get_annotations(part)
    texts = [field for field, hint in hints.items() if "InitVar" in str(hint) and str(hint) == hint]
    assert texts == []
