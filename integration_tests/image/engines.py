"""Builds images and runs commands in them, with Docker or with buildah."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from source_coupa.config import SANDBOX_VARIABLE

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


class Engine(ABC):
    """A program that makes images. Images are named by tag."""

    _build_options: tuple[str, ...] = ()

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
        options = ["--network", "host", "--tag", tag, *self._build_options]
        if dockerfile:
            options += ["--file", str(dockerfile)]
        if base:
            options += ["--build-arg", f"BASE_IMAGE={base}"]
        with _pip_arguments(pip) as settings:
            _succeed(
                "The image could not be built.",
                [*self._program, "build", *options, *settings, str(context)],
                {"DOCKER_BUILDKIT": "1"},
            )

    def run(
        self, image: str, command: Sequence[str], *, folder: Path | None = None, user: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Runs `command` (a path, then arguments) in a container that shares this machine's
        network and sees `folder` under the same path; as the image's own user if none is named.
        """
        options = ["--env", f"{SANDBOX_VARIABLE}=1"]
        if folder:
            options += ["--volume", f"{folder}:{folder}"]
        if user:
            options += ["--user", user]
        return _run([*self._program, "run", *self._run_arguments(image, options, command)])

    @abstractmethod
    def config(self, image: str) -> ImageConfig:
        """What `image` says of itself."""

    @abstractmethod
    def save(self, image: str, path: Path) -> None:
        """Writes the image into a file that `docker load` and `podman load` read.

        Raises:
            ImageError: if it cannot be written.
        """

    @property
    @abstractmethod
    def _program(self) -> Sequence[str]:
        """What every command begins with."""

    @abstractmethod
    def _run_arguments(
        self, image: str, options: Sequence[str], command: Sequence[str]
    ) -> list[str]: ...


@contextmanager
def open_engine() -> Iterator[Engine]:
    """Docker if its daemon responds, else buildah with a storage that is gone afterwards.

    Raises:
        UnavailableError: if there is neither; the sentence says what to install.
    """
    if _docker_responds():
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


def _docker_responds() -> bool:
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
            # the value is taken from the environment, not shown to all who list processes
            arguments += ["--build-arg", name]
        yield arguments


class Docker(Engine):
    """The docker command with its daemon."""

    _program = ("docker",)

    def config(self, image: str) -> ImageConfig:
        said = _succeed(f"There is no image {image}.", [*self._program, "image", "inspect", image])
        return ImageConfig.parse(json.loads(said)[0]["Config"])

    def save(self, image: str, path: Path) -> None:
        command = [*self._program, "save", "--output", str(path), image]
        _succeed(f"{path} could not be written.", command)

    def _run_arguments(
        self, image: str, options: Sequence[str], command: Sequence[str]
    ) -> list[str]:
        entrypoint, *arguments = command
        container = ["--rm", "--network", "host", "--entrypoint", entrypoint]
        return [*container, *options, image, *arguments]


class Buildah(Engine):
    """Buildah, which needs no daemon and no namespaces: its containers are chroots.

    Args:
        storage: the folder that is to hold images and containers.
    """

    # Docker's format keeps all that Docker's own builder writes
    _build_options = ("--format", "docker", "--isolation", "chroot")

    def __init__(self, storage: Path) -> None:
        self._storage = storage
        self._containers: dict[str, str] = {}

    def config(self, image: str) -> ImageConfig:
        said = _succeed(
            f"There is no image {image}.", [*self._program, "inspect", "--type", "image", image]
        )
        return ImageConfig.parse(json.loads(said)["OCIv1"]["config"])

    def save(self, image: str, path: Path) -> None:
        target = f"docker-archive:{path}:{image}"
        _succeed(f"{path} could not be written.", [*self._program, "push", image, target])

    def close(self) -> None:
        """Removes the containers, and what is mounted for them, so that the storage can go."""
        _run([*self._program, "rm", "--all"])

    @cached_property
    def _program(self) -> Sequence[str]:
        roots = ["--root", str(self._storage / "root"), "--runroot", str(self._storage / "run")]
        command = ["buildah", *roots]
        if _run([*command, "info"]).returncode == 0:
            return command
        # layers as plain copies, where the system has nothing better
        return [*command, "--storage-driver", "vfs"]

    def _run_arguments(
        self, image: str, options: Sequence[str], command: Sequence[str]
    ) -> list[str]:
        return ["--isolation", "chroot", *options, self._container(image), "--", *command]

    def _container(self, image: str) -> str:
        if image not in self._containers:
            said = _succeed(f"There is no image {image}.", [*self._program, "from", image])
            self._containers[image] = said.strip()
        return self._containers[image]
