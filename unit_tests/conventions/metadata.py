"""metadata.yaml by Airbyte's published model, and by the rules that its registry adds to it.

Rules that also need other files of the project are in `packaging`.
"""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import yaml
from airbyte_connector_models.metadata.v0.connector_metadata_definition_v0 import (
    ConnectorMetadataDefinitionV0,
)
from pydantic import ValidationError

from .project import ROOT
from .rules import GONE, Check, Problems, Tree


def read() -> Tree:
    """The project's metadata.yaml."""
    return Tree(yaml.safe_load((ROOT / "metadata.yaml").read_text(encoding="utf-8")))


def _data(metadata: Tree) -> dict[str, Any]:
    data: dict[str, Any] = metadata.root["data"]
    return data


def check_model(metadata: Tree) -> Problems:
    """Known keys, required keys, types and allowed values."""
    try:
        ConnectorMetadataDefinitionV0.model_validate(metadata.root)
    except ValidationError as error:
        return [f"{problem['loc']}: {problem['msg']}" for problem in error.errors()]
    return []


def check_definition_id(metadata: Tree) -> Problems:
    given = _data(metadata)["definitionId"]
    return [] if UUID(given).version == 4 else [f"definitionId {given} is no random UUID"]


def check_tags(metadata: Tree) -> Problems:
    tags = _data(metadata)["tags"]
    problems = [f"tag {tag} is not key:value" for tag in tags if tag.count(":") != 1]
    wanted = {"language:python", "cdk:low-code"}
    return problems + [f"no tag {tag}" for tag in sorted(wanted - set(tags))]


def check_version(metadata: Tree) -> Problems:
    """A major version says whom it breaks, a release candidate is rolled out step by step."""
    version = _data(metadata)["dockerImageTag"]
    releases = _data(metadata).get("releases", {})
    problems = []
    if not re.fullmatch(r"\d+\.\d+\.\d+(-rc\.\d+)?", version):
        problems.append(f"{version} is no semantic version")
    if re.fullmatch(r"[1-9]\d*\.0\.0", version) and version not in releases.get(
        "breakingChanges", {}
    ):
        problems.append(f"{version} is a major version without a breakingChanges entry")
    progressive = releases.get("rolloutConfiguration", {}).get("enableProgressiveRollout", False)
    if progressive != ("-rc." in version):
        problems.append(f"a progressive rollout is {progressive} for {version}")
    return problems


def check_breaking_changes(metadata: Tree) -> Problems:
    """Each has a message, and the docs have a guide with a passage for it."""
    changes = _data(metadata).get("releases", {}).get("breakingChanges", {})
    guide = ROOT / "docs" / "integrations" / "sources" / "coupa-migrations.md"
    text = guide.read_text(encoding="utf-8") if guide.exists() else ""
    return [
        f"no passage in the migration guide: Upgrading to {version}"
        for version in changes
        if f"## Upgrading to {version}\n" not in text
    ]


def check_names(metadata: Tree) -> Problems:
    """Repository, label, package and docs page are named after one connector."""
    data = _data(metadata)
    kind, name = data["connectorType"], data["name"].lower()
    wanted = {
        "dockerRepository": f"airbyte/{kind}-{name}",
        "githubIssueLabel": f"{kind}-{name}",
        "documentationUrl": f"https://docs.airbyte.com/integrations/{kind}s/{name}",
    }
    problems = [f"{key} is not {value}" for key, value in wanted.items() if data[key] != value]
    package = data["remoteRegistries"]["pypi"]["packageName"]
    return problems + ([] if package == f"airbyte-{kind}-{name}" else [f"package {package}"])


def check_base_image(metadata: Tree) -> Problems:
    image = _data(metadata)["connectorBuildOptions"]["baseImage"]
    named = re.fullmatch(r"[^:@]+:[^:@]+@sha256:[0-9a-f]{64}", image)
    return [] if named else ["the base image is not named by tag and digest"]


def check_registries(metadata: Tree) -> Problems:
    """Only a Python connector can be on PyPI, and this one is."""
    data = _data(metadata)
    problems = [] if data["remoteRegistries"]["pypi"]["enabled"] else ["PyPI is off"]
    overrides = data["registryOverrides"]
    return problems + [f"{name} is off" for name in overrides if not overrides[name]["enabled"]]


def check_hosts(metadata: Tree) -> Problems:
    hosts = _data(metadata)["allowedHosts"]["hosts"]
    return [] if hosts else ["an empty allowedHosts allows no network at all"]


def check_silence(metadata: Tree) -> Problems:
    """The platform stops a sync that prints nothing for so long."""
    seconds = _data(metadata).get("maxSecondsBetweenMessages", 0)
    return [] if 600 <= seconds <= 10_800 else [f"maxSecondsBetweenMessages is {seconds}"]


def check_suggestions(metadata: Tree) -> Problems:
    streams = _data(metadata)["suggestedStreams"]["streams"]
    problems = [f"{name} is suggested twice" for name in streams if streams.count(name) > 1]
    return problems if streams else ["no stream is suggested"]


def check_links(metadata: Tree) -> Problems:
    links = _data(metadata)["externalDocumentationUrls"]
    problems = [f"{link['url']} is not https" for link in links if link["url"][:8] != "https://"]
    wanted = {"api_reference", "authentication_guide"}
    missing = wanted - {link["type"] for link in links}
    return problems + [f"no link of type {kind}" for kind in sorted(missing)]


CHECKS: tuple[Check[Tree], ...] = (
    Check(
        check_model,
        ("data/supportLevel", "friendly"),
        ("data/releaseStage", GONE),
        ("data/support", "community"),
        ("data/maxSecondsBetweenMessages", "long"),
        ("data/suggestedStreams/streams", "users"),
    ),
    Check(check_definition_id, ("data/definitionId", "2a25e6b3-a956-1a2a-b86a-16205133d3d2")),
    Check(check_tags, ("data/tags/0", "python"), ("data/tags/1", "cdk:python")),
    Check(
        check_version,
        ("data/dockerImageTag", "0.1"),
        ("data/dockerImageTag", "2.0.0"),
        ("data/dockerImageTag", "0.1.0-rc.1"),
        ("data/releases", {"rolloutConfiguration": {"enableProgressiveRollout": True}}),
    ),
    Check(
        check_breaking_changes,
        ("data/releases", {"breakingChanges": {"99.0.0": {"message": "Keys differ."}}}),
    ),
    Check(
        check_names,
        ("data/dockerRepository", "airbyte/coupa"),
        ("data/githubIssueLabel", "coupa"),
        ("data/documentationUrl", "https://docs.airbyte.com/integrations/sources/coupa-api"),
        ("data/remoteRegistries/pypi/packageName", "source-coupa"),
    ),
    Check(check_base_image, ("data/connectorBuildOptions/baseImage", "docker.io/airbyte/base:1")),
    Check(
        check_registries,
        ("data/remoteRegistries/pypi/enabled", False),
        ("data/registryOverrides/cloud/enabled", False),
    ),
    Check(check_hosts, ("data/allowedHosts/hosts", [])),
    Check(
        check_silence,
        ("data/maxSecondsBetweenMessages", 36_000),
        ("data/maxSecondsBetweenMessages", GONE),
    ),
    Check(
        check_suggestions,
        ("data/suggestedStreams/streams", []),
        ("data/suggestedStreams/streams/1", "users"),
    ),
    Check(
        check_links,
        ("data/externalDocumentationUrls/0/url", "http://compass.coupa.com"),
        ("data/externalDocumentationUrls/1/type", "other"),
    ),
)
