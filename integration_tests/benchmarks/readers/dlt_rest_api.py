"""dlt's `rest_api` source with its offset paginator: declared, not programmed.

The resource is only iterated; nothing is normalised or loaded, which would take more time.
"""

from __future__ import annotations

from integration_tests.benchmarks.readers.reader import (
    SCOPE,
    Job,
    PageCame,
    program,
    run_program,
)

PAGE_SIZE = 50

READER = program(__name__, "dlt rest_api", package="dlt", is_sequential=True)


def read(job: Job, page_came: PageCame) -> None:
    """Stops at an empty page, or at the last row of the job."""
    from dlt.sources.rest_api import rest_api_source

    source = rest_api_source(
        {
            "client": {
                "base_url": f"{job.api_url}/",
                "headers": {"Accept": "application/json"},
                "auth": {
                    "type": "oauth2_client_credentials",
                    "access_token_url": job.token_url,
                    "client_id": job.config["client_id"],
                    "client_secret": job.config["client_secret"],
                    "access_token_request_data": {"scope": SCOPE},
                },
                "paginator": {
                    "type": "offset",
                    "limit": PAGE_SIZE,
                    "total_path": None,
                    "maximum_offset": job.rows,
                },
            },
            "resources": [{"name": "invoices", "endpoint": {"path": "invoices"}}],
        },
        name="coupa",
    )
    for record in source.resources["invoices"]:
        page_came([record["id"]])


if __name__ == "__main__":
    run_program(read)
