"""A temporary folder that only this user can read: PyAirbyte puts the settings into files there."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_PREFIX = "source-coupa-sync-"


@contextmanager
def private_files() -> Iterator[Path]:
    """Lets no other user read what this process and those that it starts write, and keeps their
    temporary files and PyAirbyte's log in a folder that goes with the block, or with the next sync
    if this one is killed. PyAirbyte must not be imported before."""
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            # as Ctrl+C does, it ends the block
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    _remove_left_over()
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _locked(folder):
            tempfile.tempdir = name
            os.environ.update(TMPDIR=name, AIRBYTE_TEMP_DIR=name, AIRBYTE_LOGGING_ROOT=name)
            yield folder


def _remove_left_over() -> None:
    """Removes the folders of syncs that were killed: their lock is free."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            status = folder.lstat()
            if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                with (folder / "lock").open("rb") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[IO[str]]:
    # under its name only when it is locked
    new = folder / "lock.new"
    with new.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(str(os.getpid()))
        lock.flush()
        new.rename(folder / "lock")
        yield lock
