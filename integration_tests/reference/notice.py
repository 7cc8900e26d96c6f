"""NOTICE: the licenses of the packages that the image holds."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement

from .manifest import ROOT

NOTICE = ROOT / "NOTICE"

_LIST = ROOT / "requirements-image.txt"

_IMAGE = {"python_version": "3.11", "python_full_version": "3.11.14"}
"""The Python of the base image, which decides what is installed."""

_HEAD = """\
source-coupa
Copyright (c) source-coupa contributors, under the MIT License (see LICENSE).

The container image holds the packages below beside the packages of its base image
(airbyte/python-connector-base). Each is under the license that its own metadata states; the texts
of the licenses are in the folders of the packages, under
/opt/source-coupa/lib/python3.11/site-packages. airbyte-cdk depends on unidecode, which is under the
GNU General Public License: its terms hold for those who pass the image on. This list is generated
by `python -m integration_tests.reference` and is no legal advice.

"""


def notice() -> str:
    """The text of NOTICE.

    Raises:
        importlib.metadata.PackageNotFoundError: if a package of the image is not installed here.
    """
    width = max(len(name) for name in image_packages())
    lines = [f"{name:<{width}}  {_license(name)}\n" for name in image_packages()]
    return _HEAD + "".join(lines)


def image_packages() -> list[str]:
    """The names of the packages that the image installs, in order."""
    return sorted(
        requirement.name
        for requirement in _requirements()
        if requirement.marker is None or requirement.marker.evaluate({**_IMAGE})
    )


def _requirements() -> Iterator[Requirement]:
    for line in _LIST.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            yield Requirement(line.rstrip("\\ "))


def _license(package: str) -> str:
    """What the metadata of a package states: an expression, classifiers, or a name."""
    about = metadata.metadata(package).json
    classifiers = [
        classifier.rpartition(" :: ")[2]
        for classifier in about.get("classifier", [])
        if classifier.startswith("License :: ") and not classifier.endswith("OSI Approved")
    ]
    # some put the whole text there
    name = str(about.get("license", "")).partition("\n")[0]
    return str(about.get("license_expression") or "; ".join(classifiers) or name or "not stated")
