"""Replaces a file of settings. `bin/sync` uses this module too, without the rest of the package."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
"""A folder that takes no new file, or a file that is mounted by itself, as containers do."""


def replace(path: Path, text: str) -> None:
    """Gives a file another content: it has the old one or the new one, whatever happens meanwhile.
    Its mode and owner stay, and a link goes on pointing to it. Where its folder refuses a new file,
    it is written in place.

    Raises:
        OSError: if it cannot be written.
    """
    target = path.resolve(strict=True)
    content = text.encode()
    if not target.is_file():
        raise OSError(errno.EINVAL, "it is no plain file", str(path))
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    try:
        _put_in_its_place(target, content)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        _write_in_place(target, content)


def _put_in_its_place(target: Path, content: bytes) -> None:
    now = target.stat()
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            if (os.geteuid(), os.getegid()) != (now.st_uid, now.st_gid):
                os.chown(name, now.st_uid, now.st_gid)
            os.chmod(name, stat.S_IMODE(now.st_mode))
            os.fsync(file.fileno())
        os.replace(name, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise
    with suppress(OSError):
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_in_place(target: Path, content: bytes) -> None:
    # not emptied first: what stands in it must outlive a full disk
    with target.open("r+b") as file:
        file.write(content)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
