"""The readers by name, the connector first."""

from __future__ import annotations

from collections.abc import Mapping

from . import builder_edition, coupa_async_client, dlt_rest_api, one_page, source_coupa
from .reader import Reader

OURS = "source-coupa"
ONE_PAGE = "one-page"

READERS: Mapping[str, Reader] = {
    OURS: source_coupa.READER,
    "builder-edition": builder_edition.READER,
    ONE_PAGE: one_page.READER,
    "coupa-async-client": coupa_async_client.READER,
    "dlt-rest-api": dlt_rest_api.READER,
}
