"""The package coupa-async-client from PyPI, with its default of 10 parallel pages.

Its addresses are arguments, so it reads the sandbox without any change. Its pages go by offset; a
page that fails six times is left out silently.
"""

from __future__ import annotations

import asyncio

from integration_tests.benchmarks.readers.reader import (
    SCOPE,
    Job,
    PageCame,
    program,
    run_program,
)

PARALLEL_PAGES = 10

READER = program(__name__, "coupa-async-client", package="coupa_async_client")


def read(job: Job, page_came: PageCame) -> None:
    """Stops when ten pages in a row are empty, or at the last row of the job."""
    asyncio.run(_read(job, page_came))


async def _read(job: Job, page_came: PageCame) -> None:
    from coupa_async_client import CoupaAsyncClient

    async with CoupaAsyncClient(
        base_url=job.api_url,
        token_url=job.token_url,
        client_id=job.config["client_id"],
        client_secret=job.config["client_secret"],
        scopes=[SCOPE],
        default_concurrent=PARALLEL_PAGES,
    ) as client:
        async for page in client.iter_pages("invoices", params={}, offset_end=job.rows):
            page_came([record["id"] for record in page])


if __name__ == "__main__":
    run_program(read)
