"""What `bin/sync` says of a PostgreSQL database that cannot be written."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .postgres import DATABASE, PASSWORD, USER, PostgresServer, free_port
from .sandbox import Dialect, RequestRecord, Sandbox
from .sync_command import run_sync

pytestmark = pytest.mark.slow

SECRET = "not-the-password-5d1c"
NEIGHBOUR = "neighbour"
LATIN = "latin"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(rows={"users": 60}, dialect=Dialect(rate_limit=None)) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def server(postgres_server: PostgresServer) -> PostgresServer:
    """The server with a user who may create nothing, and a database that lacks characters."""
    postgres_server.run(f"CREATE ROLE {NEIGHBOUR} LOGIN PASSWORD '{PASSWORD}'")
    postgres_server.run(f"CREATE SCHEMA closed; GRANT USAGE ON SCHEMA closed TO {NEIGHBOUR}")
    postgres_server.run(
        f"CREATE DATABASE {LATIN} OWNER {USER} ENCODING LATIN1 TEMPLATE template0", "postgres"
    )
    return postgres_server


def error_of(folder: Path, sandbox: Sandbox, *arguments: str, password: str | None = None) -> str:
    """Runs a sync that must fail; its one line, in which no password stands."""
    (folder / "config.json").write_text(json.dumps(sandbox.config()))
    environment = {} if password is None else {"PGPASSWORD": password}
    run = run_sync(
        folder,
        *("--config", "config.json", "--streams", "users", "--once", *arguments),
        environment=environment,
    )
    assert run.returncode == 1
    [line] = run.stderr[run.stderr.index("error: ") :].splitlines()
    assert "Traceback" not in run.stderr
    for secret in (PASSWORD, SECRET, sandbox.config()["client_secret"]):
        assert secret not in run.stdout + run.stderr
    return line


WRONG = {
    "another scheme": ("mysql://user:{secret}@127.0.0.1/x", "must be a DuckDB file or an address"),
    "no database": ("postgresql://user:{secret}@127.0.0.1", "must be a DuckDB file or an address"),
    "no port": ("postgresql://user:{secret}@127.0.0.1:x/y", "must be a DuckDB file or an address"),
    "password": (
        "postgresql://{user}:{secret}@127.0.0.1:{port}/{database}",
        "refused the password of loader: correct it in the address, in PGPASSWORD or in ~/.pgpass.",
    ),
    "no password": (
        "postgresql://{user}@127.0.0.1:{port}/{database}",
        "refused the password of loader: correct it in the address, in PGPASSWORD or in ~/.pgpass.",
    ),
    "user": (
        "postgresql://nobody-7:{secret}@127.0.0.1:{port}/{database}",
        "refused the password of nobody-7",
    ),
    "option": (
        "postgresql://{user}:{secret}@127.0.0.1:{port}/{database}?sslmode=never",
        'cannot be opened: invalid sslmode value: "never"',
    ),
    "port": (
        "postgresql://{user}:{secret}@127.0.0.1:{free}/{database}",
        "cannot be reached (Connection refused): check its host and port",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_address_gives_one_message(
    tmp_path: Path, sandbox: Sandbox, server: PostgresServer, what: str
) -> None:
    address, sentence = WRONG[what]
    places = {"user": USER, "port": server.port, "database": DATABASE, "free": free_port()}
    line = error_of(tmp_path, sandbox, "--database", address.format(secret=SECRET, **places))
    assert sentence in line
    assert not sandbox.requests_for("users")


def test_a_database_that_does_not_exist_is_named(
    tmp_path: Path, sandbox: Sandbox, server: PostgresServer
) -> None:
    line = error_of(tmp_path, sandbox, "--database", server.address(database="absent"))
    assert "There is no database absent on 127.0.0.1: create it with createdb absent" in line


def test_a_database_that_lacks_characters_is_refused(
    tmp_path: Path, sandbox: Sandbox, server: PostgresServer
) -> None:
    line = error_of(tmp_path, sandbox, "--database", server.address(database=LATIN))
    assert "stores text as LATIN1, which lacks characters" in line


def test_a_user_without_rights_learns_which_are_missing(
    tmp_path: Path, sandbox: Sandbox, server: PostgresServer
) -> None:
    address = server.address(NEIGHBOUR)
    line = error_of(tmp_path, sandbox, "--database", address)
    assert f"GRANT CREATE ON DATABASE {DATABASE} TO {NEIGHBOUR}" in line
    line = error_of(tmp_path, sandbox, "--database", address, "--schema", "closed")
    assert f"GRANT USAGE, CREATE ON SCHEMA closed TO {NEIGHBOUR}" in line


def test_the_demo_drops_no_schema_but_its_own(tmp_path: Path, server: PostgresServer) -> None:
    server.run("DROP SCHEMA IF EXISTS sandbox CASCADE")
    server.run("CREATE SCHEMA sandbox; CREATE TABLE sandbox.kept AS SELECT 1 AS id")
    run = run_sync(tmp_path, "--database", server.address())
    assert run.returncode == 1
    assert "has a schema sandbox that is not the demo's" in run.stderr
    assert server.run("SELECT id FROM sandbox.kept").strip() == "1"


@contextmanager
def locked(server: PostgresServer, schema: str) -> Iterator[None]:
    """Another sync that writes into a schema."""
    statement = f"SELECT pg_advisory_lock(hashtext('source-coupa'), hashtext('{schema}'));\n"
    with subprocess.Popen(
        [server.programs / "psql", "-X", "-q", "-A", "-t", server.address()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(statement + "SELECT 'locked';\n")
        other.stdin.flush()
        while other.stdout.readline() != "locked\n":
            pass
        yield
        other.stdin.close()


def test_two_syncs_do_not_write_into_one_schema(
    tmp_path: Path, sandbox: Sandbox, server: PostgresServer
) -> None:
    with locked(server, "busy"):
        line = error_of(tmp_path, sandbox, "--database", server.address(), "--schema", "busy")
    assert "Another sync is writing into schema busy" in line


def test_a_server_that_fails_in_the_middle_is_reported_and_the_next_sync_brings_all(
    tmp_path: Path, sandbox: Sandbox, server: PostgresServer
) -> None:
    ended: list[int] = []

    def end_connections(_: Sandbox, request: RequestRecord) -> None:
        if request.resource == "users" and "order_by" in request.query and not ended:
            ended.append(1)
            server.run(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'"
            )

    sandbox.before_each(end_connections)
    arguments = ("--database", server.address(password=None), "--schema", "middle")
    line = error_of(tmp_path, sandbox, *arguments, password=PASSWORD)
    assert ended
    assert "could not be written: terminating connection due to administrator command" in line

    config = ("--config", "config.json", "--streams", "users", "--once")
    run = run_sync(tmp_path, *config, *arguments, environment={"PGPASSWORD": PASSWORD})
    assert run.returncode == 0, run.stderr
    assert server.run("SELECT count(*) FROM middle.users").strip() == "60"
