"""The SQL of the pages is run on tables that a sync has made, and finds what is there."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from .databases import Database, DuckDBFile, PostgresDatabase
from .reference.page import BESIDE, PAGE
from .sandbox import Dialect, Record, Sandbox
from .sync_command import run_sync

pytestmark = pytest.mark.slow

NEWEST = 50
"""So many records of each list show discover which columns there are."""

OLD_FIELD = "legacy-cost-center"
"""A custom field that only records before the newest ones have."""

ROWS = {
    "invoices": 40 + NEWEST,
    "purchase_order_lines": 8,
    "purchase_orders": 4,
    "requisitions": 4,
    "suppliers": 3,
}
STREAMS = (*ROWS, "invoice_lines")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Invoices of known suppliers, and a chain from each requisition to lines of invoices."""
    with Sandbox(rows=ROWS, dialect=Dialect(rate_limit=None)) as sandbox:
        ids = {name: table.ids() for name, table in sandbox.tables.items()}
        for place, id in enumerate(ids["suppliers"]):
            sandbox.tables["suppliers"].edit(id, {"name": f"Supplier {place}"})
        for place, id in enumerate(ids["purchase_orders"]):
            sandbox.tables["purchase_orders"].edit(
                id, {"requisition-header": {"id": ids["requisitions"][place]}}
            )
        for place, id in enumerate(ids["purchase_order_lines"]):
            order = ids["purchase_orders"][place % len(ids["purchase_orders"])]
            sandbox.tables["purchase_order_lines"].edit(id, {"order-header-id": order})
        for place, id in enumerate(ids["invoices"]):
            table = sandbox.tables["invoices"]
            lines = [
                {**line, "order-line-id": ids["purchase_order_lines"][place % 8]}
                for line in table.get(id)["invoice-lines"]
            ]
            supplier = ids["suppliers"][place % len(ids["suppliers"])]
            table.edit(
                id,
                {
                    "supplier": {"id": supplier},
                    "invoice-lines": lines,
                    "gross-total": f"{place}.50",
                    "custom-fields": {
                        "cost-center": f"CC-{place % 2}",
                        "project-code": {"id": 41, "name": "Project 17"},
                    },
                    **({OLD_FIELD: f"L-{place}"} if place < 3 else {}),
                },
            )
        yield sandbox


@pytest.fixture(scope="module", params=["DuckDB", "PostgreSQL"])
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox
) -> Database:
    folder = tmp_path_factory.mktemp("sync")
    database: Database = DuckDBFile(folder / "coupa.duckdb")
    schema = "main"
    if request.param == "PostgreSQL":
        server = request.getfixturevalue("postgres_server")
        server.run("DROP SCHEMA IF EXISTS public CASCADE")
        database, schema = PostgresDatabase(server), "public"
    config = folder / "config.json"
    config.write_text(json.dumps(sandbox.config()))
    arguments = ("--config", str(config), "--streams", *STREAMS, "--schema", schema, "--once")
    run = run_sync(folder, *arguments, "--database", database.argument)
    assert run.returncode == 0, run.stderr
    return database


def sql_of(page: Path, *, intro: str) -> str:
    """The query that follows a line of the page."""
    text = page.read_text(encoding="utf-8")
    [query] = re.findall(rf"(?ms)^{re.escape(intro)}\n\n```sql\n(.*?)```", text)
    return str(query)


def records(sandbox: Sandbox, resource: str) -> list[Record]:
    return list(sandbox.tables[resource].records())


def totals(database: Database, query: str, key: str) -> Mapping[Any, Decimal]:
    """What a query finds: value of its column `key` -> sum."""
    rows = database.rows(f"select {key}, cast(gross_total as varchar) as total from ({query}) as q")
    return {row[key]: Decimal(row["total"]) for row in rows}


def test_invoices_join_suppliers_by_column_and_through_the_object(
    database: Database, sandbox: Sandbox
) -> None:
    names = {supplier["id"]: supplier["name"] for supplier in records(sandbox, "suppliers")}
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for invoice in records(sandbox, "invoices"):
        expected[names[invoice["supplier"]["id"]]] += Decimal(invoice["gross-total"])
    kind = "DuckDB" if isinstance(database, DuckDBFile) else "PostgreSQL"
    by_column = "This query adds up the invoices of each supplier, in every database whose decimals"
    for intro in (f"{kind}:", f"{by_column} have 38 digits:"):
        query = sql_of(BESIDE / "data-model.md", intro=intro)
        assert totals(database, query, "name") == expected, intro


def only_duckdb(database: Database) -> None:
    if not isinstance(database, DuckDBFile):
        pytest.skip("the page shows this query for DuckDB")


def test_a_chain_of_joins_leads_from_requisition_to_invoice(
    database: Database, sandbox: Sandbox
) -> None:
    intro = "A chain of joins, from the requisition to the invoice:"
    query = sql_of(BESIDE / "data-model.md", intro=intro)
    found = database.rows(f"select requisition_id from ({query}) as q")
    lines = [line for i in records(sandbox, "invoices") for line in i["invoice-lines"]]
    assert len(found) == len(lines) > 0
    assert {row["requisition_id"] for row in found} == {*sandbox.tables["requisitions"].ids()}


def test_custom_fields_are_queried_by_name(database: Database, sandbox: Sandbox) -> None:
    only_duckdb(database)
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for invoice in records(sandbox, "invoices"):
        expected[invoice["custom-fields"]["cost-center"]] += Decimal(invoice["gross-total"])
    query = sql_of(BESIDE / "custom-fields.md", intro="Invoices by cost center, in DuckDB:")
    assert totals(database, query, "cost_center") == expected


def test_custom_fields_are_reached_as_the_table_shows(database: Database) -> None:
    kind = "DuckDB" if isinstance(database, DuckDBFile) else "PostgreSQL"
    text = (BESIDE / "custom-fields.md").read_text(encoding="utf-8")
    [(flat, nested)] = re.findall(rf"(?m)^\| {kind} \| `(.+?)` \| `(.+?)` \|$", text)
    rows = database.rows(f"select distinct {flat} as flat, {nested} as nested from invoices")
    assert {(row["flat"], row["nested"]) for row in rows} == {
        ("CC-0", "Project 17"),
        ("CC-1", "Project 17"),
    }


def test_older_custom_fields_without_a_column_are_found(
    database: Database, sandbox: Sandbox
) -> None:
    only_duckdb(database)
    text = (BESIDE / "custom-fields.md").read_text(encoding="utf-8")
    [query] = re.findall(r"(?ms)```sql\n(select id, additional_fields.*?)```", text)
    oldest = sandbox.tables["invoices"].ids()[:3]
    assert {row["id"]: row["legacy_cost_center"] for row in database.rows(query)} == {
        id: f"L-{place}" for place, id in enumerate(oldest)
    }


def test_the_queries_of_the_docs_page_run_on_both(database: Database, sandbox: Sandbox) -> None:
    text = PAGE.read_text(encoding="utf-8")
    [sums, lines] = re.findall(r"```sql\n(.*?)```", text, re.S)
    assert sum(totals(database, sums, "status").values()) == sum(
        Decimal(invoice["gross-total"]) for invoice in records(sandbox, "invoices")
    )
    assert len(database.rows(f"select id from ({lines}) as q")) == sum(
        len(invoice["invoice-lines"]) for invoice in records(sandbox, "invoices")
    )
