"""The simulated provider for clients that block their own loop: on a loop of its own."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import uvloop

from penstock.sim import Sim


@contextlib.contextmanager
def sim_thread() -> Iterator[Sim]:
    """A simulated provider, from entering to leaving. An SDK's first steps, which build its types, hold up no token."""
    sim, loop = Sim(), uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(sim.start(), loop).result(10)
        yield sim
        asyncio.run_coroutine_threadsafe(sim.close(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
