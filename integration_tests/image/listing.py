"""What is in an image: its files, the packages of the connector, and how big they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .engines import Engine, ImageError

ENVIRONMENT = "/opt/source-coupa"
"""Where `Dockerfile` puts the connector with its packages."""

# What is put into each container again is left out, and the files of the kernel.
_FILES = """
import json, os, sys
left_out = {"/.dockerenv", "/dev", "/proc", "/run", "/sys"}
left_out |= {f"/etc/{name}" for name in ("hostname", "hosts", "mtab", "resolv.conf")}
found = {}
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in left_out]
    for name in [*folders, *files]:
        path = os.path.join(folder, name)
        if path not in left_out:
            about = os.lstat(path)
            is_file = not os.path.isdir(path) or os.path.islink(path)
            found[path] = [about.st_mode, about.st_uid, about.st_size if is_file else 0]
            found[path].append(int(about.st_mtime) if is_file else 0)
json.dump(found, sys.stdout)
"""

_PACKAGES = """
import importlib.metadata, json
found = {d.metadata["Name"]: d.version for d in importlib.metadata.distributions()}
print(json.dumps(found))
"""

# Tests of packages are never imported. Bit 0 of the flags: checked by the hash of the source, which
# bit 1 would have Python look at.
_UNCOMPILED = f"""
import importlib.util, json, pathlib
def is_compiled(source):
    try:
        start = open(importlib.util.cache_from_source(source), "rb").read(8)
    except OSError:
        return False
    return start[:4] == importlib.util.MAGIC_NUMBER and start[4] == 1
[packages] = pathlib.Path("{ENVIRONMENT}/lib").glob("python3*/site-packages")
sources = [path for path in packages.rglob("*.py") if "tests" not in path.parts]
print(json.dumps([len(sources), [str(path) for path in sources if not is_compiled(path)]]))
"""


@dataclass(frozen=True)
class Entry:
    """A file, folder or link; size and time of change are 0 for a folder."""

    mode: int
    owner: int
    size: int
    changed: int


def entries(engine: Engine, image: str) -> dict[str, Entry]:
    """All that is in the image: path -> entry."""
    # root sees all; -B: Python writes nothing
    found = _asked(engine, image, ["/usr/bin/env", "python", "-B", "-c", _FILES], user="0")
    return {path: Entry(*values) for path, values in found.items()}


def added(base: Mapping[str, Entry], image: Mapping[str, Entry]) -> dict[str, Entry]:
    """What `image` has that `base` has not, or has otherwise."""
    return {path: entry for path, entry in image.items() if base.get(path) != entry}


def packages(engine: Engine, image: str) -> dict[str, str]:
    """The packages that the connector can import: name -> version."""
    found: dict[str, str] = _asked(
        engine, image, [f"{ENVIRONMENT}/bin/python", "-B", "-c", _PACKAGES]
    )
    return found


def uncompiled(engine: Engine, image: str) -> tuple[int, list[str]]:
    """How many modules there are, and those that Python would compile again or look at twice."""
    modules, without = _asked(engine, image, [f"{ENVIRONMENT}/bin/python", "-B", "-c", _UNCOMPILED])
    return modules, without


def holding(engine: Engine, image: str, text: str) -> list[str]:
    """The files that hold `text`, among the connector's, the system's settings and root's."""
    command = ["/bin/grep", "--recursive", "--files-with-matches", "--fixed-strings"]
    done = engine.run(image, [*command, "--regexp", text, ENVIRONMENT, "/etc", "/root"], user="0")
    if done.returncode not in (0, 1):  # 1: none of them
        raise ImageError(f"{image} could not be looked into.\n{done.stderr}")
    return done.stdout.splitlines()


def _asked(engine: Engine, image: str, command: list[str], user: str = "") -> Any:
    done = engine.run(image, command, user=user)
    if done.returncode:
        raise ImageError(f"{image} could not be looked into.\n{done.stderr}")
    return json.loads(done.stdout)
