"""The project's files agree with each other and with what Airbyte demands of a connector.

Checks are data (`CHECKS`): each takes the texts of the project and returns a list of problems, so
that one run reports everything. Its `fault` is an edit that must make it complain. The rules are
those of Airbyte's metadata service and connector QA, as far as they need no network.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest
import yaml
from airbyte_connector_models.metadata.v0.connector_metadata_definition_v0 import (
    ConnectorMetadataDefinitionV0,
)
from poetry.core.masonry import api as poetry_core
from pydantic import ValidationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]

_NOT_SHIPPED = {"unit_tests", "integration_tests", "build", "dist"}
_TEXTS = {"", ".ini", ".lock", ".md", ".py", ".svg", ".toml", ".txt", ".yaml", ".yml"}

Problems = list[str]


@dataclass(frozen=True)
class Project:
    """The texts of the project's files, tests left out: path -> text."""

    texts: Mapping[str, str]

    @classmethod
    def read(cls) -> Project:
        texts = {}
        for path in sorted(ROOT.rglob("*")):
            parts = path.relative_to(ROOT).parts
            hidden = any(part.startswith(".") or part == "__pycache__" for part in parts)
            if hidden or parts[0] in _NOT_SHIPPED or path.suffix not in _TEXTS:
                continue
            if path.is_file():
                texts["/".join(parts)] = path.read_text(encoding="utf-8")
        return cls(texts)

    def with_edit(self, path: str, old: str, new: str) -> Project:
        """The project with `old` replaced in one file, which is made where `old` is empty."""
        text = self.texts.get(path, "")
        assert old in text, f"{path} holds no {old!r}"
        return Project({**self.texts, path: text.replace(old, new, 1) if old else new})

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The `data` of metadata.yaml."""
        data: dict[str, Any] = yaml.safe_load(self.texts["metadata.yaml"])["data"]
        return data

    @cached_property
    def poetry(self) -> dict[str, Any]:
        """The table tool.poetry of pyproject.toml."""
        poetry: dict[str, Any] = self.toml("pyproject.toml")["tool"]["poetry"]
        return poetry

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the connector."""
        manifest: dict[str, Any] = yaml.safe_load(self.texts["source_coupa/manifest.yaml"])
        return manifest

    def toml(self, path: str) -> dict[str, Any]:
        """The tables of a TOML file."""
        tables: dict[str, Any] = tomllib.loads(self.texts[path])
        return tables

    def dockerfile(self, pattern: str) -> str:
        """What the group of `pattern` matches in the Dockerfile, empty if nothing."""
        found = re.search(pattern, self.texts["Dockerfile"], re.M)
        return found[1] if found else ""


def _unequal(what: str, values: Mapping[str, object]) -> Problems:
    return [] if len(set(values.values())) == 1 else [f"{what} differs: {dict(values)}"]


def check_metadata_model(project: Project) -> Problems:
    try:
        ConnectorMetadataDefinitionV0.model_validate(yaml.safe_load(project.texts["metadata.yaml"]))
    except ValidationError as error:
        return [f"{problem['loc']}: {problem['msg']}" for problem in error.errors()]
    return []


def check_definition_id(project: Project) -> Problems:
    given = project.metadata["definitionId"]
    return [] if UUID(given).version == 4 else [f"definitionId {given} is no random UUID"]


def check_tags(project: Project) -> Problems:
    tags = project.metadata["tags"]
    problems = [f"tag {tag} is not key:value" for tag in tags if tag.count(":") != 1]
    wanted = {"language:python", "cdk:low-code"}
    return problems + [f"no tag {tag}" for tag in sorted(wanted - set(tags))]


def check_versions(project: Project) -> Problems:
    version = project.metadata["dockerImageTag"]
    problems = _unequal(
        "version",
        {
            "metadata.yaml": version,
            "pyproject.toml": project.poetry["version"],
            "Dockerfile": project.dockerfile(r"^LABEL io\.airbyte\.version=(.*)$"),
        },
    )
    if not re.fullmatch(r"\d+\.\d+\.\d+(-rc\.\d+)?", version):
        problems.append(f"{version} is no semantic version")
    breaking = project.metadata.get("releases", {}).get("breakingChanges", {})
    if re.fullmatch(r"[1-9]\d*\.0\.0", version) and version not in breaking:
        problems.append(f"{version} is a major version without a breakingChanges entry")
    return problems


def check_names(project: Project) -> Problems:
    repository = project.metadata["dockerRepository"]
    name = repository.removeprefix("airbyte/")
    package = project.metadata["remoteRegistries"]["pypi"]["packageName"]
    acceptance = yaml.safe_load(project.texts["acceptance-test-config.yml"])["connector_image"]
    label = project.dockerfile(r"^LABEL io\.airbyte\.name=(.*)$")
    return [
        *_unequal("repository", {"metadata": repository, "Dockerfile": label}),
        *_unequal("repository", {"metadata": repository, "tests": acceptance.split(":")[0]}),
        *_unequal("package", {"metadata": package, "pyproject": project.poetry["name"]}),
        *_unequal("package", {"metadata": package, "repository": f"airbyte-{name}"}),
        *_unequal("command", {"pyproject": next(iter(project.poetry["scripts"])), "name": name}),
        *_unequal("label", {"metadata": project.metadata["githubIssueLabel"], "name": name}),
    ]


def check_licence(project: Project) -> Problems:
    licence = project.metadata["license"]
    problems = _unequal("licence", {"metadata": licence, "pyproject": project.poetry["license"]})
    if licence != "MIT" or not project.texts["LICENSE"].startswith("MIT License\n"):
        problems.append("LICENSE is not the MIT license that metadata.yaml names")
    return problems


def check_base_image(project: Project) -> Problems:
    image = project.metadata["connectorBuildOptions"]["baseImage"]
    problems = _unequal(
        "base image", {"metadata": image, "Dockerfile": project.dockerfile("^ARG BASE_IMAGE=(.*)$")}
    )
    if not re.fullmatch(r"[^:@]+:[^:@]+@sha256:[0-9a-f]{64}", image):
        problems.append("the base image is not named by tag and digest")
    return problems


def check_image(project: Project) -> Problems:
    environment = project.dockerfile(r'^ENV AIRBYTE_ENTRYPOINT="(.*)"$')
    entrypoint = project.dockerfile(r'^ENTRYPOINT \["(.*)"\]$')
    problems = _unequal("entrypoint", {"ENV": environment, "ENTRYPOINT": entrypoint})
    user = re.findall(r"^USER (.*)$", project.texts["Dockerfile"], re.M)[-1:]
    if user != ["airbyte"]:
        problems.append(f"the image runs as {user}")
    copied = re.findall(r"^COPY (?!--)(.*) \S+$", project.texts["Dockerfile"], re.M)
    for source in " ".join(copied).split():
        if not any(path == source or path.startswith(f"{source}/") for path in project.texts):
            problems.append(f"the Dockerfile copies {source}, which is not there")
    return problems


def check_pypi(project: Project) -> Problems:
    return [] if project.metadata["remoteRegistries"]["pypi"]["enabled"] else ["PyPI is off"]


def check_streams(project: Project) -> Problems:
    streams = {stream["$parameters"]["name"] for stream in project.manifest["streams"]}
    suggested = project.metadata["suggestedStreams"]["streams"]
    return [f"suggested stream {name} is not there" for name in suggested if name not in streams]


def check_allowed_hosts(project: Project) -> Problems:
    settings = project.manifest["spec"]["connection_specification"]["properties"]
    hosts = project.metadata["allowedHosts"]["hosts"]
    named = [match[1] for host in hosts for match in re.finditer(r"\$\{(.*?)\}", host)]
    problems = [f"allowedHosts names the setting {key}" for key in named if key not in settings]
    return problems if hosts else ["an empty allowedHosts allows no network at all"]


def check_silence(project: Project) -> Problems:
    seconds = project.metadata.get("maxSecondsBetweenMessages", 0)
    return [] if 600 <= seconds <= 10_800 else [f"maxSecondsBetweenMessages is {seconds}"]


def check_icon(project: Project) -> Problems:
    icon = ElementTree.fromstring(project.texts["icon.svg"])
    sides = {icon.get("width"), icon.get("height"), *icon.get("viewBox", "").split()[2:]}
    return [] if len(sides) == 1 else [f"icon.svg is not square: {sides}"]


def check_files(project: Project) -> Problems:
    wanted = {"pyproject.toml", "poetry.lock", "README.md", "docs/integrations/sources/coupa.md"}
    unwanted = {"setup.py", "setup.cfg", "main.py", "build.gradle"}
    problems = [f"no {path}" for path in sorted(wanted - set(project.texts))]
    return problems + [f"{path} is legacy" for path in sorted(unwanted & set(project.texts))]


_INSECURE = re.compile(r"http://(?!json-schema\.org|localhost)")
_COMMENT = ("#", "//", "*", "<!--")


def check_https(project: Project) -> Problems:
    return [
        f"{path}, line {number}: http, not https"
        for path, text in project.texts.items()
        if not path.endswith(".svg")
        for number, line in enumerate(text.splitlines(), 1)
        if _INSECURE.search(line)
        and not line.lstrip().startswith(_COMMENT)
        and "# ignore-https-check" not in line
    ]


_LOCKS: Mapping[str, tuple[str, ...]] = {
    "poetry.lock": ("requirements-dev.txt", "requirements-benchmark.txt"),
    "sync/poetry.lock": ("sync/requirements.txt",),
}
"""Lock file -> the lists of the same versions that the scripts in bin/ install from."""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def check_requirements(project: Project) -> Problems:
    problems = []
    for lock, lists in _LOCKS.items():
        locked = {(_normal(p["name"]), p["version"]) for p in project.toml(lock)["package"]}
        listed = set()
        for requirements in lists:
            for line in project.texts[requirements].splitlines():
                found = re.match(r"([\w.-]+)(?:\[.*?\])?==([^\s;]+)(?: ;|$)", line)
                if found:
                    listed.add((_normal(found[1]), found[2]))
                else:
                    problems.append(f"{requirements}: {line} names no version")
        problems += [
            f"{name} {version} is only in one of {lock} and {', '.join(lists)}"
            for name, version in sorted(locked ^ listed)
        ]
    return problems


def check_locks(project: Project) -> Problems:
    """A lock carries Poetry's digest of the dependencies that it was made for."""
    problems = []
    for lock in _LOCKS:
        poetry = project.toml(lock.replace("poetry.lock", "pyproject.toml"))["tool"]["poetry"]
        keys = ("dependencies", "source", "extras", "dev-dependencies")
        content = {key: poetry.get(key) for key in keys}
        if "group" in poetry:
            content["group"] = poetry["group"]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        if project.toml(lock)["metadata"]["content-hash"] != digest:
            problems.append(f"{lock} is older than its pyproject.toml: lock anew")
    return problems


def check_lock_sources(project: Project) -> Problems:
    """No lock or list ties its users to one package index."""
    return [
        f"{lock} names an index" for lock in _LOCKS if "[package.source]" in project.texts[lock]
    ] + [
        f"{requirements} names an index"
        for requirements in chain.from_iterable(_LOCKS.values())
        if re.search(r"^--|://", project.texts[requirements], re.M)
    ]


def check_cdk(project: Project) -> Problems:
    """The manifest is written for the CDK that is installed."""
    locked = {
        package["name"]: package["version"] for package in project.toml("poetry.lock")["package"]
    }
    return _unequal("CDK", {"lock": locked["airbyte-cdk"], "manifest": project.manifest["version"]})


@dataclass(frozen=True)
class Check:
    """A rule, and (path, old, new): an edit that breaks it."""

    run: Callable[[Project], Problems]
    fault: tuple[str, str, str]


CHECKS: tuple[Check, ...] = (
    Check(check_metadata_model, ("metadata.yaml", "supportLevel: community", "support: community")),
    Check(check_definition_id, ("metadata.yaml", "-4a2a-", "-1a2a-")),
    Check(check_tags, ("metadata.yaml", "language:python", "python")),
    Check(check_versions, ("pyproject.toml", 'version = "0.1.0"', 'version = "0.1.1"')),
    Check(check_names, ("pyproject.toml", 'source-coupa = "', 'coupa = "')),
    Check(check_licence, ("metadata.yaml", "license: MIT", "license: ELv2")),
    Check(check_base_image, ("Dockerfile", "@sha256:1d1aa2", "@sha256:000000")),
    Check(check_image, ("Dockerfile", "USER airbyte", "USER root")),
    Check(check_pypi, ("metadata.yaml", "enabled: true", "enabled: false")),
    Check(check_streams, ("metadata.yaml", "- expenses", "- expense_reports")),
    Check(check_allowed_hosts, ("metadata.yaml", "${instance_url}", "${url}")),
    Check(check_silence, ("metadata.yaml", "Messages: 3600", "Messages: 36000")),
    Check(check_icon, ("icon.svg", "0 0 250 250", "0 0 250 200")),
    Check(check_files, ("setup.py", "", "from setuptools import setup\n")),
    Check(check_https, ("sync/errors.py", "from", "A = 'http://coupa.example'\nfrom")),
    Check(check_requirements, ("requirements-dev.txt", "airbyte-cdk==7.", "airbyte-cdk==6.")),
    Check(check_locks, ("pyproject.toml", 'requests = "', 'other = "*"\nrequests = "')),
    Check(check_lock_sources, ("requirements-dev.txt", "airbyte", "--index-url x\nairbyte")),
    Check(check_cdk, ("source_coupa/manifest.yaml", "version: 7.39.1", "version: 6.0.0")),
)


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.read()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.run.__name__)
def test_project_keeps_the_rule(project: Project, check: Check) -> None:
    assert check.run(project) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.run.__name__)
def test_rule_finds_a_fault(project: Project, check: Check) -> None:
    assert check.run(project.with_edit(*check.fault)) != []


def test_wheel_holds_what_the_connector_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with zipfile.ZipFile(tmp_path / poetry_core.build_wheel(str(tmp_path))) as wheel:
        packed = set(wheel.namelist())
        [entry_points] = [name for name in packed if name.endswith("entry_points.txt")]
        assert b"source-coupa=source_coupa.run:run" in wheel.read(entry_points)
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "source_coupa").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {"source_coupa/manifest.yaml", "source_coupa/py.typed"} <= package
    assert {name for name in packed if ".dist-info/" not in name} == package
