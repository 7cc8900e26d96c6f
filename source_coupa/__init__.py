"""Airbyte source connector for Coupa's Core API."""

from source_coupa.source import SourceCoupa

__all__ = ["SourceCoupa"]
