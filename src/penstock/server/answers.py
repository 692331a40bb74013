"""Whole answers of the gateway's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
JSON = b"application/json"
LINGER = 5.0
"""Seconds for which a request that was refused for its size may go on."""


async def answer(
    send: Send,
    status: int,
    body: bytes,
    *,
    content_type: bytes = JSON,
    extra: list[tuple[bytes, bytes]] | None = None,
    linger: Receive | None = None,
) -> None:
    """A whole answer. With ``linger``, where the request was not read to its end: the rest is taken for a while, or
    the connection's end would destroy the answer on its way to a client that is still sending."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": linger is not None})
    if linger is not None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await _taken(linger)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _taken(receive: Receive) -> None:
    while (message := await receive())["type"] == "http.request" and message.get("more_body", False):
        pass
