"""Settings: each is stored in its normal form or refused in one message that names the field.

A refused setting sends no request, so that credentials cannot go to a host that an instance URL in
a hostile form might mean.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.harness import (
    CliFiles,
    CliRun,
    check,
    configured_catalog,
    run_here,
    run_process,
    run_read,
)
from integration_tests.sandbox import Sandbox
from source_coupa.config import SANDBOX_VARIABLE, CoupaConfig

SECRET = "s3cret-of-a-test"
GOOD = {
    "instance_url": "https://acme.coupahost.com",
    "client_id": "id-of-a-test",
    "client_secret": SECRET,
}
MISSING = object()

URL = "Instance URL must be the https address of your Coupa instance"
DATE = "Start date must be a date and time with time zone"
LOOKBACK = "Look-back window must be a whole number of hours from 0 to 720"
RATE = "Requests per second must be a whole number from 1 to 25"
WORKERS = "Number of workers must be a whole number from 2 to 100"
CLIENT_ID = "Client ID must be"
CLIENT_SECRET = "Client secret must be"
GRANT = "Grant type must be an object whose auth_type is"
REFRESH_TOKEN = "Refresh token must be the one that Coupa gave at sign-in: authenticate"
SIGNED_IN = {"auth_type": "authorization_code", "refresh_token": SECRET}

NO_NUMBERS: tuple[object, ...] = ("2", "many", "", 2.5, 2.0, True, [2], {"hours": 2})

REFUSED: dict[str, tuple[str, tuple[object, ...]]] = {
    "instance_url": (URL, (MISSING, None, "", "  ", 5, True, ["https://acme.coupahost.com"], {})),
    "client_id": (CLIENT_ID, (MISSING, None, "", 17, ["id-of-a-test"])),
    "client_secret": (CLIENT_SECRET, (MISSING, None, "", 17, [SECRET])),
    "start_date": (
        DATE,
        (
            "",
            "2024",
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            " 2024-01-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T25:00:00Z",
            "yesterday",
            1_704_067_200,
            1_704_067_200.5,
            True,
            ["2024-01-01T00:00:00Z"],
        ),
    ),
    "credentials": (
        GRANT,
        (
            "authorization_code",
            5,
            True,
            [SIGNED_IN],
            {"auth_type": "password"},
            {"auth_type": ""},
            {"auth_type": 5},
            {"auth_type": ["authorization_code"]},
            {"refresh_token": SECRET},
        ),
    ),
    "lookback_window_hours": (LOOKBACK, (*NO_NUMBERS, -1, 721, 10**30)),
    "requests_per_second": (RATE, (*NO_NUMBERS, 0, -1, 26, 10**30)),
    "num_workers": (WORKERS, (*NO_NUMBERS, 0, 1, -5, 101, 10**30)),
}
REFUSED_CREDENTIALS: dict[str, tuple[str, tuple[object, ...]]] = {
    "refresh_token": (REFRESH_TOKEN, (MISSING, None, "", " ", 17, [SECRET], {"a": SECRET})),
    "scopes": (
        "Scopes must be names of scopes as Coupa shows them",
        (5, ["core.user.read"], "core.user.read\ncore.invoice.read", "a&b", "{{ 1 }}"),
    ),
    "access_token": ("Access token must be", (5, ["a"], "two words", "a\nb", "t\u00f6ken")),
    "token_expiry_date": (
        "Token expiry date must be a date and time",
        (5, True, "tomorrow", "2024-01-01T00:00:00", ["2024-01-01T00:00:00Z"]),
    ),
}
ONE_OF_EACH_KIND = [
    pytest.param(field, value, REFUSED[field][0], id=f"{field}-{kind}")
    for field, kind, value in (
        ("instance_url", "missing", MISSING),
        ("instance_url", "null", None),
        ("instance_url", "empty", ""),
        ("instance_url", "blank", " \n"),
        ("instance_url", "number", 5),
        ("client_id", "missing", MISSING),
        ("client_id", "blank", " \n"),
        ("client_id", "number", 17),
        ("client_secret", "null", None),
        ("client_secret", "blank", " \n"),
        ("client_secret", "list", [SECRET]),
        ("credentials", "text", "authorization_code"),
        ("credentials", "no such grant type", {"auth_type": "password"}),
        ("credentials", "no grant type", {"refresh_token": SECRET}),
        ("start_date", "empty", ""),
        ("start_date", "number", 1_704_067_200),
        ("start_date", "no T", "2024-01-01 00:00:00Z"),
        ("start_date", "no such day", "2024-02-30T00:00:00Z"),
        ("lookback_window_hours", "text", "2"),
        ("lookback_window_hours", "float", 2.0),
        ("lookback_window_hours", "negative", -1),
        ("requests_per_second", "none at all", 0),
        ("requests_per_second", "too many", 26),
        ("requests_per_second", "list", [20]),
        ("num_workers", "negative", -5),
        ("num_workers", "one", 1),
        ("num_workers", "text", "many"),
    )
]

HOSTILE_URLS = (
    "http://acme.coupahost.com",
    "http://127.0.0.1:8080",
    "http://localhost",
    "http://localhost.evil.example:80",
    "http://localhost:80@evil.example",
    "ftp://acme.coupahost.com",
    "file:///etc/passwd",
    "javascript://acme.coupahost.com",
    "//acme.coupahost.com",
    "https:acme.coupahost.com",
    "https:///acme.coupahost.com",
    "https://",
    "https://acme",
    "https://https://acme.coupahost.com",
    "https://user:password@acme.coupahost.com",
    "https://user@acme.coupahost.com",
    "https://good.coupahost.com@evil.example",
    "good.coupahost.com@evil.example",
    "https://good.coupahost.com%40evil.example",
    "https://good.coupahost.com\\@evil.example",
    "https://evil.example\\.coupahost.com",
    "https://acme.coupahost.com\\",
    "https://acme.coupahost.com/api",
    "https://acme.coupahost.com/api/",
    "https://acme.coupahost.com/..",
    "https://acme.coupahost.com?x=1",
    "https://acme.coupahost.com/?",
    "https://acme.coupahost.com#top",
    "https://acme.coupahost.com:",
    "https://acme.coupahost.com:0x50",
    "https://acme.coupahost.com:65536",
    "https://acme.coupahost.com:443:443",
    "https://acme..coupahost.com",
    "https://.coupahost.com",
    "https://-acme.coupahost.com",
    "https://acme-.coupahost.com",
    "https://acme_one.coupahost.com",
    "https://acme.coupahost.com.",
    f"https://{'a' * 64}.coupahost.com",
    f"https://{'a.' * 130}com",
    "https://acme coupahost.com",
    "https://acme.coupahost.com evil.example",
    "https://acme.coupahost.com\nHost: evil.example",
    "https://acme\x00.coupahost.com",
    "https://acme.coupahost.com\x00",
    "https://\tacme.coupahost.com",
    "https://acme\u200b.coupahost.com",
    "https://acme\u3002coupahost.com",
    "https://b\u00fccher.coupahost.com",
    "https://\uff41cme.coupahost.com",
    "https://acm\u0435.coupahost.com",
    "https://[::1]",
    "https://[::1]:8080",
    "https://{{ config['client_secret'] }}.coupahost.com",
    "{{ config['client_secret'] }}",
)

OF_A_NETWORK = (
    "http://localhost:8080",
    "https://127.0.0.1",
    "https://10.0.0.1:8443",
    "https://169.254.169.254",
    "https://2130706433.0",
    "https://1.2.3.0x4",
    "https://acme.localhost",
    "https://coupa.5",
)

NORMAL_URLS = {
    "acme.coupahost.com": "https://acme.coupahost.com",
    " https://acme.coupahost.com \r\n": "https://acme.coupahost.com",
    "https://acme.coupahost.com/": "https://acme.coupahost.com",
    "https://acme.coupahost.com///": "https://acme.coupahost.com",
    "HTTPS://ACME.CoupaHost.COM": "https://acme.coupahost.com",
    "\tAcme.CoupaCloud.com/ ": "https://acme.coupacloud.com",
    "acme.coupahost.com:8443": "https://acme.coupahost.com:8443",
    "https://xn--bcher-kva.coupahost.com": "https://xn--bcher-kva.coupahost.com",
    "HTTP://LocalHost:8080/": "http://localhost:8080",
}


def with_setting(field: str, value: object) -> dict[str, Any]:
    settings: dict[str, Any] = {**GOOD, field: value}
    if value is MISSING:
        del settings[field]
    return settings


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of requests, none of which leaves this process."""
    urls: list[str] = []

    def send(_: requests.Session, request: requests.PreparedRequest, **__: Any) -> None:
        urls.append(str(request.url))
        raise requests.ConnectionError

    monkeypatch.setattr(requests.Session, "send", send)
    return urls


def without_controls(run: CliRun) -> str:
    """What a run printed, but for the messages that hand the config back to Airbyte."""
    lines = run.stdout.splitlines()
    return "\n".join(line for line in lines if not line.startswith('{"type":"CONTROL"'))


def rows_of(refused: Mapping[str, tuple[str, Sequence[object]]]) -> list[Any]:
    """(field, value, sentence) of each value that is refused."""
    return [
        pytest.param(field, value, sentence, id=field if value is MISSING else f"{field}={value!r}")
        for field, (sentence, values) in refused.items()
        for value in values
    ]


@pytest.mark.parametrize(("field", "value", "sentence"), rows_of(REFUSED))
def test_a_wrong_setting_is_named_in_one_message(field: str, value: object, sentence: str) -> None:
    with pytest.raises(AirbyteTracedException) as caught:
        CoupaConfig.parse(with_setting(field, value))
    assert caught.value.failure_type == FailureType.config_error
    assert str(caught.value).startswith(sentence)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(("field", "value", "sentence"), rows_of(REFUSED_CREDENTIALS))
def test_a_wrong_part_of_a_sign_in_is_named_in_one_message(
    field: str, value: object, sentence: str, sent: list[str]
) -> None:
    credentials: dict[str, Any] = {**SIGNED_IN, field: value}
    if value is MISSING:
        del credentials[field]
    run = check({**GOOD, "credentials": credentials})
    assert (run.exit_code, run.errors, sent) == (0, [], [])
    assert run.connection_status["message"].startswith(sentence)
    assert SECRET not in without_controls(run)


@pytest.mark.parametrize("nothing", [None, "", " "])
def test_what_a_sign_in_may_lack_may_be_empty(nothing: object) -> None:
    optional = dict.fromkeys(("scopes", "access_token", "token_expiry_date"), nothing)
    settings = CoupaConfig.parse({**GOOD, "credentials": {**SIGNED_IN, **optional}})
    assert settings == CoupaConfig.parse({**GOOD, "credentials": SIGNED_IN})


def test_pasted_parts_of_a_sign_in_lose_blanks_around_them() -> None:
    padded = {key: f" {value}\n" for key, value in SIGNED_IN.items()}
    settings = CoupaConfig.parse({**GOOD, "credentials": padded})
    assert settings == CoupaConfig.parse({**GOOD, "credentials": SIGNED_IN})


@pytest.mark.parametrize(("field", "value", "sentence"), ONE_OF_EACH_KIND)
def test_check_says_it_before_the_cdk_stumbles_and_before_any_request(
    field: str, value: object, sentence: str, sent: list[str]
) -> None:
    run = check(with_setting(field, value))
    assert (run.exit_code, run.errors, sent) == (0, [], [])
    assert run.connection_status["status"] == "FAILED"
    assert run.connection_status["message"].startswith(sentence)
    assert SECRET not in without_controls(run)


@pytest.mark.parametrize("url", HOSTILE_URLS[::5], ids=ascii)
def test_an_instance_url_that_is_more_than_a_host_gets_no_request(
    url: str, sent: list[str]
) -> None:
    run = check({**GOOD, "instance_url": url})
    assert (run.exit_code, run.errors, sent) == (0, [], [])
    assert run.connection_status["message"].startswith(URL)
    assert SECRET not in without_controls(run)


@pytest.mark.parametrize("url", OF_A_NETWORK)
def test_an_address_within_a_network_is_that_of_a_sandbox(
    url: str, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert CoupaConfig.parse({**GOOD, "instance_url": url})
    monkeypatch.delenv(SANDBOX_VARIABLE)
    run = check({**GOOD, "instance_url": url})
    assert (run.exit_code, run.errors, sent) == (0, [], [])
    assert run.connection_status["message"].startswith(URL)
    for public in (*NORMAL_URLS, "https://10.0.0.1.coupahost.com"):
        if NORMAL_URLS.get(public, public) == public and "localhost" not in public:
            assert CoupaConfig.parse({**GOOD, "instance_url": public})


@pytest.mark.parametrize("url", [*HOSTILE_URLS, *NORMAL_URLS], ids=ascii)
def test_requests_are_made_from_an_instance_url_in_its_normal_form_only(url: str) -> None:
    if NORMAL_URLS.get(url) == url:
        assert CoupaConfig.parse({**GOOD, "instance_url": url}).instance_url == url
    else:
        with pytest.raises(AirbyteTracedException, match=URL):
            CoupaConfig.parse({**GOOD, "instance_url": url})


@pytest.mark.parametrize(("entered", "normal"), NORMAL_URLS.items(), ids=ascii)
def test_the_instance_url_is_stored_in_its_normal_form(
    entered: str, normal: str, tmp_path: Path, sent: list[str]
) -> None:
    files = CliFiles(tmp_path, "check", {**GOOD, "instance_url": entered})
    run = run_here(files.arguments())
    stored = {**GOOD, "instance_url": normal}
    assert json.loads(files.config_path.read_text()) == stored
    control = [
        message["control"]["connectorConfig"]["config"] for message in run.of_type("CONTROL")
    ]
    assert control == [stored] * (entered != normal)
    assert set(sent) == {f"{normal}/oauth2/token"}


def test_settings_in_a_file_that_cannot_be_written_are_reported_and_used(
    tmp_path: Path, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a file that is mounted into a container, whose user is another."""
    monkeypatch.setattr("source_coupa.source.os.access", lambda _, mode: mode != os.W_OK)
    [(entered, normal), *_] = [pair for pair in NORMAL_URLS.items() if pair[0] != pair[1]]
    files = CliFiles(tmp_path, "check", {**GOOD, "instance_url": entered})
    run = run_here(files.arguments())
    assert json.loads(files.config_path.read_text()) == {**GOOD, "instance_url": entered}
    (control,) = run.of_type("CONTROL")
    assert control["control"]["connectorConfig"]["config"] == {**GOOD, "instance_url": normal}
    assert set(sent) == {f"{normal}/oauth2/token"}


@pytest.mark.parametrize("field", ["client_id", "client_secret"])
@pytest.mark.parametrize(
    "value",
    [
        "plain",
        "0123",
        "1e5",
        "None",
        "True",
        "['a']",
        "{{ 1 + 1 }}",
        "{% raw %}",
        "q\"\\'",
        "\u00e9\u4e2d",
    ],
    ids=ascii,
)
def test_pasted_credentials_lose_blanks_around_them_and_nothing_else(
    field: str, value: str, tmp_path: Path, sent: list[str]
) -> None:
    files = CliFiles(tmp_path, "check", {**GOOD, field: f" \t{value}\n"})
    run_here(files.arguments())
    assert json.loads(files.config_path.read_text()) == {**GOOD, field: value}
    assert sent


def test_good_settings_are_left_as_they_are(tmp_path: Path, sent: list[str]) -> None:
    config = {
        **GOOD,
        "start_date": "2024-01-01T02:00:00.5+02:00",
        "lookback_window_hours": 0,
        "requests_per_second": 25,
        "num_workers": 2,
        "a_setting_of_a_later_version": {"x": [1]},
    }
    files = CliFiles(tmp_path, "check", config)
    run = run_here(files.arguments())
    assert json.loads(files.config_path.read_text()) == config
    assert run.of_type("CONTROL") == []
    assert "could not be reached" in run.connection_status["message"]
    assert sent


OPTIONAL = (
    "credentials",
    "start_date",
    "lookback_window_hours",
    "requests_per_second",
    "num_workers",
)


@pytest.mark.parametrize("names", [[name] for name in OPTIONAL] + [[*OPTIONAL]], ids=" ".join)
def test_null_means_that_an_optional_setting_was_left_out(names: list[str]) -> None:
    with Sandbox(rows={"users": 3}) as sandbox:
        nulls: dict[str, Any] = dict.fromkeys(names)
        config = sandbox.config(**nulls)
        assert check(config).connection_status == {"status": "SUCCEEDED"}
        output = run_read(sandbox, ["users"], **nulls)
        assert output.errors == []
        assert len(output.records) == 3
        assert CoupaConfig.parse(config) == CoupaConfig.parse(sandbox.config())


@pytest.mark.parametrize("command", ["check", "discover", "read"])
def test_each_command_reports_a_wrong_setting_as_airbyte_expects(
    command: str, tmp_path: Path
) -> None:
    """`check` responds and succeeds as a command; the others fail as one."""
    files = CliFiles(
        tmp_path,
        command,
        {**GOOD, "instance_url": f"https://{SECRET}@acme.coupahost.com/x"},
        configured_catalog("users") if command == "read" else None,
    )
    run = run_process(files.arguments())
    if command == "check":
        assert run.exit_code == 0
        assert run.errors == []
        assert run.connection_status["message"].startswith(URL)
    else:
        assert run.exit_code == 1
        (error,) = run.errors
        assert error["failure_type"] == "config_error"
        assert error["message"].startswith(URL)
    assert run.stderr == ""
    assert SECRET not in run.stdout


def test_a_command_goes_on_with_what_it_stored(tmp_path: Path) -> None:
    with Sandbox(rows={"users": 3}) as sandbox:
        config = sandbox.config(
            instance_url=f" {sandbox.url.upper()}/ ",
            client_id=f" {sandbox.config()['client_id']} ",
            client_secret=f"\n{sandbox.config()['client_secret']}",
        )
        files = CliFiles(tmp_path, "read", config, configured_catalog("users"))
        run = run_process(files.arguments())
        assert (run.exit_code, run.errors) == (0, [])
        assert len(run.of_type("RECORD")) == 3
        assert json.loads(files.config_path.read_text()) == sandbox.config()
        (control,) = run.of_type("CONTROL")
        assert control["control"]["connectorConfig"]["config"] == sandbox.config()
