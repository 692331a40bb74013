"""How a gateway leaves: streams finish, and what is left in the end is told ``shutdown``.

With ``server.reuse_port`` the next gateway has the port already, so that this one stops listening first and takes what
reached it before; without, it listens to the end, and says 503 to whoever comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import uvicorn

from penstock.config.values import Server
from penstock.drive.streams import Streams
from penstock.server.lane import LaneProtocol

LAST_CALL = 1.0
"""Seconds for which a gateway that no longer listens takes requests on the connections that it has."""
_ROUNDS = 5


async def leave(
    server: uvicorn.Server, sock: socket.socket, streams: Streams, settings: Server, hurried: asyncio.Event
) -> None:
    """Until no stream is left. ``hurried`` ends those that are."""
    if settings.reuse_port:
        await _stop_listening(server, sock)
        _close_idle(server)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hurried.wait(), LAST_CALL)
    draining = asyncio.create_task(streams.drain(settings.drain))
    waiting = asyncio.create_task(hurried.wait())
    await asyncio.wait({draining, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not draining.done():
        draining.cancel()
        await streams.drain(0)


async def _stop_listening(server: uvicorn.Server, sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # No more wait in line from now on; those that do are taken in before the socket is closed, which would reset
        # them.
        sock.listen(0)
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)
    for listening in server.servers:
        listening.close()
    sock.close()


def _close_idle(server: uvicorn.Server) -> None:
    """Connections that wait for a further request; those with one under way end with its answer."""
    for connection in list(server.server_state.connections):
        if isinstance(connection, LaneProtocol) and connection.cycle is not None:
            connection.shutdown()
