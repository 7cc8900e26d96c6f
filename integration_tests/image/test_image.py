"""The container image: what it says of itself, what is in it, and Airbyte's commands in it.

`bin/test -m image_tests` builds it with Docker or buildah, on the base image that `Dockerfile`
names or on `BASE_IMAGE`; `BASE_IMAGE=stand-in` needs no image from elsewhere.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import yaml

from integration_tests.harness import ALL_STREAMS, RESOURCE_OF, discover, run_here
from integration_tests.sandbox import Dialect, Sandbox

from . import listing
from .built import ROOT, Built, build
from .engines import Engine, UnavailableError, open_engine
from .pip_settings import PipSettings
from .trials import ROWS, Trial, trials

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = [pytest.mark.image_tests, pytest.mark.slow]

_PRIVATE = "/nowhere/private-5e9c70b1"
"""A setting of pip that does nothing, and is nowhere else."""

_CONTROL = '{"type":"CONTROL"'

_TRIALS = (
    "spec",
    "check",
    "check with untidy settings",
    "check with a wrong secret",
    "discover",
    "read",
    "read where invoices are refused",
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    try:
        with open_engine() as engine:
            yield engine
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def built(engine: Engine) -> Built:
    pip = PipSettings.of_this_machine()
    pip = replace(pip, text=f"{pip.text}\n[freeze]\npath = {_PRIVATE}\n")
    try:
        return build(engine, os.environ.get("BASE_IMAGE"), pip=pip)
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def added(engine: Engine, built: Built) -> dict[str, listing.Entry]:
    """What the image has over its base: path -> entry."""
    base = listing.entries(engine, built.base)
    assert "/airbyte" in base
    return listing.added(base, listing.entries(engine, built.image))


@dataclass(frozen=True)
class Outcomes:
    """What came of each trial, and the rows that there were to read."""

    of: Mapping[str, Trial]
    config: Mapping[str, Any]
    rows: Mapping[str, list[int]]


@pytest.fixture(scope="module")
def outcomes(engine: Engine, built: Built) -> Iterator[Outcomes]:
    with Sandbox(ROWS, dialect=Dialect(rate_limit=None)) as sandbox:
        tried = {trial.title: trial for trial in trials(engine, built.image, sandbox)}
        sandbox.faults.clear()
        rows = {name: sandbox.tables[RESOURCE_OF[name]].ids() for name in ALL_STREAMS}
        yield Outcomes(tried, sandbox.config(), rows)


def test_the_image_says_what_airbyte_asks(engine: Engine, built: Built) -> None:
    metadata = yaml.safe_load((ROOT / "metadata.yaml").read_text())["data"]
    config = engine.config(built.image)
    assert config.labels["io.airbyte.name"] == metadata["dockerRepository"]
    assert config.labels["io.airbyte.version"] == metadata["dockerImageTag"]
    assert [config.environment["AIRBYTE_ENTRYPOINT"]] == list(config.entrypoint)
    assert config.user == "airbyte"
    assert config.folder == "/airbyte/integration_code"


def test_commands_run_without_rights(engine: Engine, built: Built) -> None:
    assert engine.run(built.image, ["/usr/bin/id", "-u"]).stdout == "1000\n"
    for place in (listing.ENVIRONMENT, "/airbyte/integration_code", "/etc"):
        assert engine.run(built.image, ["/usr/bin/test", "-w", place]).returncode == 1, place


def test_nothing_but_the_environment_is_added(added: dict[str, listing.Entry]) -> None:
    """No cache, no settings, no sources: not even a file of the base is another."""
    parts = {path for path in added if not path.startswith(f"{listing.ENVIRONMENT}/")}
    assert parts <= {listing.ENVIRONMENT, "/airbyte/integration_code"}
    assert {entry.owner for entry in added.values()} == {0}


def test_the_environment_holds_the_locked_packages_and_no_tools(
    engine: Engine, built: Built
) -> None:
    """What only the tests need stays out, and so does what only the build needs."""
    lock = tomllib.loads((ROOT / "poetry.lock").read_text())
    needed = {(p["name"], p["version"]) for p in lock["package"] if "main" in p["groups"]}
    installed = {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in listing.packages(engine, built.image).items()
    }
    version = yaml.safe_load((ROOT / "metadata.yaml").read_text())["data"]["dockerImageTag"]
    assert installed.pop("airbyte-source-coupa") == version
    assert installed.items() <= needed
    assert {"airbyte-cdk", "requests"} <= installed.keys()
    assert not {"pip", "poetry-core", "pytest", "mypy"} & installed.keys()


def test_every_module_is_compiled(engine: Engine, built: Built) -> None:
    """The user of the image cannot write what Python compiles: each start would do it again. Times
    of files change by a second on their way into a layer, so they must not matter."""
    modules, uncompiled = listing.uncompiled(engine, built.image)
    assert modules > 1_000
    assert uncompiled == []


def test_settings_of_the_machine_do_not_stay(engine: Engine, built: Built) -> None:
    assert _PRIVATE in built.pip.text
    assert listing.holding(engine, built.image, _PRIVATE) == []
    assert listing.holding(engine, built.image, "airbyte-cdk") != [], "the search must find"
    said = engine.config(built.image)
    assert not [name for name in said.environment if "PIP_CONFIG" in name or "proxy" in name]
    assert _PRIVATE not in str(said)


@pytest.mark.parametrize("title", _TRIALS)
def test_commands_end_as_airbyte_expects(outcomes: Outcomes, title: str) -> None:
    trial = outcomes.of[title]
    assert trial.run.exit_code == trial.exit_code, trial.run.stderr
    # nothing but messages, each on a line of its own
    assert trial.run.messages
    assert len(trial.run.stdout.rstrip("\n").split("\n")) == len(trial.run.messages)
    # a CONTROL message hands the settings to the platform, as the protocol has it
    others = [line for line in trial.run.stdout.split("\n") if not line.startswith(_CONTROL)]
    assert outcomes.config["client_secret"] not in "\n".join([*others, trial.run.stderr])


def test_no_trial_is_left_out(outcomes: Outcomes) -> None:
    assert tuple(outcomes.of) == _TRIALS


def test_spec_is_the_one_of_these_sources(outcomes: Outcomes) -> None:
    [shown] = outcomes.of["spec"].run.of_type("SPEC")
    [expected] = run_here(["spec"]).of_type("SPEC")
    assert shown == expected


def test_check_responds_in_words(outcomes: Outcomes) -> None:
    for title in ("check", "check with untidy settings"):
        assert outcomes.of[title].run.connection_status["status"] == "SUCCEEDED", title
    refused = outcomes.of["check with a wrong secret"].run.connection_status
    assert refused["status"] == "FAILED"
    assert "client" in refused["message"]


def test_discover_shows_the_streams_of_these_sources(outcomes: Outcomes) -> None:
    [shown] = outcomes.of["discover"].run.of_type("CATALOG")
    [expected] = discover(outcomes.config).of_type("CATALOG")
    assert shown == expected


def test_read_brings_every_row(outcomes: Outcomes) -> None:
    records = outcomes.of["read"].run.of_type("RECORD")
    for stream in ALL_STREAMS:
        ids = [m["record"]["data"]["id"] for m in records if m["record"]["stream"] == stream]
        assert sorted(ids) == outcomes.rows[stream], stream
    assert outcomes.of["read"].run.errors == []


def test_a_failed_read_says_why_and_brings_the_rest(outcomes: Outcomes) -> None:
    run = outcomes.of["read where invoices are refused"].run
    assert "core.invoice.read" in run.errors[0]["message"]
    streams = {message["record"]["stream"] for message in run.of_type("RECORD")}
    assert streams == set(ALL_STREAMS) - {"invoices"}
