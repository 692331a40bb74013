"""How each wire is asked for a stream, and how the frames of its body are counted."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

CHUNK = 320
"""Bytes of a frame, where the simulated provider can fill one up."""
PACE = 20
"""Milliseconds from chunk to chunk where wires are compared."""
PACED = f"sim?tokens=100000&gap={PACE}ms&first=0&pad={CHUNK}"
"""The model that provider and nginx are asked for; the gateway is asked for the provider's wire and puts this in."""
_QUESTION = "How does a river arrive?"
_MESSAGES = [{"role": "user", "content": _QUESTION}]


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """A wire as its client uses it. ``path`` may hold ``{model}``; then the body does not name it (``named``). ``mark``
    stands once in every frame, and nowhere else in a body, as the simulated provider and the gateway write them."""

    path: str
    body: dict[str, Any]
    mark: bytes
    named: bool = True


_SSE = b"\n\n"
ASKING: dict[str, Asking] = {
    "openai-chat": Asking(path="/v1/chat/completions", body={"stream": True, "messages": _MESSAGES}, mark=_SSE),
    "openai-responses": Asking(path="/v1/responses", body={"stream": True, "input": _QUESTION}, mark=_SSE),
    "anthropic-messages": Asking(
        path="/v1/messages", body={"stream": True, "max_tokens": 200_000, "messages": _MESSAGES}, mark=_SSE
    ),
    "gemini": Asking(
        path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
        body={"contents": [{"role": "user", "parts": [{"text": _QUESTION}]}]},
        mark=b"\r\n\r\n",
        named=False,
    ),
    "cohere-chat": Asking(path="/v2/chat", body={"stream": True, "messages": _MESSAGES}, mark=_SSE),
    "ollama-chat": Asking(path="/api/chat", body={"messages": _MESSAGES}, mark=b"\n"),
    "bedrock-converse": Asking(
        path="/model/{model}/converse-stream",
        body={"messages": [{"role": "user", "content": [{"text": _QUESTION}]}]},
        # The name of a header that every event has, and no word of the simulated provider.
        mark=b":event-type",
        named=False,
    ),
}
"""By the wire's name. A provider's wire that no client speaks is here for nginx, which passes anything."""


def request(wire: str, model: str, port: int) -> bytes:
    """A whole request for a stream."""
    asking = ASKING[wire]
    body = msgspec.json.encode({"model": model, **asking.body} if asking.named else asking.body)
    path = asking.path.replace("{model}", quote(model, safe=""))
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
        b"accept: */*\r\ncontent-length: %d\r\n\r\n%b" % (path.encode("ascii"), port, len(body), body)
    )


class Counter:
    """Counts a mark in a body that comes in pieces, also where it lies across them."""

    __slots__ = ("_keep", "_mark", "_tail")

    def __init__(self, mark: bytes):
        self._mark = mark
        self._keep = len(mark) - 1
        self._tail = b""

    def feed(self, piece: bytes) -> int:
        """How many marks end in ``piece``."""
        parts = (self._tail + piece).split(self._mark)
        # Of what follows the last mark, as much as may be the beginning of another.
        self._tail = parts[-1][-self._keep :] if self._keep else b""
        return len(parts) - 1
