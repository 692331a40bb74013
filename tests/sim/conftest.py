"""Fixtures around the simulated provider."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sim_client import Ask, Connect, Line, Reply, Until

from penstock.sim import Sim
from penstock.sim.server import Server


@pytest.fixture
async def sim() -> AsyncIterator[Sim]:
    async with Sim() as sim:
        yield sim


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    lines: list[Line] = []

    async def connect(server: Server, context: ssl.SSLContext | None = None, **options: Any) -> Line:
        line = Line(*await asyncio.open_connection("127.0.0.1", server.port, ssl=context, **options))
        lines.append(line)
        return line

    yield connect
    for line in lines:
        await line.close()


@pytest.fixture
async def ask(sim: Sim, connect: Connect) -> Ask:
    """Ask ``sim`` once, on a connection of its own."""

    async def ask(model: str, **body: Any) -> Reply:
        line = await connect(sim)
        line.ask(model, **body)
        return await line.reply()

    return ask


@pytest.fixture
def until() -> Until:
    """Wait until a condition holds."""

    async def until(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.002)

    return until
