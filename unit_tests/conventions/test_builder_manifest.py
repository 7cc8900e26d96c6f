"""`builder/manifest.yaml` is what the Connector Builder takes: whole, plain, and up to date."""

from __future__ import annotations

import copy
import importlib.resources
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml

from integration_tests.builder_edition import pared
from integration_tests.reference.builder import (
    BUILDER,
    BUILDER_STREAMS,
    EDITION,
    LEFT_OUT,
    builder_manifest,
)
from integration_tests.reference.manifest import MANIFEST, STREAMS

NAMES = [stream.name for stream in BUILDER_STREAMS]

OWN_KEYS = {"$ref", "$parameters", "type"}


@pytest.fixture(scope="module")
def edition() -> dict[str, Any]:
    return pared(NAMES)


@pytest.fixture(scope="module")
def components() -> dict[str, Any]:
    """The CDK's schema of each component that a manifest may hold."""
    text = (
        importlib.resources.files("airbyte_cdk.sources.declarative")
        .joinpath("declarative_component_schema.yaml")
        .read_text(encoding="utf-8")
    )
    schema: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return {**schema["definitions"], "DeclarativeSource": schema}


def parts(node: Any) -> Iterator[Mapping[str, Any]]:
    """All objects of a manifest but JSON schemas."""
    if isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key not in ("schemas", "connection_specification", "schema"):
                yield from parts(value)
    elif isinstance(node, list):
        for value in node:
            yield from parts(value)


def test_it_is_up_to_date() -> None:
    made = builder_manifest()
    assert EDITION.read_text(encoding="utf-8") == made, "run python -m integration_tests.reference"


def test_it_needs_no_python(edition: dict[str, Any]) -> None:
    """Airbyte Cloud runs no custom components of a manifest that a user brings."""
    for part in parts(edition):
        assert "class_name" not in part
        assert not str(part.get("type")).startswith("Custom")
    assert "source_coupa." not in re.sub(r"(?m)^# .*", "", EDITION.read_text(encoding="utf-8"))


def test_every_stream_is_in_it_or_left_out_for_a_reason(edition: dict[str, Any]) -> None:
    there = [stream["$parameters"]["name"] for stream in edition["streams"]]
    assert there == NAMES
    assert set(NAMES).isdisjoint(LEFT_OUT)
    assert {*NAMES, *LEFT_OUT} == {stream.name for stream in STREAMS}
    for why in LEFT_OUT.values():
        [holder] = re.findall(r"`(\w+)`", why)
        assert holder in NAMES, why


def test_streams_are_the_connectors_own(edition: dict[str, Any]) -> None:
    for stream, made in zip(BUILDER_STREAMS, edition["streams"], strict=True):
        assert made["$ref"] == f"#/definitions/{stream.base}"
        assert tuple(made.get("primary_key", ["id"])) == stream.primary_key
        assert made["$parameters"]["resource"] == stream.resource
        assert made["$parameters"]["scope"] == stream.scopes[0]


def test_settings_are_those_of_the_connector(edition: dict[str, Any]) -> None:
    """So that a configuration can move from one edition to the other."""
    for part in ("api_budget", "concurrency_level"):
        assert edition[part] == MANIFEST[part]
    spec = copy.deepcopy(MANIFEST["spec"])
    del spec["advanced_auth"]
    for name in ("credentials", "filters", "additional_lists", "deleted_records_every_days"):
        del spec["connection_specification"]["properties"][name]
    assert edition["spec"] == spec


def test_every_reference_leads_somewhere_and_nothing_is_left_over(edition: dict[str, Any]) -> None:
    used = {part["$ref"] for part in parts(edition) if "$ref" in part}
    used |= {stream["schema_loader"]["schema"]["$ref"] for stream in edition["streams"]}
    there = {f"#/definitions/{name}" for name in edition["definitions"]}
    there |= {f"#/schemas/{name}" for name in edition["schemas"]}
    assert used == there
    assert "#include" not in EDITION.read_text(encoding="utf-8")


def unknown_fields(
    manifest: Mapping[str, Any], components: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Fields that their component does not have: the CDK takes them silently."""
    for part in parts(manifest):
        component = components.get(str(part.get("type")))
        if component is not None and "properties" in component:
            for key in part.keys() - component["properties"].keys() - OWN_KEYS:
                yield part["type"], key


def test_no_component_has_a_field_that_it_does_not_know(
    edition: dict[str, Any], components: dict[str, Any]
) -> None:
    assert list(unknown_fields(edition, components)) == []

    misspelt = copy.deepcopy(edition)
    misspelt["definitions"]["paginator"]["page_sise"] = 50
    assert list(unknown_fields(misspelt, components)) == [("DefaultPaginator", "page_sise")]


def test_the_builder_does_not_write_schemas_of_its_own(edition: dict[str, Any]) -> None:
    text = yaml.load(EDITION.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    assert text["metadata"]["autoImportSchema"] == dict.fromkeys(NAMES, False)


def test_a_part_that_is_not_there_cannot_be_included(monkeypatch: pytest.MonkeyPatch) -> None:
    template = (BUILDER / "template.yaml").read_text(encoding="utf-8")
    broken = template.replace("#include definitions.forbidden", "#include definitions.forbiden")
    assert broken != template
    monkeypatch.setattr("pathlib.Path.read_text", lambda path, encoding=None: broken)
    with pytest.raises(KeyError, match=r"definitions\.forbiden"):
        builder_manifest()
