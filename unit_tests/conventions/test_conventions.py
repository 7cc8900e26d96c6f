"""The project keeps every rule, and no rule is dead: each finds what breaks it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from . import catalog, manifest, metadata, packaging, pages, schemas, spec
from .project import ROOT, Project
from .rules import Check, Convention

CONVENTIONS: Mapping[str, Convention[Any]] = {
    "metadata": Convention(
        metadata.CHECKS, lambda: {"metadata.yaml": metadata.read()}, metadata.read
    ),
    "packaging": Convention(packaging.CHECKS, lambda: {"": Project.read()}, Project.read),
    "manifest": Convention(
        manifest.CHECKS, lambda: {"manifest.yaml": manifest.read()}, manifest.example
    ),
    "spec": Convention(spec.CHECKS, lambda: {"spec": spec.read()}, spec.example),
    "catalog": Convention(catalog.CHECKS, lambda: {"discover": catalog.read()}, catalog.example),
    "schemas": Convention(schemas.CHECKS, schemas.read, schemas.example),
    "pages": Convention(pages.CHECKS, lambda: {"": pages.Pages.read()}, pages.Pages.read),
}


CASES = [
    pytest.param(convention, check, id=f"{kind}-{check.name}")
    for kind, convention in CONVENTIONS.items()
    for check in convention.checks
]


@pytest.mark.parametrize(("convention", "check"), CASES)
def test_the_rule_is_kept(convention: Convention[Any], check: Check[Any]) -> None:
    problems = {name: check.run(document) for name, document in convention.documents().items()}
    assert {name: found for name, found in problems.items() if found} == {}


@pytest.mark.parametrize(("convention", "check"), CASES)
def test_the_rule_finds_what_breaks_it(convention: Convention[Any], check: Check[Any]) -> None:
    sound = convention.example()
    assert check.run(sound) == []
    for fault in check.faults:
        assert check.run(sound.with_edit(*fault)) != [], fault


def test_each_rule_is_in_a_table() -> None:
    for kind in CONVENTIONS:
        module = sys.modules[f"{__package__}.{kind}"]
        written = {name for name in vars(module) if name.startswith("check_")}
        assert {check.run.__name__ for check in CONVENTIONS[kind].checks} == written


def test_claude_md_is_a_link_to_agents_md() -> None:
    assert (ROOT / "CLAUDE.md").readlink() == Path("AGENTS.md")
