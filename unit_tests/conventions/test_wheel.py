"""The package that is built holds what the connector needs, and nothing else."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from poetry.core.masonry import api as poetry_core

ROOT = Path(__file__).resolve().parents[2]


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
