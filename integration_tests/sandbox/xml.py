"""Records as the XML that Coupa sends when JSON is not asked for (docs 0011 and 0015)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from .blueprint import Record
from .instants import parse_instant

_HEAD = "<?xml version='1.0' encoding='UTF-8'?>\n"
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_DECIMAL = re.compile(r"-?\d+\.\d+")
_NOT_IN_NAMES = re.compile(r"[^\w.-]")


def list_to_xml(root: str, records: Sequence[Record]) -> bytes:
    """A list call: `<users type="array"><user>...</user></users>`."""
    return (_HEAD + _element(root, list(records))).encode()


def record_to_xml(root: str, record: Record) -> bytes:
    """A show call; `root` is the list's root element."""
    return (_HEAD + _element(_singular(root), record)).encode()


def errors_to_xml(messages: Sequence[str]) -> bytes:
    """Coupa's XML error body."""
    errors = "".join(f"  <error>{escape(message)}</error>\n" for message in messages)
    return f"{_HEAD}<errors>\n{errors}</errors>\n".encode()


def _element(name: str, value: Any) -> str:
    name = _NOT_IN_NAMES.sub("-", name)
    if value is None:
        return f'<{name} nil="true"/>'
    if isinstance(value, list):
        inner = "".join(_element(_singular(name), item) for item in value)
        return f'<{name} type="array">{inner}</{name}>'
    if isinstance(value, Mapping):
        inner = "".join(_element(key, item) for key, item in value.items())
        return f"<{name}>{inner}</{name}>"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not text:
        return f"<{name}/>"
    return f"<{name}{_type(value)}>{escape(_FORBIDDEN.sub('', text))}</{name}>"


def _type(value: Any) -> str:
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "float")):
        if isinstance(value, kind):
            return f' type="{name}"'
    if "T" in value and parse_instant(value) is not None:
        return ' type="dateTime"'
    return ' type="decimal"' if _DECIMAL.fullmatch(value) else ""


def _singular(name: str) -> str:
    if name.endswith("ies"):
        return name[:-3] + "y"
    for ending in ("sses", "xes"):
        if name.endswith(ending):
            return name[:-2]
    return name.removesuffix("s")
