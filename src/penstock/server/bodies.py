"""Request bodies over ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from penstock.errors import BadRequest


class ClientGone(Exception):
    """The client left before its request was whole."""


async def whole_body(
    scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[MutableMapping[str, Any]]], limit: int
) -> bytes:
    """The body, of ``limit`` bytes at most. Raises BadRequest where it is longer, and ClientGone."""
    too_large = BadRequest(
        f"the request body is over {limit} bytes (server.max_body)", status=413, code="request_too_large"
    )
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if length.isdigit() and int(length) > limit:
        raise too_large
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > limit:
            raise too_large
        if not message.get("more_body", False):
            return b"".join(pieces)
