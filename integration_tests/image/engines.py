"""Builds images and runs commands in them, with Docker or with buildah."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from .pip_settings import PipSettings

_PATIENCE = 600
"""Seconds for a build, or for a command in a container."""


class ImageError(Exception):
    """The image could not be built or looked at; the text is a sentence, then the output."""


class UnavailableError(ImageError):
    """This machine lacks what is needed; the text says what that is."""


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself."""

    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    user: str
    folder: str
    """The working directory."""

    @classmethod
    def parse(cls, config: Mapping[str, Any]) -> ImageConfig:
        """From the `config` object of the image specification."""
        return cls(
            tuple(config.get("Entrypoint") or ()),
            dict(entry.split("=", 1) for entry in config.get("Env") or ()),
            config.get("Labels") or {},
            config.get("User", ""),
            config.get("WorkingDir", ""),
        )


class Engine(Protocol):
    """A program that makes images. Images are named by tag."""

    def build(
        self,
        tag: str,
        context: Path,
        *,
        dockerfile: Path | None = None,
        base: str | None = None,
        pip: PipSettings | None = None,
    ) -> None:
        """Builds `context`; `base` is the build argument BASE_IMAGE.

        Raises:
            ImageError: if it cannot be built.
        """
        ...

    def config(self, image: str) -> ImageConfig:
        """What `image` says of itself."""
        ...

    def run(
        self, image: str, command: Sequence[str], *, folder: Path | None = None, user: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs `command` (a path, then arguments) in a container that shares this machine's
        network and sees `folder` under the same path; as the image's own user if none is named.
        """
        ...

    def save(self, image: str, path: Path) -> None:
        """Writes the image into a file that `docker load` and `podman load` read.

        Raises:
            ImageError: if it cannot be written.
        """
        ...


@contextmanager
def open_engine() -> Iterator[Engine]:
    """Docker if its daemon answers, else buildah with a storage that is gone afterwards.

    Raises:
        UnavailableError: if there is neither; the sentence says what to install.
    """
    if _docker_answers():
        yield Docker()
    elif shutil.which("buildah"):
        with tempfile.TemporaryDirectory(prefix="coupa-image-") as storage:
            buildah = Buildah(Path(storage))
            try:
                yield buildah
            finally:
                buildah.close()
    else:
        raise UnavailableError(
            "There is no Docker daemon and no buildah; on Debian and Ubuntu, "
            "`apt-get install buildah debootstrap` installs what is needed."
        )


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    asked = ["docker", "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _run(
    command: Sequence[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
        env={**os.environ, **(environment or {})},
    )


def _succeed(
    sentence: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> str:
    """The output of a command that has to succeed."""
    done = _run(command, environment)
    if done.returncode:
        last = (done.stdout + done.stderr).splitlines()[-30:]
        raise ImageError("\n".join([sentence, *last]))
    return done.stdout


@contextmanager
def _pip_arguments(pip: PipSettings | None) -> Iterator[list[str]]:
    """What both programs understand. Secrets are files that exist while pip runs, and proxies
    are build arguments that need no declaration and are not recorded."""
    if pip is None:
        yield []
        return
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as written:
        written.write(pip.text)
        written.flush()
        arguments = ["--secret", f"id=pip_settings,src={written.name}"]
        if pip.certificates:
            # the file itself: the name is often a link
            arguments += ["--secret", f"id=pip_certificates,src={pip.certificates.resolve()}"]
        for name in pip.proxies:
            # the value is taken from the environment, not told to all who list processes
            arguments += ["--build-arg", name]
        yield arguments


def _build_arguments(tag: str, dockerfile: Path | None, base: str | None) -> list[str]:
    arguments = ["build", "--network", "host", "--tag", tag]
    if dockerfile:
        arguments += ["--file", str(dockerfile)]
    if base:
        arguments += ["--build-arg", f"BASE_IMAGE={base}"]
    return arguments


@dataclass(frozen=True)
class Docker:
    """The docker command with its daemon."""

    def build(
        self,
        tag: str,
        context: Path,
        *,
        dockerfile: Path | None = None,
        base: str | None = None,
        pip: PipSettings | None = None,
    ) -> None:
        with _pip_arguments(pip) as settings:
            _succeed(
                "The image could not be built.",
                ["docker", *_build_arguments(tag, dockerfile, base), *settings, str(context)],
                {"DOCKER_BUILDKIT": "1"},
            )

    def config(self, image: str) -> ImageConfig:
        said = _succeed(f"There is no image {image}.", ["docker", "image", "inspect", image])
        return ImageConfig.parse(json.loads(said)[0]["Config"])

    def run(
        self, image: str, command: Sequence[str], *, folder: Path | None = None, user: str = ""
    ) -> subprocess.CompletedProcess[str]:
        options = ["--rm", "--network", "host", "--entrypoint", command[0]]
        if folder:
            options += ["--volume", f"{folder}:{folder}"]
        if user:
            options += ["--user", user]
        return _run(["docker", "run", *options, image, *command[1:]])

    def save(self, image: str, path: Path) -> None:
        _succeed(f"{path} could not be written.", ["docker", "save", "--output", str(path), image])


@dataclass
class Buildah:
    """Buildah, which needs no daemon and no namespaces: its containers are chroots."""

    storage: Path
    _containers: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _command(self) -> list[str]:
        roots = ["--root", str(self.storage / "root"), "--runroot", str(self.storage / "run")]
        command = ["buildah", *roots]
        if _run([*command, "info"]).returncode == 0:
            return command
        # layers as plain copies, where the system has nothing better
        return [*command, "--storage-driver", "vfs"]

    def build(
        self,
        tag: str,
        context: Path,
        *,
        dockerfile: Path | None = None,
        base: str | None = None,
        pip: PipSettings | None = None,
    ) -> None:
        # Docker's format keeps all that Docker's own builder writes
        arguments = [*_build_arguments(tag, dockerfile, base), "--format", "docker"]
        with _pip_arguments(pip) as settings:
            _succeed(
                "The image could not be built.",
                [*self._command, *arguments, "--isolation", "chroot", *settings, str(context)],
            )

    def config(self, image: str) -> ImageConfig:
        said = _succeed(
            f"There is no image {image}.", [*self._command, "inspect", "--type", "image", image]
        )
        return ImageConfig.parse(json.loads(said)["OCIv1"]["config"])

    def run(
        self, image: str, command: Sequence[str], *, folder: Path | None = None, user: str = ""
    ) -> subprocess.CompletedProcess[str]:
        options = ["--isolation", "chroot"]
        if folder:
            options += ["--volume", f"{folder}:{folder}"]
        if user:
            options += ["--user", user]
        return _run([*self._command, "run", *options, self._container(image), "--", *command])

    def save(self, image: str, path: Path) -> None:
        target = f"docker-archive:{path}:{image}"
        _succeed(f"{path} could not be written.", [*self._command, "push", image, target])

    def close(self) -> None:
        """Removes the containers, and what is mounted for them, so that the storage can go."""
        _run([*self._command, "rm", "--all"])

    def _container(self, image: str) -> str:
        if image not in self._containers:
            said = _succeed(f"There is no image {image}.", [*self._command, "from", image])
            self._containers[image] = said.strip()
        return self._containers[image]
