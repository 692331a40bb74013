"""gemini for tests: chunks that are short to write, in either form, and plans of streams on this wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from penstock.events import Event, Reasoning, Text, ToolArguments, UsageReport
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.request import StreamRequest
from penstock.stream.plan import Plan, Way
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Decoder, View
from penstock.wire.gemini import GeminiDecoder
from penstock.wire.gemini_client import GeminiClient, read_request
from penstock.wire.gemini_wire import GeminiFramer
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES
from penstock.wire.translated import Translated

PATH = "/v1beta/models/m:streamGenerateContent"
WHOLE_PATH = "/v1beta/models/m:generateContent"


def sse(body: Any) -> bytes:
    """A frame as Google has it, with CRLF."""
    return b"data: " + json.dumps(body) + b"\r\n\r\n"


def array(*bodies: Any, closed: bool = True) -> bytes:
    """The same as one JSON array."""
    return b"[" + b",\r\n".join(json.dumps(body) for body in bodies) + (b"\n]" if closed else b"")


def chunk(*parts: dict[str, Any], reason: str | int | None = None, index: int | None = None, **more: Any) -> Any:
    """A chunk with one candidate. ``more`` are fields at the top, those that begin with ``c_`` of the candidate."""
    candidate: dict[str, Any] = {}
    if parts:
        candidate["content"] = {"parts": list(parts), "role": "model"}
    if reason is not None:
        candidate["finishReason"] = reason
    if index is not None:
        candidate["index"] = index
    candidate |= {name[2:]: value for name, value in more.items() if name.startswith("c_")}
    top = {name: value for name, value in more.items() if not name.startswith("c_")}
    return {"candidates": [candidate], **top, "modelVersion": "gemini-x", "responseId": "r1"}


def text(words: str, **part: Any) -> dict[str, Any]:
    """A part with text."""
    return {"text": words, **part}


def thought(words: str, **part: Any) -> dict[str, Any]:
    """A part with reasoning."""
    return {"text": words, "thought": True, **part}


def call(name: str | None = None, args: Any = None, signature: str | None = None, **fields: Any) -> dict[str, Any]:
    """A part with a tool call, or a piece of one."""
    said: dict[str, Any] = ({"name": name} if name else {}) | ({"args": args} if args is not None else {}) | fields
    return {"functionCall": said} | ({"thoughtSignature": signature} if signature else {})


def error(code: int = 503, status: str = "UNAVAILABLE", message: str = "no room", **more: Any) -> dict[str, Any]:
    """Google's error object."""
    return {"error": {"code": code, "message": message, "status": status, **more}}


def request(query: str = "alt=sse", *, stream: bool = True, **body: Any) -> StreamRequest:
    """A request of a client."""
    return read_request(PATH if stream else WHOLE_PATH, query, json.dumps({"contents": [], **body}))


def session(query: str = "alt=sse", *, stream: bool = True) -> GeminiClient:
    """What is said to a client."""
    return GeminiClient(request(query, stream=stream), "st_play")


def fed(decoder: GeminiDecoder, pieces: Iterable[bytes]) -> tuple[bytes, list[Event]]:
    """A whole body through the framer and a decoder: the bytes that are handed on, and the events."""
    framer = GeminiFramer(1 << 25)
    out = b""
    events: list[Event] = []
    for piece in pieces:
        for frame in framer.feed(piece):
            handed_on, meant = decoder.decode(frame)
            out += handed_on or b""
            events += meant
    handed_on, meant = decoder.close(framer.close())
    return out + (handed_on or b""), [*events, *meant]


def said(events: Iterable[Event]) -> tuple[str, str, list[tuple[str, str, str]], Usage | None]:
    """Text, reasoning, tool calls (id, name, arguments) and usage of events."""
    words = reasoning = ""
    calls: dict[tuple[int, int], tuple[str, str, str]] = {}
    usage: Usage | None = None
    for event in events:
        if isinstance(event, Text):
            words += event.text
        elif isinstance(event, Reasoning):
            reasoning += event.text
        elif isinstance(event, ToolArguments):
            known = calls.get((event.choice, event.call), ("", "", ""))
            calls[event.choice, event.call] = (known[0] + event.id, known[1] + event.name, known[2] + event.arguments)
        elif isinstance(event, UsageReport):
            usage = (usage or Usage()).overwritten_by(event.usage)
    return words, reasoning, list(calls.values()), usage


def plan(asked: StreamRequest | None = None, *, client: str = "gemini", targets: int = 1, **policies: Any) -> Plan:
    """A plan with gemini targets. ``policies`` are fields of Deadlines and of Delivery."""
    asked = asked or request()
    speaks = next(wire for wire in CLIENT_WIRES if wire.name == client)
    told, provider = speaks.session(asked, "st_play"), UPSTREAM_WIRES["gemini"]
    limits = {name: policies.pop(name) for name in Deadlines.__struct_fields__ if name in policies}

    def same() -> Decoder:
        return provider.decoder(View(), told)

    def translated() -> Decoder:
        return Translated(provider.decoder(View(), None), told.writer())

    decoder: Callable[[], Decoder] = same if client == "gemini" else translated
    return Plan(
        stream="st_play",
        route="m",
        request=asked,
        ways=tuple(
            Way(name=f"p{n}/m", label=f"p{n}/m", wire=provider, same_wire=client == "gemini", decoder=decoder)
            for n in range(targets)
        ),
        client=told,
        client_wire=client,
        deadlines=Deadlines(**limits),
        delivery=Delivery(**policies),
    )
