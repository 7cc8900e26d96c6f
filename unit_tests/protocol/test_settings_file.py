"""A file of settings is replaced as a whole: it holds the only copy of a refresh token."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integration_tests.harness import CliFiles, run_here
from integration_tests.sandbox import Sandbox
from source_coupa.protocol import config_update, settings_file
from sync.settings import keep_sign_in

OLD: dict[str, Any] = {"credentials": {"refresh_token": "old"}, "note": "é"}
NEW: dict[str, Any] = {"credentials": {"refresh_token": "new"}, "note": "é"}


def _by_connector(path: Path) -> None:
    config_update.hand_back(NEW, str(path))


def _by_sync(path: Path) -> None:
    keep_sign_in(path, dict(OLD), NEW)


@pytest.fixture(params=[_by_connector, _by_sync])
def write(request: pytest.FixtureRequest) -> Any:
    """Each of the two that write settings back."""
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(OLD, indent=40))
    path.chmod(0o640)
    return path


def _refusing(error: int) -> Any:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(error, os.strerror(error))

    return refuse


def test_it_keeps_its_mode_and_the_link_to_it(write: Any, path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(path.name)
    write(link)
    assert json.loads(path.read_text()) == NEW
    assert link.readlink() == Path(path.name)
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(each.name for each in tmp_path.iterdir()) == ["config.json", "link.json"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_it_as_it_was(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(os, call, _refusing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left"):
        settings_file.replace(path, json.dumps(NEW))
    assert json.loads(path.read_text()) == OLD
    assert [each.name for each in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("call", "error"),
    [("tempfile.mkstemp", errno.EACCES), ("os.replace", errno.EBUSY), ("os.chmod", errno.EPERM)],
)
def test_it_is_written_in_place_where_its_folder_refuses(
    write: Any, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: int
) -> None:
    number = path.stat().st_ino
    monkeypatch.setattr(call, _refusing(error))
    write(path)
    assert json.loads(path.read_text()) == NEW
    assert path.stat().st_ino == number
    assert [each.name for each in tmp_path.iterdir()] == ["config.json"]


def test_a_process_that_is_killed_leaves_the_old_or_the_new_one(path: Path) -> None:
    program = (
        "import os, signal; from pathlib import Path; "
        "from source_coupa.protocol import settings_file; "
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL); "
        f"settings_file.replace(Path({str(path)!r}), 'new')"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode < 0
    assert json.loads(path.read_text()) == OLD


def test_settings_that_are_migrated_are_replaced_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced: list[Path] = []
    whole = os.replace

    def replace(new: str, old: Path) -> None:
        replaced.append(Path(old))
        whole(new, old)

    monkeypatch.setattr(os, "replace", replace)
    with Sandbox(rows={"users": 2}) as sandbox:
        config = sandbox.config()
        client_id = config["client_id"]
        files = CliFiles(tmp_path, "check", {**config, "client_id": f" {client_id} "})
        run_here(files.arguments())
    assert replaced == [files.config_path]
    assert json.loads(files.config_path.read_text())["client_id"] == client_id
