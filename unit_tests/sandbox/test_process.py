"""The sandbox as a process of its own, driven through its control calls."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from integration_tests.airbyte_sign_in import Airbyte
from integration_tests.reference.manifest import MANIFEST
from unit_tests.sandbox.conftest import Start

COMMAND = [sys.executable, "-m", "integration_tests.sandbox", "--seed", "3"]
CONTROLLED = ["--control", "--rows", "users=12", "--no-rate-limit"]
SPEC = MANIFEST["spec"]


class Process:
    """A running sandbox process; `call` is its control interface."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        assert popen.stdout is not None
        self.popen = popen
        self.hello = json.loads(popen.stdout.readline())
        self.session = requests.Session()

    def call(self, name: str, **arguments: Any) -> Any:
        response = self.session.post(f"{self.hello['url']}/_sandbox/{name}", json=arguments)
        assert response.status_code == 200, response.text
        return response.json()

    def get(self, path: str) -> requests.Response:
        config = self.hello["config"]
        response = self.session.post(
            f"{config['instance_url']}/oauth2/token",
            data={
                "client_id": config["client_id"],
                "client_secret": config["client_secret"],
                "grant_type": "client_credentials",
            },
        )
        headers = {
            "Authorization": f"Bearer {response.json()['access_token']}",
            "Accept": "application/json",
        }
        return self.session.get(f"{self.hello['url']}/api/{path}", headers=headers)


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    with subprocess.Popen([*COMMAND, *CONTROLLED], stdout=subprocess.PIPE, text=True) as popen:
        running = Process(popen)
        yield running
        running.session.close()
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(10) == 0, "it ends in peace on SIGTERM"


def test_it_says_where_it_is(process: Process) -> None:
    assert process.hello["url"].startswith("http://localhost:")
    assert process.hello["config"].keys() == {"instance_url", "client_id", "client_secret"}
    assert process.get("users").json() == process.call("records", resource="users")


def test_it_lets_users_sign_in() -> None:
    command = [*COMMAND, *CONTROLLED, "--sign-in"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as popen:
        running = Process(popen)
        config = running.hello["config"]
        form = {
            "grant_type": "refresh_token",
            "client_id": config["client_id"],
            "client_secret": config["client_secret"],
        }
        signed_in = Airbyte(SPEC).authenticate(config)
        form["refresh_token"] = signed_in["credentials"]["refresh_token"]
        for status in (200, 400):
            response = running.session.post(f"{running.hello['url']}/oauth2/token", data=form)
            assert response.status_code == status
            running.call("end_sign_ins")
        running.session.close()
        popen.send_signal(signal.SIGTERM)


def test_rows(process: Process) -> None:
    before = process.call("counts")
    (added,) = process.call("add", resource="users", record={"login": "neu"})["ids"]
    process.call("add", resource="users", count=2)
    assert process.call("counts") == before | {"users": before["users"] + 3}
    (edited,) = process.call("edit", resource="users", count=1)["ids"]
    process.call("edit", resource="users", ids=[added], changes={"login": "new"}, touch=False)
    assert process.get(f"users/{added}").json()["login"] == "new"
    process.call("delete", resource="users", ids=[added])
    assert process.get(f"users/{added}").status_code == 404
    stamps = process.call("stamps", resource="users")
    assert len(stamps) == before["users"] + 2
    assert str(edited) in stamps


def test_requests(process: Process) -> None:
    process.call("requests", clear=True)
    process.get("users?limit=1")
    response = process.call("requests", clear=True)
    assert [request["resource"] for request in response["requests"]] == ["oauth", "users"]
    assert (response["peak_rate"], response["peak_concurrency"]) == (1, 1)
    assert process.call("requests")["requests"] == []


def test_switches(process: Process) -> None:
    process.call("faults", add=[{"kind": "status", "status": 503, "times": 1}])
    assert [process.get("users").status_code for _ in range(2)] == [503, 200]
    process.call("dialect", page_cap=3, missing_token={"status": 403, "body": "empty"})
    assert len(process.get("users").json()) == 3
    process.call("expire_tokens")
    process.call("latency", seconds=0.001)
    process.call("dialect", rate_limit={"per_second": 0.001, "burst": 0})
    assert process.get("users").status_code == 429
    process.call("dialect", rate_limit=None, response_filter={"users": ["id"]}, page_cap=50)
    assert process.get("users").json()[0].keys() == {"id"}
    process.call("dialect", response_filter={})
    process.call("scopes", revoke=["core.user.read"])
    assert process.get("users").status_code == 403
    process.call("scopes", grant=["core.user.read"])
    process.call("live_edits", seed=1, per_request=1, resources=["users"], inserts=1, edits=0)
    before = process.call("counts")["users"]
    process.get("users")
    process.call("live_edits", per_request=0)
    process.get("users")
    assert process.call("counts")["users"] == before + 1


@pytest.mark.parametrize(
    ("name", "arguments", "status"),
    [
        ("nonsense", {}, 404),
        ("add", {"resource": "nonsense"}, 400),
        ("faults", {"add": [{"kind": "nonsense"}]}, 400),
        ("dialect", {"nonsense": 1}, 400),
    ],
)
def test_mistakes(process: Process, name: str, arguments: dict[str, Any], status: int) -> None:
    url = f"{process.hello['url']}/_sandbox/{name}"
    assert process.session.post(url, json=arguments).status_code == status


def test_control_is_off_by_default(start: Start) -> None:
    api = start()
    assert api.session.post(f"{api.sandbox.url}/_sandbox/counts", json={}).status_code == 404
