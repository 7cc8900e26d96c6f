"""Records of lists below others: the addresses of a user, the comments on an invoice."""

from __future__ import annotations

from random import Random

from integration_tests.sandbox.blueprint import Record, created, row_id, updated

from . import parts

_OWN = {"id": row_id(), "created-at": created(), "updated-at": updated()}


def user_address(random: Random, size: int) -> Record:
    """An address, by the field table of doc 0034."""
    return {**parts.address(random), **_OWN}


def invoice_comment(random: Random, size: int) -> Record:
    """A comment, by the field table of doc 0112."""
    return {**parts.comment(random, 1, "InvoiceHeader"), **_OWN}
