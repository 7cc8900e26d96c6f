"""How pip on this machine reaches packages, in a form that a build can be given and forget."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from configparser import RawConfigParser
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

CERTIFICATES = "/run/pip_certificates.pem"
"""Where `Dockerfile` puts the certificates while pip runs."""

_CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_PROXY_VARIABLES = (*_PROXIES, *(name.upper() for name in _PROXIES))

# they name files of this machine, or environments
_LEFT_OUT = frozenset({"cert", "client-cert", "cache-dir", "log", "require-virtualenv", "user"})


@dataclass(frozen=True)
class PipSettings:
    """What a build needs; packages in folders of this machine are left out."""

    text: str
    """A pip.conf."""
    certificates: Path | None
    """The authorities that this machine trusts, if it names a file of them."""
    proxies: tuple[str, ...]
    """The variables that name the proxies of this machine."""

    @classmethod
    def of_this_machine(cls) -> PipSettings:
        """What files and environment variables tell pip here.

        Raises:
            subprocess.CalledProcessError: if this Python has no pip.
        """
        listed = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"],
            check=True,
            capture_output=True,
            text=True,
        )
        return cls.parse(listed.stdout, os.environ)

    @classmethod
    def parse(cls, listed: str, environment: Mapping[str, str]) -> PipSettings:
        """From what `pip config list` prints, and the variables that pip heeds beside it."""
        found = list(_entries(listed))
        # a variable counts more than a file, and in each section of it
        by_variable = {key: value for section, key, value in found if section == ":env:"}
        sections: dict[str, dict[str, str]] = {"global": {}}
        for section, key, value in found:
            if section != ":env:" and key not in by_variable:
                sections.setdefault(section, {})[key] = value
        sections["global"] |= by_variable
        certificates = [
            by_variable.get("cert", sections["global"].get("cert", "")),
            *(environment.get(name, "") for name in _CERTIFICATE_VARIABLES),
        ]
        trusted = next((Path(path) for path in certificates if path and Path(path).is_file()), None)
        return cls(
            _written(sections, trusted),
            trusted,
            tuple(name for name in _PROXY_VARIABLES if environment.get(name)),
        )


def _entries(listed: str) -> Iterator[tuple[str, str, str]]:
    """(section, key, value) of each line such as `global.timeout='15'`."""
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        yield section, key, str(ast.literal_eval(value))


def _written(sections: Mapping[str, Mapping[str, str]], certificates: Path | None) -> str:
    parser = RawConfigParser()
    for section, settings in sections.items():
        kept = {key: _without_folders(value) for key, value in settings.items()}
        parser[section] = {k: value for k, value in kept.items() if value and k not in _LEFT_OUT}
    if certificates:
        parser["global"]["cert"] = CERTIFICATES
    text = StringIO()
    parser.write(text)
    return text.getvalue()


def _without_folders(value: str) -> str:
    """A setting without what lies in folders of this machine, which a build does not see."""
    words = [word for word in value.split() if not word.startswith(("file:", "/"))]
    return " ".join(words)
