"""Without `Accept: application/json` Coupa sends XML."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

import integration_tests.sandbox
from integration_tests.sandbox.xml import list_to_xml
from unit_tests.sandbox.conftest import Api, Start

PAYLOADS = Path(integration_tests.sandbox.__file__).parent / "payloads"


def tree(api: Api, path: str, raw: str = "") -> ElementTree.Element:
    response = api.get(path, raw, headers={"Accept": "*/*"})
    assert response.headers["Content-Type"].startswith("application/xml")
    return ElementTree.fromstring(response.content)


@pytest.mark.parametrize(
    ("path", "root", "item"),
    [
        ("users", "users", "user"),
        ("invoices", "invoice-headers", "invoice-header"),
        ("expense_reports", "expense-reports", "expense-report"),
        ("expense_lines", "expense-lines", "expense-line"),
    ],
)
def test_lists_are_wrapped(api: Api, path: str, root: str, item: str) -> None:
    element = tree(api, path)
    assert (element.tag, element.get("type")) == (root, "array")
    assert [child.tag for child in element] == [item] * len(element)
    ids = [int(child.findtext("id") or 0) for child in element]
    assert ids == api.sandbox.tables[path].ids()[:50]
    id = ids[0]
    assert tree(api, f"{path}/{id}").tag == item


def types(element: ElementTree.Element, path: str = "") -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for child in element:
        if child.text or len(child):
            found[f"{path}/{child.tag}"] = child.get("type")
        found |= types(child, f"{path}/{child.tag}")
    return found


def test_type_attributes_are_those_of_the_documented_sample() -> None:
    from integration_tests.sandbox import payload

    printed = ElementTree.fromstring((PAYLOADS / "users-0015-list.xml").read_bytes())
    ours = ElementTree.fromstring(list_to_xml("users", payload("users-0015-list.json")))
    expected, made = types(printed), types(ours)
    both = expected.keys() & made.keys()
    assert len(both) > 60
    assert {
        name: (expected[name], made[name]) for name in both if expected[name] != made[name]
    } == {"/user/authentication-method": ("symbol", None)}


def test_no_match_is_404(api: Api) -> None:
    response = api.get("users", "login=nobody", headers={"Accept": "application/xml"})
    assert response.status_code == 404
    printed = ElementTree.fromstring((PAYLOADS / "empty-0011-list.xml").read_bytes())
    made = ElementTree.fromstring(response.content)
    assert made.findtext("error") == printed.findtext("error")


def test_errors(api: Api) -> None:
    response = api.get("users", "limit=0", headers={"Accept": ""})
    assert response.status_code == 400
    assert ElementTree.fromstring(response.content).findtext("error")


def test_awkward_text_stays_well_formed(start: Start) -> None:
    api = start(rows={})
    table = api.sandbox.tables["users"]
    table.add({"id": 1, "login": "<a> & \x07 \U0001f600", "custom-fields": {"A b?": "]]>"}})
    element = tree(api, "users")[0]
    assert element.findtext("login") == "<a> &  \U0001f600"
    assert element.findtext("custom-fields/A-b-") == "]]>"
