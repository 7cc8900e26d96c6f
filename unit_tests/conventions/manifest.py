"""The manifest, read more strictly than the CDK does.

The CDK passes over unknown fields, definitions that nothing refers to, and schema files that no
stream reads, so that a slip of the pen changes what the connector does silently.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields as fields_of
from dataclasses import is_dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import yaml

from integration_tests.reference.manifest import MANIFEST
from source_coupa.streams import ADDITIONAL_SCHEMA, stream_rows

from .project import ROOT
from .rules import GONE, Check, Problems, Tree

REF = re.compile(r"#/definitions/([^/]+)")


def read() -> Tree:
    """The project's manifest, with the names of its schema files."""
    files = sorted(file.stem for file in (ROOT / "source_coupa" / "schemas").glob("*.json"))
    return Tree({"manifest": MANIFEST, "files": files})


@lru_cache
def components() -> Mapping[str, Any]:
    """The CDK's schema of each component."""
    text = resources.files("airbyte_cdk.sources.declarative").joinpath(
        "declarative_component_schema.yaml"
    )
    loaded = yaml.load(text.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    known: dict[str, Any] = {}
    for _, part in _walk(loaded):
        kind = part.get("properties", {}).get("type") if isinstance(part, Mapping) else None
        if isinstance(kind, Mapping) and len(kind.get("enum", ())) == 1:
            known[kind["enum"][0]] = part
    return known


def _walk(part: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a document with its place."""
    yield path, part
    if isinstance(part, Mapping):
        for key, value in part.items():
            yield from _walk(value, f"{path}/{key}")
    elif isinstance(part, list):
        for number, value in enumerate(part):
            yield from _walk(value, f"{path}/{number}")


def _references(part: Any) -> Iterator[str]:
    for _, value in _walk(part):
        if isinstance(value, str) and value.startswith("#/"):
            yield value


def _whole(part: Any, definitions: Mapping[str, Any]) -> Any:
    """A part with what it refers to in place."""
    if isinstance(part, list):
        return [_whole(value, definitions) for value in part]
    if not isinstance(part, Mapping):
        return part
    whole = {key: _whole(value, definitions) for key, value in part.items() if key != "$ref"}
    found = REF.fullmatch(part.get("$ref", ""))
    base = _whole(definitions.get(found[1], {}), definitions) if found else {}
    if not isinstance(base, dict):
        return base
    parameters = {**base.get("$parameters", {}), **whole.get("$parameters", {})}
    return {**base, **whole, **({"$parameters": parameters} if parameters else {})}


@lru_cache(maxsize=1)
def _resolved(text: str) -> Any:
    manifest = json.loads(text)
    top = {key: value for key, value in manifest.items() if key != "definitions"}
    return _whole(top, manifest["definitions"])


def _components(document: Tree) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each component of each stream and of the rest, with what it refers to in place."""
    whole = _resolved(json.dumps(document.root["manifest"]))
    forms = re.compile(r"/spec/(connection_specification|advanced_auth/.*_specification)(/|$)")
    for path, part in _walk(whole):
        is_part = isinstance(part, Mapping) and isinstance(part.get("type"), str)
        if is_part and not forms.match(path):
            yield path, part


def _short(path: str) -> str:
    """The place without the number of the stream."""
    return re.sub(r"^/streams/\d+", "a stream", path)


def _each_once(problems: Iterator[str]) -> Problems:
    return list(dict.fromkeys(problems))


def _fields_of_class(name: str) -> set[str]:
    """The fields of a custom component, those that are only for its making too."""
    module, _, attribute = name.rpartition(".")
    made = getattr(importlib.import_module(module), attribute)
    assert isinstance(made, type)
    assert is_dataclass(made), f"{name} is no dataclass"
    return {field.name for field in fields_of(made)} | set(inspect.signature(made).parameters)


def check_fields_are_known(document: Tree) -> Problems:
    """Each field is one of its component, or of the class of a custom component."""

    def problems() -> Iterator[str]:
        for path, part in _components(document):
            kind = part["type"]
            if kind not in components():
                yield f"{_short(path)}: no component {kind}"
                continue
            known = {"$parameters", *components()[kind].get("properties", {})}
            if kind == "CustomRetriever":  # the CDK takes it from any retriever
                known.add("partition_router")
            if kind.startswith("Custom") and "class_name" in part:
                try:
                    known |= _fields_of_class(part["class_name"])
                except (ImportError, AttributeError):
                    yield f"{_short(path)}: no class {part['class_name']}"
                    continue
            for key in part.keys() - known:
                yield f"{_short(path)}: {kind} has no field {key}"

    return _each_once(problems())


def check_required_fields(document: Tree) -> Problems:
    return _each_once(
        f"{_short(path)}: {part['type']} lacks {key}"
        for path, part in _components(document)
        for key in components().get(part["type"], {}).get("required", ())
        if key not in part
    )


def check_nothing_is_deprecated(document: Tree) -> Problems:
    return _each_once(
        f"{_short(path)}: {key} of {part['type']} is deprecated"
        for path, part in _components(document)
        for key, field in components().get(part["type"], {}).get("properties", {}).items()
        if key in part and field.get("deprecated")
    )


def check_references(document: Tree) -> Problems:
    """References lead to definitions, and each definition is one that something refers to."""
    manifest = document.root["manifest"]
    definitions = manifest["definitions"]
    problems = []
    used: set[str] = set()
    waiting = [value for key, value in manifest.items() if key != "definitions"]
    while waiting:
        for reference in _references(waiting.pop()):
            found = REF.fullmatch(reference)
            if not found or found[1] not in definitions:
                problems.append(f"{reference} leads nowhere")
            elif found[1] not in used:
                used.add(found[1])
                waiting.append(definitions[found[1]])
    unused = [
        f"nothing refers to the definition {name}" for name in definitions if name not in used
    ]
    return problems + unused


def check_parameters(document: Tree) -> Problems:
    """Parameters are asked for by a template, a component or the catalog, and fill no field by
    accident: the CDK puts them into every field of their name, `name` on purpose."""
    manifest = document.root["manifest"]
    given = {key for stream in manifest["streams"] for key in stream["$parameters"]}
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "source_coupa").rglob("*.py")]
    text = json.dumps(manifest, ensure_ascii=False) + "".join(sources)
    asked = set(re.findall(r"""parameters(?:\.get\(|\[)\\?['"](\w+)""", text))
    problems = [f"nothing asks for the parameter {key}" for key in sorted(given - asked)]
    kinds = {part["type"] for _, part in _components(document)}
    named = {
        key
        for kind in kinds
        if kind != "DeclarativeSource"
        for key in components().get(kind, {}).get("properties", {})
    }
    return problems + [
        f"the parameter {key} fills a field" for key in sorted(given & named - {"name"})
    ]


def check_settings(document: Tree) -> Problems:
    """Templates name settings of the form."""
    manifest = document.root["manifest"]
    known = manifest["spec"]["connection_specification"]["properties"]
    text = json.dumps(manifest, ensure_ascii=False)
    named = set(re.findall(r"""config(?:\.get\(|\[)\\?['"](\w+)""", text))
    return [f"no setting {name}" for name in sorted(named - known.keys())]


def check_response_filters(document: Tree) -> Problems:
    """Each filter has one criterion (several are joined by or), a sentence, and a type of failure
    where it fails: elsewhere it has no effect."""

    def problems() -> Iterator[str]:
        for path, part in _components(document):
            if part["type"] != "HttpResponseFilter":
                continue
            criteria = part.keys() & {"http_codes", "predicate", "error_message_contains"}
            if len(criteria) != 1:
                yield f"{_short(path)}: {len(criteria)} criteria"
            if part.get("action") != "SUCCESS" and "error_message" not in part:
                yield f"{_short(path)}: no sentence"
            if (part.get("action") == "FAIL") != ("failure_type" in part):
                yield f"{_short(path)}: action and failure_type do not go together"

    return _each_once(problems())


def check_status_codes(document: Tree) -> Problems:
    """No handler treats one status in two ways: only the first would count."""

    def problems() -> Iterator[str]:
        for path, part in _components(document):
            codes = [
                code
                for response_filter in part.get("response_filters", ())
                for code in response_filter.get("http_codes", ())
            ]
            for code in sorted({code for code in codes if codes.count(code) > 1}):
                yield f"{_short(path)}: two filters for {code}"

    return _each_once(problems())


def check_windows(document: Tree) -> Problems:
    """A step is given together with a granularity."""
    return _each_once(
        f"{_short(path)}: step and cursor_granularity go together"
        for path, part in _components(document)
        if part["type"] == "DatetimeBasedCursor"
        and ("step" in part) != ("cursor_granularity" in part)
    )


def check_schema_files(document: Tree) -> Problems:
    """Each stream has its schema, and each file is one of a stream."""
    rows = [stream["$parameters"] for stream in document.root["manifest"]["streams"]]
    wanted = {row.get("schema_file", row["name"]) for row in rows} | {ADDITIONAL_SCHEMA}
    files = set(document.root["files"])
    return [f"no schema {name}" for name in sorted(wanted - files)] + [
        f"no stream has the schema {name}" for name in sorted(files - wanted)
    ]


def check_child_tables(document: Tree) -> Problems:
    """Each child table has the plain stream of its list beside it, with the same scopes, look-back
    and shape: one pass of the list serves both."""
    rows = stream_rows(document.root["manifest"])
    plain = {row.resource: row for row in rows if row.rows is None and row.nested is None}

    def problems() -> Iterator[str]:
        for row in rows:
            own = plain.get(row.resource)
            if row.rows is None:
                continue
            if own is None:
                yield f"{row.name}: no plain stream reads {row.resource}"
                continue
            for name in ("scopes", "parent_scopes", "lookback_hours", "shape"):
                if getattr(row, name) != getattr(own, name):
                    yield f"{row.name}: other {name} than {own.name}"
            if bool(row.cursor_field) != bool(own.cursor_field):
                yield f"{row.name}: only one of it and {own.name} has update times"

    return list(problems())


_CURSOR = {
    "type": "DatetimeBasedCursor",
    "cursor_field": "updated_at",
    "datetime_format": "%s",
    "start_datetime": "{{ config['since'] }}",
    "step": "P1D",
    "cursor_granularity": "PT1S",
}

_EXAMPLE: dict[str, Any] = {
    "manifest": {
        "version": "1.0.0",
        "type": "DeclarativeSource",
        "check": {"type": "CheckStream", "stream_names": ["users"]},
        "definitions": {
            "filter": {
                "type": "HttpResponseFilter",
                "http_codes": [403],
                "action": "FAIL",
                "failure_type": "config_error",
                "error_message": "Not allowed.",
            },
            "stream": {
                "type": "DeclarativeStream",
                "primary_key": "id",
                "incremental_sync": _CURSOR,
                "transformations": [
                    {
                        "type": "CustomTransformation",
                        "class_name": "source_coupa.components.keys.UnderscoreKeys",
                    }
                ],
                "retriever": {
                    "type": "SimpleRetriever",
                    "record_selector": {
                        "type": "RecordSelector",
                        "extractor": {"type": "DpathExtractor", "field_path": []},
                    },
                    "requester": {
                        "type": "HttpRequester",
                        "url": "https://{{ config['host'] }}/{{ parameters['resource'] }}",
                        "error_handler": {
                            "type": "DefaultErrorHandler",
                            "response_filters": [{"$ref": "#/definitions/filter"}],
                        },
                    },
                },
            },
        },
        "streams": [
            {
                "$ref": "#/definitions/stream",
                "$parameters": {"name": "users", "resource": "users", "scope": "u"},
            },
            {
                "$ref": "#/definitions/stream",
                "$parameters": {
                    "name": "user_roles",
                    "resource": "users",
                    "scope": "u",
                    "rows": "roles",
                    "parent": "user",
                },
            },
        ],
        "spec": {
            "type": "Spec",
            "connection_specification": {"properties": {"host": {}, "since": {}}},
        },
    },
    "files": ["users", "user_roles", ADDITIONAL_SCHEMA],
}


def example() -> Tree:
    """A manifest of a stream and its child table that keeps every rule."""
    return Tree(_EXAMPLE)


_FILTER = "manifest/definitions/filter"
_STREAM = "manifest/definitions/stream"
_REQUESTER = f"{_STREAM}/retriever/requester"
_ROW = "manifest/streams/0"
_CHILD = "manifest/streams/1"

CHECKS: tuple[Check[Tree], ...] = (
    Check(
        check_fields_are_known,
        (f"{_REQUESTER}/htp_method", "GET"),
        (f"{_REQUESTER}/type", "HtpRequester"),
        (f"{_STREAM}/transformations/0/depth", 3),
        (f"{_STREAM}/transformations/0/class_name", "source_coupa.components.keys.Keys"),
        (f"{_ROW}/primry_key", "id"),
    ),
    Check(
        check_required_fields,
        (f"{_STREAM}/retriever/record_selector", GONE),
        (f"{_STREAM}/incremental_sync/cursor_field", GONE),
    ),
    Check(
        check_nothing_is_deprecated,
        (f"{_REQUESTER}/url_base", "https://example.coupahost.com"),
        (f"{_REQUESTER}/path", "users"),
    ),
    Check(
        check_references,
        (f"{_ROW}/$ref", "#/definitions/streem"),
        ("manifest/definitions/other", {"$ref": "#/definitions/filter"}),
        (f"{_STREAM}/schema_loader", {"$ref": "#/schemas/users"}),
    ),
    Check(
        check_parameters,
        (f"{_ROW}/$parameters/colour", "blue"),
        (f"{_ROW}/$parameters/path", "users"),
    ),
    Check(check_settings, (f"{_REQUESTER}/url", "https://{{ config.get('hots') }}")),
    Check(
        check_response_filters,
        (f"{_FILTER}/predicate", "{{ 'x' in response }}"),
        (f"{_FILTER}/http_codes", GONE),
        (f"{_FILTER}/error_message", GONE),
        (f"{_FILTER}/failure_type", GONE),
        (f"{_FILTER}/action", "RETRY"),
    ),
    Check(
        check_status_codes,
        (
            f"{_REQUESTER}/error_handler/response_filters/1",
            {"$ref": "#/definitions/filter", "error_message": "Another sentence."},
        ),
    ),
    Check(
        check_windows,
        (f"{_STREAM}/incremental_sync/step", GONE),
        (f"{_STREAM}/incremental_sync/cursor_granularity", GONE),
    ),
    Check(
        check_child_tables,
        (f"{_CHILD}/$parameters/scope", "other"),
        (f"{_CHILD}/$parameters/resource", "roles"),
        (f"{_CHILD}/$parameters/shape", "revision"),
        (f"{_CHILD}/incremental_sync", None),
        (f"{_CHILD}/incremental_sync", {**_CURSOR, "$parameters": {"least_lookback_hours": 9}}),
    ),
    Check(
        check_schema_files,
        (f"{_ROW}/$parameters/schema_file", "people"),
        ("files", ["users", "user_roles", ADDITIONAL_SCHEMA, "people"]),
    ),
)
