"""What users read when a sync cannot be done."""

from __future__ import annotations


class SyncError(Exception):
    """Its text is one or a few sentences for the user, without a secret in them."""
