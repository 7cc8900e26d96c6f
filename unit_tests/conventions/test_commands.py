"""The commands of bin/ are what people, tasks, hooks and workflows run, each under its name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]

COMMANDS = sorted(path.name for path in (ROOT / "bin").iterdir() if not path.name.startswith("_"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

# what Airbyte's repository runs for each connector
_AIRBYTE_TASKS = {
    *("install", "lock", "test-fast", "test-unit-tests", "test-integration-tests", "test-all"),
    *("check-all", "fix-all", "fix-and-check", "format-check", "format-fix", "lint-check"),
}


@dataclass(frozen=True)
class Step:
    """A step of a job in a workflow."""

    workflow: str
    job: str
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.workflow}-{self.job}-{self.body.get('uses') or self.body['run']}"


def _jobs() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            yield path.stem, name, job


STEPS = [
    Step(workflow, name, step) for workflow, name, job in _jobs() for step in job.get("steps", ())
]


def _named(text: str) -> set[str]:
    """The commands of bin/ that a text names."""
    return set(re.findall(r"(?:^|[\s`\"'(])(?:\./)?bin/(\w[\w-]*)", text))


def _tasks() -> dict[str, dict[str, Any]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    tasks: dict[str, dict[str, Any]] = project["tool"]["poe"]["tasks"]
    return tasks


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_can_be_run_and_says_what_it_does(command: str) -> None:
    path = ROOT / "bin" / command
    assert os.access(path, os.X_OK)
    first, second, *_ = path.read_text().splitlines()
    assert first == "#!/usr/bin/env bash"
    assert second.startswith("# ")
    assert f"| `bin/{command}` |" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("text", ["README.md", "CONTRIBUTING.md", "AGENTS.md", ".ci/run"])
def test_commands_that_are_named_are_there(text: str) -> None:
    assert _named((ROOT / text).read_text()) <= set(COMMANDS)


def test_tasks_run_the_commands() -> None:
    tasks = _tasks()
    assert tasks.keys() >= _AIRBYTE_TASKS
    run = " ".join(task["cmd"] for task in tasks.values() if "cmd" in task)
    assert _named(run) == set(COMMANDS)
    assert {task["ref"] for task in tasks.values() if "ref" in task} <= tasks.keys()


def test_hooks_run_the_commands() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    entries = [hook["entry"] for repository in config["repos"] for hook in repository["hooks"]]
    assert entries
    for entry in entries:
        command, *arguments = entry.split()
        assert _named(command) <= set(COMMANDS)
        assert _named(command)
        assert all((ROOT / path).exists() for path in arguments if not path.startswith("-"))


@pytest.mark.parametrize("step", STEPS, ids=str)
def test_steps_of_workflows_are_pinned_or_run_what_is_there(step: Step) -> None:
    if "uses" in step.body:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.body["uses"])
    else:
        assert _named(step.body["run"]) <= set(COMMANDS)


def test_ci_checks_and_tests_every_python_that_is_supported() -> None:
    [job] = [job for workflow, name, job in _jobs() if (workflow, name) == ("ci", "test")]
    run = {step["run"] for step in job["steps"] if "run" in step}
    assert {"bin/check", "bin/test -n auto"} <= run
    poetry = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["poetry"]
    assert poetry["dependencies"]["python"] == ">=3.10,<3.14"
    assert job["strategy"]["matrix"]["python"] == ["3.10", "3.11", "3.12", "3.13"]


def test_nothing_is_published_before_all_checks_and_the_tag() -> None:
    jobs = {name: job for workflow, name, job in _jobs() if workflow == "publish"}
    assert jobs["check"]["uses"].endswith("/ci.yml")
    tagged = [name for name, job in jobs.items() if 'bin/build "$GITHUB_REF_NAME"' in str(job)]
    assert tagged == ["build"]
    writing = {name for name, job in jobs.items() if "write" in job["permissions"].values()}
    assert writing == {"pypi", "image"}
    for name in writing:
        assert set(jobs[name]["needs"]) == {"check", "build"}


def test_workflows_know_no_secret() -> None:
    for path in WORKFLOWS:
        assert set(re.findall(r"secrets\.(\w+)", path.read_text())) <= {"GITHUB_TOKEN"}


@pytest.mark.slow
def test_a_tag_that_is_not_the_version_builds_nothing(tmp_path: Path) -> None:
    run = subprocess.run(
        [ROOT / "bin" / "build", "v99.0.0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == ""
    version = yaml.safe_load((ROOT / "metadata.yaml").read_text())["data"]["dockerImageTag"]
    last = run.stderr.splitlines()[-1]
    assert last == f"error: the tag v99.0.0 is not v{version}, the version in pyproject.toml."


_MAKE = """
source bin/_common.sh
install_venv() { echo made >>log; sleep 0.5; touch "$root/.venv/filled"; }
make_environment .venv 13 list
[ -e .venv/filled ]
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the scripts' common part, whose Python makes environments without pip."""
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "_common.sh", tmp_path / "bin")
    (tmp_path / "list").touch()
    (tmp_path / "log").touch()
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$2" != venv ] || exec mkdir -p "$4"\nexec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    return tmp_path


def _making(checkout: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHON": str(checkout / "python")}
    return subprocess.Popen(["bash", "-c", _MAKE], cwd=checkout, env=environment)


def test_of_commands_at_once_one_makes_the_environment(checkout: Path) -> None:
    processes = [_making(checkout) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (checkout / "log").read_text() == "made\n"


def test_an_environment_is_made_again_when_its_list_changes(checkout: Path) -> None:
    assert _making(checkout).wait(60) == 0
    (checkout / "list").write_text("more")
    assert _making(checkout).wait(60) == 0
    assert _making(checkout).wait(60) == 0
    assert (checkout / "log").read_text() == "made\n" * 2


def test_the_environment_of_another_folder_is_not_emptied(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "filled").touch()
    (checkout / ".venv").symlink_to(other)
    assert _making(checkout).wait(60) == 0
    assert (checkout / "log").read_text() == ""
