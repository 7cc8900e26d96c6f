"""Airbyte's standard tests, run by Airbyte's own command as CONTRIBUTING says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from source_coupa.config import SANDBOX_VARIABLE

from .full_records import full_sandbox

ROOT = Path(__file__).resolve().parents[1]

# all but those of the image, and those that a wrong secret ends
TESTS = [
    "test_basic_read['sample_config' Test Scenario]",
    "test_check['invalid_config' Test Scenario]",
    "test_check['sample_config' Test Scenario]",
    "test_config_matches_spec['sample_config' Test Scenario]",
    "test_discover['sample_config' Test Scenario]",
    "test_fail_read_with_bad_catalog['sample_config' Test Scenario]",
    "test_spec",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the command needs of a checkout, in a folder of the name that it asks for."""
    folder = tmp_path / "source-coupa"
    (folder / "integration_tests").mkdir(parents=True)
    for name in ("acceptance-test-config.yml", "metadata.yaml", "pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, folder)
    for name in ("sample_config.json", "invalid_config.json"):
        shutil.copy(ROOT / "integration_tests" / name, folder / "integration_tests")
    shutil.copytree(ROOT / "source_coupa", folder / "source_coupa")
    return folder


@pytest.mark.slow
def test_the_command_of_the_cdk_passes_in_a_checkout(checkout: Path) -> None:
    with full_sandbox() as sandbox:
        for config in checkout.glob("integration_tests/*.json"):
            config.write_text(config.read_text().replace("http://localhost:8080", sandbox.url))
        environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        run = subprocess.run(
            [Path(sys.executable).with_name("airbyte-cdk"), "connector", "test", "."],
            cwd=checkout,
            env=environment | {SANDBOX_VARIABLE: "1"},
            capture_output=True,
            text=True,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    (results,) = (checkout / "build").rglob("*.xml")
    cases = ElementTree.parse(results).iter("testcase")
    assert sorted(case.attrib["name"] for case in cases if not len(case)) == TESTS
