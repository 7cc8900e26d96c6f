"""A PostgreSQL server for tests, on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

USER, PASSWORD, DATABASE = "loader", "p@ss/word: 7f3c%", "warehouse"
MISSING = "no PostgreSQL server is installed: on Debian and Ubuntu, run apt install postgresql"


@dataclass(frozen=True)
class PostgresServer:
    """A running server: its port, and the user that owns it."""

    port: int
    programs: Path

    def address(
        self,
        user: str = USER,
        password: str | None = PASSWORD,
        database: str = DATABASE,
        port: int | None = None,
    ) -> str:
        """An address as users write it."""
        secret = "" if password is None else f":{_quoted(password)}"
        return f"postgresql://{user}{secret}@127.0.0.1:{port or self.port}/{database}"

    def run(self, sql: str, database: str = DATABASE) -> str:
        """What psql prints for statements of the owner."""
        return subprocess.run(
            [
                *(self.programs / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"),
                *("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database),
                *("-c", sql),
            ],
            env={**os.environ, "PGPASSWORD": PASSWORD},
            check=True,
            capture_output=True,
            text=True,
        ).stdout


def programs() -> Path | None:
    """The folder of the newest server's programs, None if there is no server."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: float(path.parts[-3]),
    )
    on_path = shutil.which("initdb")
    if found:
        return found[-1].parent
    return Path(on_path).resolve().parent if on_path else None


@contextmanager
def started(folder_of_programs: Path) -> Iterator[PostgresServer]:
    """A new server that ends with the block, with a database for USER, who is no administrator."""
    with tempfile.TemporaryDirectory(prefix="source-coupa-postgres-") as name:
        folder = Path(name)
        identity = _identity()
        if identity:
            os.chown(folder, identity["user"], identity["group"])
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        subprocess.run(
            [
                *(folder_of_programs / "initdb", "-D", folder / "data", "-U", "postgres"),
                *("--auth=scram-sha-256", f"--pwfile={folder / 'password'}"),
                *("--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            **identity,
        )
        port = free_port()
        control: list[str | Path] = [folder_of_programs / "pg_ctl"]
        control += ["-D", folder / "data", "--wait", "--silent"]
        settings = (
            f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} "
            "-c fsync=off -c timezone=Asia/Kolkata"
        )
        start = [*control, "-l", folder / "log", "-o", settings, "start"]
        try:
            subprocess.run(start, cwd=folder, check=True, **identity)
            server = PostgresServer(port, folder_of_programs)
            server.run(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'", "postgres")
            server.run(f"CREATE DATABASE {DATABASE} OWNER {USER}", "postgres")
            yield server
        finally:
            if (folder / "data" / "postmaster.pid").exists():
                subprocess.run([*control, "stop", "-m", "fast"], cwd=folder, check=True, **identity)


def _identity() -> Mapping[str, Any]:
    """Who the server runs as: PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("there is no user under whom PostgreSQL could run")


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _quoted(text: str) -> str:
    return "".join(letter if letter.isalnum() else f"%{ord(letter):02X}" for letter in text)
