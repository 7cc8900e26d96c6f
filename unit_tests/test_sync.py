"""The parts of `bin/sync` that need no PyAirbyte. `test_sync_command` runs the whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.errors import SyncError
from sync.sandbox import EDITS, RESOURCE_OF_STREAM, ROWS
from sync.settings import load_config, schema_name, secrets_of, without_secrets


@pytest.mark.parametrize(
    ("instance_url", "schema"),
    [
        ("https://acme.coupahost.com", "acme_coupahost_com"),
        (" https://Acme.coupahost.com/ ", "acme_coupahost_com"),
        ("acme-test.coupacloud.com", "acme_test_coupacloud_com"),
        ("http://localhost:8080", "localhost_8080"),
        ("https://3m.coupahost.com", "coupa_3m_coupahost_com"),
        ("", "coupa"),
    ],
)
def test_schema_is_named_after_the_instance(instance_url: str, schema: str) -> None:
    assert schema_name({"instance_url": instance_url}) == schema


def test_instances_of_one_name_at_two_domains_have_two_schemas() -> None:
    domains = ("coupahost.com", "coupacloud.com")
    schemas = {schema_name({"instance_url": f"https://acme.{domain}"}) for domain in domains}
    assert len(schemas) == 2


def test_secrets_are_struck_out() -> None:
    config = {
        "client_id": "an-id-4711",
        "client_secret": " a-secret-0815 ",
        "credentials": {"auth_type": "authorization_code", "refresh_token": "renew-1623"},
        "other": "kept",
    }
    text = "Coupa refuses a-secret-0815 of an-id-4711 and renew-1623, other is kept"
    struck_out = without_secrets(text, secrets_of(config))
    assert struck_out == "Coupa refuses **** of **** and ****, other is kept"


def test_settings_without_secrets_leave_a_text_alone() -> None:
    secrets = secrets_of({"client_secret": "", "client_id": None})
    assert without_secrets("text", secrets) == "text"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "is not a JSON file"),
        (b"\xff\xfe", "is not a JSON file"),
        (b'"text"', "must hold a JSON object"),
    ],
)
def test_config_that_is_no_json_object_is_refused(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(SyncError, match=problem):
        load_config(path)


def test_folder_as_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SyncError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_demo_edits_and_serves_every_stream() -> None:
    assert list(EDITS) == list(RESOURCE_OF_STREAM)
    assert set(RESOURCE_OF_STREAM.values()) == set(ROWS)
