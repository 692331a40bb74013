"""A request's body, whole and within its limit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from penstock.errors import BadRequest


class ClientGone(Exception):
    """The client left before its request was whole."""


async def read_body(
    scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[MutableMapping[str, Any]]], limit: int
) -> bytes:
    """All of it. Raises ClientGone, and BadRequest: 413 over ``limit`` bytes, 415 for one that is compressed."""
    coding = next((value for name, value in scope["headers"] if name == b"content-encoding"), b"identity")
    if coding.strip().lower() not in (b"identity", b""):
        shown = coding.decode("latin-1")
        words = f"the request body is compressed ({shown}), which is not supported: send it as plain JSON"
        raise BadRequest(words, status=415, code="unsupported_encoding")
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
