"""The catalog that `discover` prints is the one that the CDK would make of the manifest."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteCatalog
from airbyte_cdk.sources.declarative.concurrent_declarative_source import (
    ConcurrentDeclarativeSource,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import configured_catalog
from integration_tests.reference.manifest import STREAMS
from integration_tests.sandbox import Sandbox
from integration_tests.truth import UNLIMITED
from source_coupa import SourceCoupa
from source_coupa.tables.columns import ADDITIONAL_FIELDS, SCHEMA

LOGGER = logging.getLogger("test")


@pytest.fixture(scope="module")
def config() -> Iterator[dict[str, Any]]:
    with Sandbox({}, dialect=UNLIMITED) as sandbox:
        yield sandbox.config()


@pytest.fixture(scope="module")
def source(config: dict[str, Any]) -> SourceCoupa:
    return SourceCoupa(config=config)


@pytest.fixture(scope="module")
def catalog(source: SourceCoupa, config: dict[str, Any]) -> AirbyteCatalog:
    return source.discover(LOGGER, config)


def test_streams_are_described_as_the_cdk_describes_them(
    source: SourceCoupa, catalog: AirbyteCatalog
) -> None:
    described = ConcurrentDeclarativeSource.discover(source, LOGGER, {})
    for stream in described.streams:
        stream.json_schema["properties"][ADDITIONAL_FIELDS] = SCHEMA
        # bookmarks of full refreshes are made above the CDK, which knows nothing of them
        stream.is_resumable = True
    assert catalog == described


def test_a_client_with_every_scope_is_offered_every_stream(catalog: AirbyteCatalog) -> None:
    assert [stream.name for stream in catalog.streams] == [stream.name for stream in STREAMS]
    assert len(catalog.streams) >= 120


def test_a_read_builds_the_streams_of_its_catalog_alone() -> None:
    with Sandbox({}, dialect=UNLIMITED) as sandbox:
        catalog = configured_catalog("users", "invoice_lines")
        source = SourceCoupa(catalog=catalog, config=sandbox.config())
    assert [stream.name for stream in source.streams({})] == ["users", "invoice_lines"]
    assert len(source.resolved_manifest["streams"]) == 2


def test_a_stream_that_a_source_was_not_made_for_is_no_silent_gap() -> None:
    with Sandbox({}, dialect=UNLIMITED) as sandbox:
        config = sandbox.config()
        made_for_users = SourceCoupa(catalog=configured_catalog("users"), config=config)
        messages = made_for_users.read(LOGGER, config, configured_catalog("users", "invoices"))
        with pytest.raises(AirbyteTracedException, match="invoices: Stream invoices does not"):
            list(messages)
