"""Makes a base image of this machine's own Debian or Ubuntu, for want of Airbyte's."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from .engines import Engine, ImageError, UnavailableError

PACKAGES = ("ca-certificates", "python3", "python3-pip", "tzdata")

_DOCKERFILE = Path(__file__).resolve().parent / "stand_in.Dockerfile"

# caches, and what debootstrap took over from this machine
_LEFT_OUT = (
    "./dev/",
    "./etc/apt/sources.list",
    "./etc/hostname",
    "./etc/resolv.conf",
    "./var/cache/apt/",
    "./var/lib/apt/lists/",
    "./var/log/",
)


def build_stand_in(engine: Engine, tag: str) -> None:
    """Builds it under `tag`. Its files are fetched once and kept in the user's cache folder.

    Raises:
        UnavailableError: if it cannot be made here; the sentence says what is missing.
    """
    folder = _root_filesystem()
    try:
        engine.build(tag, folder, dockerfile=_DOCKERFILE)
    except ImageError as error:
        raise UnavailableError(f"No image can be built on this machine. {error}") from error


def _root_filesystem() -> Path:
    """A folder that holds rootfs.tar."""
    suite = _suite()
    made_from = "\n".join([suite, platform.machine(), *PACKAGES, *_LEFT_OUT])
    name = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "source-coupa" / f"base-{name}"
    if not (folder / "rootfs.tar").is_file():
        mirror, components = _mirror(suite)
        if not shutil.which("debootstrap") or os.geteuid():
            raise UnavailableError(
                "A base image can be made only by root with debootstrap, which "
                "`apt-get install debootstrap` installs; or name one with BASE_IMAGE."
            )
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="coupa-base-") as made:
            _debootstrap(suite, mirror, components, Path(made) / "rootfs")
            packed = _pack(Path(made) / "rootfs", folder)
        packed.rename(folder / "rootfs.tar")
    return folder


def _suite() -> str:
    try:
        return platform.freedesktop_os_release()["VERSION_CODENAME"]
    except (OSError, KeyError):
        raise UnavailableError(
            "A base image can be made on Debian and Ubuntu only; name one with BASE_IMAGE."
        ) from None


def _mirror(suite: str) -> tuple[str, list[str]]:
    """Where this machine gets the packages of `suite` from, and the components to look in."""
    asked = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI) $(COMPONENT)"]
    try:
        targets = subprocess.run(
            [*asked, "Created-By: Packages"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError("apt-get names no mirror; name a base with BASE_IMAGE.") from error
    rows = [line.split() for line in targets.stdout.splitlines()]
    found = [(address, component) for release, address, component in rows if release == suite]
    if not found:
        raise UnavailableError(
            f"apt-get names no mirror for {suite}; run `apt-get update`, or name a base image "
            "with BASE_IMAGE."
        )
    mirror = found[0][0]
    return mirror, [component for address, component in found if address == mirror]


def _debootstrap(suite: str, mirror: str, components: list[str], target: Path) -> None:
    done = subprocess.run(
        [
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            f"--components={','.join(dict.fromkeys(components))}",
            suite,
            str(target),
            mirror,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stdout + done.stderr).splitlines()[-10:]
        raise UnavailableError("\n".join(["debootstrap could not make a base image.", *last]))


def _pack(tree: Path, folder: Path) -> Path:
    """The tree as a file in `folder`, under a name that nobody else looks for."""
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".part")
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        archive.add(
            tree,
            ".",
            filter=lambda info: None if info.name.startswith(_LEFT_OUT) else info,
        )
    return Path(name)
