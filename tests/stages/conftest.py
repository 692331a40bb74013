"""The rig for what needs real sockets. Tests run on uvloop, as the product does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from penstock.testing.rig import Rig


@pytest.hookimpl(optionalhook=True)  # The mutants' judge runs without the plugin.
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    try:
        yield rig
        await rig.check()
    finally:
        await rig.stop()
