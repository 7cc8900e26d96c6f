"""A plain script, as it is often written by hand: one page after another, by offset."""

from __future__ import annotations

import requests

from integration_tests.benchmarks.readers.reader import (
    SCOPE,
    Job,
    PageCame,
    program,
    run_program,
)

PAGE_SIZE = 50

READER = program(__name__, "one page at a time", is_sequential=True)


def read(job: Job, page_came: PageCame) -> None:
    """Stops at a page that is not full."""
    with requests.Session() as session:
        credentials = {key: job.config[key] for key in ("client_id", "client_secret")}
        form = {"grant_type": "client_credentials", "scope": SCOPE, **credentials}
        response = session.post(job.token_url, data=form, timeout=60)
        response.raise_for_status()
        session.headers["Authorization"] = f"Bearer {response.json()['access_token']}"
        session.headers["Accept"] = "application/json"
        for offset in range(0, job.rows, PAGE_SIZE):
            page = {"offset": offset, "limit": PAGE_SIZE}
            response = session.get(f"{job.api_url}/invoices", params=page, timeout=60)
            response.raise_for_status()
            ids = [record["id"] for record in response.json()]
            page_came(ids)
            if len(ids) < PAGE_SIZE:
                return


if __name__ == "__main__":
    run_program(read)
