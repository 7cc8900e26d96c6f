"""The Builder edition: one YAML file without Python, made of the template and the manifest."""

from __future__ import annotations

import csv
import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from .manifest import ROOT, STREAMS, TEXT, StreamRow
from .tables import markdown_table

BUILDER = ROOT / "builder"
EDITION = BUILDER / "manifest.yaml"

_TEMPLATE = BUILDER / "template.yaml"
_SCHEMAS = ROOT / "source_coupa" / "schemas"
_WIDTH = 100


def _rows_of(name: str) -> list[dict[str, str]]:
    with (BUILDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


LEFT_OUT: Mapping[str, str] = {row["stream"]: row["why"] for row in _rows_of("left_out.tsv")}
"""Stream -> why the Builder edition lacks it."""

BUILDER_STREAMS = tuple(stream for stream in STREAMS if stream.name not in LEFT_OUT)
"""The streams of the Builder edition."""


def builder_manifest() -> str:
    """The text of `builder/manifest.yaml`: the template, each `#include` in it replaced by a part
    of the connector's manifest, with its comments, or by what is made here.

    Raises:
        KeyError: if the template includes what there is not.
    """
    made = {
        "streams": _streams,
        "spec": _spec,
        "auto_import_schema": _auto_import_schema,
        "schemas": _schemas,
    }
    parts = {**_blocks(TEXT, ""), **_definitions()}

    def included(match: re.Match[str]) -> str:
        indent, name = match[1], match[2]
        text = "\n".join(made[name]()) if name in made else parts[name]
        return textwrap.indent(text, indent)

    template = _TEMPLATE.read_text(encoding="utf-8")
    body = re.sub(r"(?m)^( *)#include (\S+)$", included, template)
    return f"{_header()}\n{body}"


def differences_table() -> str:
    """How the Builder edition differs from the connector's image."""
    rows = [(row["what"], row["image"], row["builder"]) for row in _rows_of("differences.tsv")]
    return markdown_table(("", "The image", "The Builder edition"), rows)


def left_out_table() -> str:
    """The streams that the Builder edition lacks."""
    rows = [(f"`{stream}`", why) for stream, why in LEFT_OUT.items()]
    return markdown_table(("Stream", "Why it is left out"), rows)


def _header() -> str:
    version = re.search(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text())
    assert version is not None
    paragraphs = [
        f"Coupa for Airbyte's Connector Builder: what source-coupa {version[1]} does, as far as "
        "YAML without Python can say it. Made from source_coupa/manifest.yaml, "
        "source_coupa/schemas/ and builder/template.yaml by `python -m integration_tests.reference`"
        "; change those, not this file. How to use it: docs/integrations/sources/coupa.md.",
        "What it does otherwise than the connector's image:",
        *(f"- {row['what']}: {row['builder']}" for row in _rows_of("differences.tsv")),
        "Streams that it lacks:",
        *(f"- {stream}: {why}" for stream, why in LEFT_OUT.items()),
    ]
    lines = [
        line
        for paragraph in paragraphs
        for line in textwrap.wrap(
            paragraph.replace("`", ""),
            _WIDTH - 2,
            subsequent_indent="  " if paragraph.startswith("- ") else "",
        )
    ]
    return "".join(f"# {line}\n" for line in lines)


def _blocks(text: str, indent: str) -> dict[str, str]:
    """The keys at one level of a YAML text, each with its text and the comments above it."""
    parts = {}
    pattern = rf"(?m)^((?:{indent}#.*\n)*){indent}(\w+):((?:.*\n)(?:(?:{indent} .*)?\n)*)"
    for match in re.finditer(pattern, text):
        comments = re.sub(rf"(?m)^{indent}# --- .*\n", "", match[1])
        block = f"{comments}{indent}{match[2]}:{match[3]}".rstrip()
        parts[match[2]] = textwrap.dedent(block)
    return parts


def _definitions() -> dict[str, str]:
    block = _blocks(TEXT, "")["definitions"].partition("\n")[2]
    return {f"definitions.{name}": part for name, part in _blocks(f"{block}\n", "  ").items()}


def _spec() -> Iterator[str]:
    """The form without what needs Python: the second grant type, filters, additional lists, the
    look for deleted records."""
    spec = f"{_blocks(TEXT, '')['spec']}\n"
    fields = ("credentials", "filters", "additional_lists", "deleted_records_every_days")
    for indent, key in (("  ", "advanced_auth"), *(("      ", field) for field in fields)):
        comments = rf"(?:{indent}#.*\n)*"
        spec = re.sub(rf"(?m)^{comments}{indent}{key}:.*\n(?:(?:{indent} .*)?\n)*", "", spec)
    yield re.sub(r" &\w+", "", spec).rstrip()


def _streams() -> Iterator[str]:
    for area, streams in groupby(BUILDER_STREAMS, lambda stream: stream.area):
        yield f"# {area}"
        yield from map(_stream, streams)


def _stream(stream: StreamRow) -> str:
    parameters = {"name": stream.name, "resource": stream.resource, "scope": stream.scopes[0]}
    if stream.parent_scopes:
        parameters["parent_scope"] = stream.parent_scopes[0]
    for key in ("rows", "nested", "parent"):
        if value := getattr(stream, key):
            parameters[key] = value
    fields = ", ".join(f"{key}: {value}" for key, value in parameters.items())
    key = f"primary_key: [{', '.join(stream.primary_key)}], " if len(stream.primary_key) > 1 else ""
    schema = f'{{type: InlineSchemaLoader, schema: {{$ref: "#/schemas/{stream.schema}"}}}}'
    return (
        f'- {{$ref: "#/definitions/{stream.base}", {key}$parameters: {{{fields}}}, '
        f"schema_loader: {schema}}}"
    )


def _auto_import_schema() -> Iterator[str]:
    """The Builder would else put schemas of what it sees instead of the documented ones."""
    return (f"{stream.name}: false" for stream in BUILDER_STREAMS)


def _schemas() -> Iterator[str]:
    """Each schema, a line for each of its columns."""
    for name in dict.fromkeys(stream.schema for stream in BUILDER_STREAMS):
        schema = json.loads((_SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
        properties = sent(schema.pop("properties"))
        yield f"{name}:"
        yield from (f"  {key}: {_flow(value)}" for key, value in schema.items())
        yield "  properties:"
        yield from (f"    {key}: {_flow(value)}" for key, value in properties.items())


def sent(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Without the ids of objects as columns, which the image adds."""
    return {
        name: field
        for name, field in properties.items()
        if field.get("description") != f"The `id` in `{name.removesuffix('_id')}`."
    }


def _flow(value: Any) -> str:
    """JSON, which is YAML too."""
    return json.dumps(value, ensure_ascii=False)
