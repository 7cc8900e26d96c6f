"""Airbyte's standard tests, from the CDK, with the scenarios of acceptance-test-config.yml."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from airbyte_cdk.sources.streams.call_rate import MovingWindowCallRatePolicy
from airbyte_cdk.test.models import ConnectorTestScenario
from airbyte_cdk.test.standard_tests.source_base import SourceTestSuiteBase

from source_coupa import SourceCoupa

from .full_records import add_full_records
from .sandbox import RESOURCES, Dialect, Sandbox

pytest_plugins = ["airbyte_cdk.test.standard_tests.pytest_hooks"]

ROOT = Path(__file__).resolve().parents[1]


TODAY = datetime.now(timezone.utc)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Something to read in every stream, all of it changed within the last days."""
    days = [TODAY - timedelta(days=day) for day in range(1, 9)]
    rows = dict.fromkeys(RESOURCES, 2)
    with Sandbox(rows, dialect=Dialect(rate_limit=None), spread=days) as sandbox:
        add_full_records(sandbox, days[0])
        yield sandbox


class TestAirbyteStandards(SourceTestSuiteBase):
    """The suite for Python sources, told how this one is made.

    The CDK's own way makes `SourceCoupa()` without a config, which a declarative source needs
    when it is made, and finds the connector by the name of the folder.
    """

    @classmethod
    def get_connector_root_dir(cls) -> Path:
        """The root of the project, whatever its folder is called."""
        return ROOT

    @classmethod
    def get_scenarios(cls) -> list[ConnectorTestScenario]:
        """The scenarios with their configurations read, so that the address can be put in."""
        return [
            scenario.model_copy(
                update={
                    "config_dict": scenario.get_config_dict(
                        connector_root=ROOT, empty_if_missing=False
                    )
                }
            )
            for scenario in super().get_scenarios()
        ]

    @pytest.fixture(autouse=True)
    def _at_the_sandbox(
        self, request: pytest.FixtureRequest, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(MovingWindowCallRatePolicy, "try_acquire", lambda *_, **__: None)
        if "scenario" in request.fixturenames:
            config = request.getfixturevalue("scenario").config_dict
            config["instance_url"] = sandbox.url
            config["start_date"] = (TODAY - timedelta(days=9)).strftime("%Y-%m-%dT00:00:00Z")

    @classmethod
    def create_connector(cls, scenario: ConnectorTestScenario | None) -> SourceCoupa:
        """The source of a scenario; one without configuration for `spec`."""
        config = scenario.config_dict if scenario else None
        return SourceCoupa(config=config)


# Airbyte's tests of the image need a Docker daemon, fetch a Dockerfile, and start containers that
# cannot reach the sandbox. `image/test_image.py` tests the same and more, with the sandbox.
for _name in [name for name in dir(TestAirbyteStandards) if name.startswith("test_docker_image")]:
    setattr(TestAirbyteStandards, _name, None)
