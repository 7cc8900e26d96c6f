"""Reads the lists below the records of another list."""

# without `from __future__ import annotations`: on Python 3.10 the CDK cannot read InitVar as text

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from airbyte_cdk.sources.declarative.requesters.http_requester import HttpRequester
from airbyte_cdk.sources.types import StreamSlice

from source_coupa.components.retriever import KeysetRetriever
from source_coupa.reading.inside_parents import InsideParents
from source_coupa.reading.nested_lists import NestedLists
from source_coupa.reading.pages import Page, Pass

PARENT_ID = "parent_id"
"""The parent's id in a slice, as the manifest's URL names it."""


@dataclass(kw_only=True)
class NestedRetriever(KeysetRetriever):
    """Reads the list of each parent, each row with the parent's id.

    Attributes:
        parents_requester: describes the list of parents.

    Of the stream's `$parameters`, `resource` is the parents' list, `nested` the name of the list
    below each, `parent` what a parent is called.
    """

    parents_requester: HttpRequester

    def __post_init__(self, parameters: Mapping[str, Any]) -> None:
        super().__post_init__(parameters)
        self._parent_key = f"{parameters['parent']}_id"
        self._nested = parameters["nested"]
        self._path = f"{self._resource}/:{self._parent_key}/{self._nested}"

    def _pages(self, wanted: Pass, schema: Mapping[str, Any]) -> Iterable[Page]:
        properties = schema.get("properties", {})
        nested = NestedLists(
            path=self._path,
            stream=self.name,
            parent_key=self._parent_key,
            parents=self._list(self.parents_requester, ids_only=True),
            connect=lambda id_: self._connection(
                self.requester, StreamSlice(partition={PARENT_ID: id_}, cursor_slice={})
            ),
            inside=InsideParents(
                self._nested, {k: v for k, v in properties.items() if k != self._parent_key}
            ),
        )
        return nested.read(wanted)
