"""A gateway's process whose memory is to be measured."""

from __future__ import annotations

import asyncio
import contextlib

from penstock.testing.process import ServeProcess


async def warm(process: ServeProcess) -> None:
    """The first requests allocate what stays."""
    for _ in range(20):
        client = await process.open()
        await client.answer()
        client.close()
    # It is answered when the vocabulary is there, and all rows are settled.
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(TimeoutError):
                await process.get("/v1/usage")
                break
