"""Arguments and files of the commands: a typing error gets one message that says what to do."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from airbyte_cdk.models import Status
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import (
    CliFiles,
    CliRun,
    configured_catalog,
    forget_shared_parts,
    run_here,
    run_process,
)
from integration_tests.sandbox import Sandbox
from source_coupa import SourceCoupa
from unit_tests.failing import small_sandbox

pytestmark = pytest.mark.usefixtures("no_budget")

SECRET = "a-secret-in-a-file"
BROKEN = {
    "missing": (None, r"missing cannot be read (No such file or directory): check its path"),
    "empty": (b"", "empty is not valid JSON (line 1, column 1): correct it."),
    "cut": (
        f'{{\n"client_secret": "{SECRET}'.encode(),
        "cut is not valid JSON (line 2, column 18)",
    ),
    "deep": (b"[" * 100_000, "deep is not valid JSON: correct it."),
    "digits": (b"9" * 5_000, "digits is not valid JSON: correct it."),
    "half a letter": (
        rf'{{"client_secret": "{SECRET}\ud800"}}'.encode(),
        "half a letter is not valid JSON: correct it.",
    ),
    "no text": (b"\xff\xfe\xff", "no text is not valid JSON: correct it."),
}
NO_OBJECT = ("[1]", "null", "5", f'"{SECRET}"', f'[{{"client_secret": "{SECRET}"}}]')


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with small_sandbox() as running:
        yield running


def message_of(run: CliRun) -> str:
    """The one message of a command that failed; `check` responds and succeeds as a command."""
    assert SECRET not in run.stdout + run.stderr
    if run.of_type("CONNECTION_STATUS"):
        assert (run.exit_code, run.errors) == (0, [])
        return str(run.connection_status["message"])
    assert run.exit_code == 1
    (error,) = run.errors
    assert error["failure_type"] == "config_error"
    return str(error["message"])


@pytest.mark.parametrize("command", ["check", "discover", "read"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_file_of_settings_that_cannot_be_read_is_named(
    command: str, name: str, tmp_path: Path
) -> None:
    content, sentence = BROKEN[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    catalog = configured_catalog("users") if command == "read" else None
    arguments = CliFiles(tmp_path, command, {}, catalog).arguments()
    arguments[2] = str(tmp_path / name)
    assert sentence in message_of(run_here(arguments))


@pytest.mark.parametrize("content", NO_OBJECT)
def test_settings_are_an_object(content: str, tmp_path: Path) -> None:
    files = CliFiles(tmp_path, "check", {})
    arguments = files.arguments()
    files.config_path.write_text(content)
    assert "holds no settings: write a JSON object with" in message_of(run_here(arguments))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_settings_may_begin_with_a_byte_order_mark(
    sandbox: Sandbox, encoding: str, tmp_path: Path
) -> None:
    """As some editors and shells write them."""
    files = CliFiles(tmp_path, "check", {})
    arguments = files.arguments()
    files.config_path.write_text(json.dumps(sandbox.config()), encoding=encoding)
    assert run_here(arguments).connection_status == {"status": "SUCCEEDED"}


@pytest.mark.parametrize("client_id", ["", " "])
def test_settings_may_come_through_a_pipe(sandbox: Sandbox, client_id: str, tmp_path: Path) -> None:
    """Which gives them once, and is not replaced by a file when they are migrated."""
    files = CliFiles(tmp_path, "check", {})
    config = sandbox.config()
    config["client_id"] += client_id
    os.mkfifo(files.config_path)
    arguments = ["check", "--config", str(files.config_path)]
    writer = Thread(target=files.config_path.write_text, args=[json.dumps(config)])
    writer.start()
    assert run_here(arguments).connection_status == {"status": "SUCCEEDED"}
    writer.join()
    assert files.config_path.is_fifo()


@pytest.mark.parametrize("option", ["--catalog", "--state"])
@pytest.mark.parametrize("name", ["missing", "cut"])
def test_other_files_that_cannot_be_read_are_named(
    sandbox: Sandbox, option: str, name: str, tmp_path: Path
) -> None:
    content, sentence = BROKEN[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    files = CliFiles(tmp_path, "read", sandbox.config(), configured_catalog("users"), [])
    arguments = files.arguments()
    arguments[arguments.index(option) + 1] = str(tmp_path / name)
    assert sentence in message_of(run_here(arguments))


@pytest.mark.parametrize("content", [*NO_OBJECT, "{}", '{"streams": [{}]}', '{"streams": 5}'])
def test_what_is_no_catalog_is_named(sandbox: Sandbox, content: str, tmp_path: Path) -> None:
    arguments = CliFiles(
        tmp_path, "read", sandbox.config(), configured_catalog("users")
    ).arguments()
    (tmp_path / "catalog.json").write_text(content)
    assert "holds no configured catalog: pass one" in message_of(run_here(arguments))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "error: no command: use spec, check, discover or read, for example"),
        (["chekc"], "invalid choice: 'chekc'"),
        (["check"], "the following arguments are required: --config"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_reported_without_a_stack_trace(
    arguments: list[str], says: str
) -> None:
    run = run_process(arguments)
    assert (run.exit_code, run.stdout) == (2, "")
    assert says in run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr


class TestSourceWithoutSettings:
    """Airbyte's tests make a source without settings and give them to its methods."""

    @pytest.fixture(params=["none", "others"])
    def source(self, request: pytest.FixtureRequest) -> SourceCoupa:
        forget_shared_parts()
        if request.param == "none":
            return SourceCoupa()
        others = {"instance_url": "https://acme.invalid", "client_id": "a", "client_secret": "b"}
        return SourceCoupa(config=others)

    @pytest.fixture
    def config(self, sandbox: Sandbox) -> dict[str, Any]:
        """As entered, not yet in the normal form."""
        return sandbox.config(instance_url=f" {sandbox.url.upper()}/ ")

    def test_checks_those_that_it_is_given(
        self, source: SourceCoupa, config: dict[str, Any]
    ) -> None:
        status = source.check(logging.getLogger("airbyte"), config)
        assert (status.status, status.message) == (Status.SUCCEEDED, None)
        wrong = source.check(logging.getLogger("airbyte"), {**config, "client_secret": "c"})
        assert wrong.status == Status.FAILED
        assert "refused the client ID or the client secret" in str(wrong.message)

    def test_discovers_with_them(self, source: SourceCoupa, config: dict[str, Any]) -> None:
        catalog = source.discover(logging.getLogger("airbyte"), config)
        assert {"users", "invoices"} <= {stream.name for stream in catalog.streams}

    def test_reads_with_them(self, source: SourceCoupa, config: dict[str, Any]) -> None:
        messages = source.read(
            logging.getLogger("airbyte"), config, configured_catalog("users"), []
        )
        records = [message.record for message in messages if message.record]
        assert {record.stream for record in records} == {"users"}
        assert len(records) == 3

    def test_says_which_is_wrong(self, source: SourceCoupa, config: dict[str, Any]) -> None:
        wrong = {**config, "instance_url": "ftp://acme.coupahost.com"}
        status = source.check(logging.getLogger("airbyte"), wrong)
        assert str(status.message).startswith("Instance URL must be")
        with pytest.raises(AirbyteTracedException, match="Instance URL must be"):
            source.discover(logging.getLogger("airbyte"), wrong)

    def test_configures_them(self, config: dict[str, Any], sandbox: Sandbox) -> None:
        assert SourceCoupa().configure(config, "") == sandbox.config()
