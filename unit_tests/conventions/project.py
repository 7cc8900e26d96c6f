"""The texts of the project's files."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]

_NOT_SHIPPED = {"unit_tests", "integration_tests", "build", "dist"}
_TEXTS = {"", ".ini", ".lock", ".md", ".py", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml"}


@dataclass(frozen=True)
class Project:
    """The texts of the project's files, tests left out: path -> text."""

    texts: Mapping[str, str]

    @classmethod
    def read(cls) -> Project:
        """Those of this project; hidden files and folders are left out."""
        texts = {}
        for folder, folders, names in os.walk(ROOT):
            left_out = _NOT_SHIPPED if Path(folder) == ROOT else {"__pycache__"}
            folders[:] = [name for name in folders if name[0] != "." and name not in left_out]
            for path in (Path(folder) / name for name in names if name[0] != "."):
                if path.suffix in _TEXTS:
                    texts[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
        return cls(dict(sorted(texts.items())))

    def with_edit(self, *edit: str) -> Project:
        """(path, old, new): the project with `old` replaced in one file, which is made where `old`
        is empty."""
        path, old, new = edit
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
