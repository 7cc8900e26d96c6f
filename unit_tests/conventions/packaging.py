"""The project's files agree with each other and with what Airbyte demands of a connector.

The rules are those of Airbyte's metadata service and connector QA, as far as they need no network
and look at more than metadata.yaml, which has its own in `metadata`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import chain
from xml.etree import ElementTree

import yaml

from .project import Project
from .rules import Check, Problems


def _unequal(what: str, values: Mapping[str, object]) -> Problems:
    return [] if len(set(values.values())) == 1 else [f"{what} differs: {dict(values)}"]


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
    changelog = project.texts["docs/integrations/sources/coupa.md"].partition("## Changelog\n")[2]
    rows = re.findall(r"^\| (\d\S*) \| \d{4}-\d\d-\d\d \|.*\| \S.* \|$", changelog, re.M)
    if rows[:1] != [version]:
        problems.append(f"the changelog does not begin with {version}")
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
        *_unequal("command", {"pyproject": next(iter(project.poetry["scripts"])), "name": name}),
    ]


def check_licence(project: Project) -> Problems:
    licence = project.metadata["license"]
    problems = _unequal("licence", {"metadata": licence, "pyproject": project.poetry["license"]})
    if licence != "MIT" or not project.texts["LICENSE"].startswith("MIT License\n"):
        problems.append("LICENSE is not the MIT license that metadata.yaml names")
    return problems


def check_base_image(project: Project) -> Problems:
    image = project.metadata["connectorBuildOptions"]["baseImage"]
    return _unequal(
        "base image", {"metadata": image, "Dockerfile": project.dockerfile("^ARG BASE_IMAGE=(.*)$")}
    )


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


def check_allowed_hosts(project: Project) -> Problems:
    settings = project.manifest["spec"]["connection_specification"]["properties"]
    hosts = project.metadata["allowedHosts"]["hosts"]
    named = [match[1] for host in hosts for match in re.finditer(r"\$\{(.*?)\}", host)]
    return [f"allowedHosts names the setting {key}" for key in named if key not in settings]


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
    "poetry.lock": (
        "requirements-dev.txt",
        "requirements-image.txt",
        "requirements-build.txt",
        "requirements-benchmark.txt",
        "requirements-audit.txt",
    ),
    "sync/poetry.lock": ("sync/requirements.txt",),
}
"""Lock file -> the lists of the same versions that the scripts in bin/ install from."""


_LISTED = re.compile(
    r"([\w.-]+)(?:\[.*?\])?==([^\s;]+)(?: ; [^#]*?)?(?: +--hash=sha256:[0-9a-f]{64})+ *"
)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def check_requirements(project: Project) -> Problems:
    problems = []
    for lock, lists in _LOCKS.items():
        locked = {(_normal(p["name"]), p["version"]) for p in project.toml(lock)["package"]}
        listed = set()
        for requirements in lists:
            for line in project.texts[requirements].replace("\\\n", "").splitlines():
                found = _LISTED.fullmatch(line)
                if found:
                    listed.add((_normal(found[1]), found[2]))
                else:
                    problems.append(f"{requirements}: {line} names no version, or no hash")
        problems += [
            f"{name} {version} is only in one of {lock} and {', '.join(lists)}"
            for name, version in sorted(locked ^ listed)
        ]
    return problems


def check_hashes_are_required(project: Project) -> Problems:
    """Nothing is installed from a list without a look at its hashes."""
    return [
        f"{path}: {line.strip()}"
        for path in ("bin/_common.sh", "Dockerfile")
        for line in project.texts[path].splitlines()
        if re.search(r"install.* -r ", line) and "--require-hashes" not in line
    ]


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
            problems.append(f"{lock} is older than its pyproject.toml: run bin/lock")
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


CHECKS: tuple[Check[Project], ...] = (
    Check(
        check_versions,
        ("pyproject.toml", 'version = "', 'version = "9.'),
        ("metadata.yaml", "dockerImageTag: ", "dockerImageTag: 9."),
        ("Dockerfile", "io.airbyte.version=", "io.airbyte.version=9."),
        ("docs/integrations/sources/coupa.md", "| :--- | :--- | :--- | :--- |\n| 0.1.0", "| x"),
    ),
    Check(check_names, ("pyproject.toml", 'source-coupa = "', 'coupa = "')),
    Check(check_licence, ("metadata.yaml", "license: MIT", "license: ELv2")),
    Check(check_base_image, ("Dockerfile", "@sha256:1d1aa2", "@sha256:000000")),
    Check(check_image, ("Dockerfile", "USER airbyte", "USER root")),
    Check(check_allowed_hosts, ("metadata.yaml", "${instance_url}", "${url}")),
    Check(check_icon, ("icon.svg", "0 0 250 250", "0 0 250 200")),
    Check(check_files, ("setup.py", "", "from setuptools import setup\n")),
    Check(check_https, ("sync/errors.py", "from", "A = 'http://coupa.example'\nfrom")),
    Check(
        check_requirements,
        ("requirements-dev.txt", "airbyte-cdk==7.", "airbyte-cdk==6."),
        ("requirements-image.txt", " \\\n    --hash=sha256:", " # "),
        ("requirements-build.txt", "poetry-core==", "# poetry-core=="),
    ),
    Check(
        check_hashes_are_required,
        ("bin/_common.sh", "--require-hashes ", ""),
        ("Dockerfile", "--require-hashes -r requirements-image.txt", "-r requirements-image.txt"),
    ),
    Check(check_locks, ("pyproject.toml", 'requests = "', 'other = "*"\nrequests = "')),
    Check(check_lock_sources, ("requirements-dev.txt", "airbyte", "--index-url x\nairbyte")),
    Check(check_cdk, ("source_coupa/manifest.yaml", "version: 7.39.1", "version: 6.0.0")),
)
