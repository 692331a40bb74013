"""One try at one target: what the provider sends, read up to events."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from penstock.errors import Fault, FrameTooLarge
from penstock.events import Event
from penstock.framing.sse import SSEFramer
from penstock.stream.head import header
from penstock.stream.inputs import Headers
from penstock.stream.states import UPSTREAM, Upstream, UpstreamStep, step
from penstock.stream.summary import AttemptSummary
from penstock.wire import json
from penstock.wire.openai_chat_fold import frames_of_answer
from penstock.wire.openai_errors import error_report

MAX_ERROR_BODY = 1 << 20
"""An error body longer than this is cut: it is for people to read."""

_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


class Decoder(Protocol):
    """The upstream side of a wire, one for each attempt (see `ChatDecoder`)."""

    marked: bool

    def decode(self, frame: bytes) -> tuple[bytes | None, tuple[Event, ...]]:
        """The bytes to hand on and the events of a frame."""
        ...

    def close(self, rest: bytes) -> tuple[bytes | None, tuple[Event, ...]]:
        """The same for what is left at the end."""
        ...

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete, or None."""
        ...

    def oddities(self) -> list[str]:
        """What was tolerated."""
        ...

    @property
    def finished(self) -> bool:
        """Every choice has its finish."""
        ...

    @property
    def empty_is_right(self) -> bool:
        """No output is what the provider meant."""
        ...


class Body(Enum):
    """What the provider's body turned out to be."""

    UNKNOWN = "not seen yet"
    STREAM = "frames"
    WHOLE = "one document in place of a stream"
    ERROR = "the body of an HTTP error"
    COMPRESSED = "bytes that nobody can read as they come"


class Attempt:
    """The state of one attempt. The machine moves it; nothing here decides."""

    def __init__(self, number: int, target: int, name: str, decoder: Decoder, limit: int, *, now: float):
        self.number = number
        self.target = target
        self.name = name
        self.decoder = decoder
        self.framer = SSEFramer(limit)
        self._limit = limit
        self.dispatched = now
        self.state = Upstream.OPENING
        self.body = Body.UNKNOWN
        self.status = 0
        self.headers: Headers = ()
        self.held: list[bytes] = []
        """Frames from before the first token: they go out only if this attempt wins."""
        self.held_size = 0
        self.collected = bytearray()
        self.asked_usage = False
        self.paused = False
        self.last_token = now
        self.account: AttemptSummary | None = None

    def move(self, happened: UpstreamStep) -> None:
        """Take a step of the transition table."""
        self.state = step(UPSTREAM, self.state, happened)

    def head(self, status: int, headers: Headers) -> None:
        """Status and headers came."""
        self.status = status
        self.headers = headers
        if not 200 <= status < 300:
            self.body = Body.ERROR
        elif self.coding:
            self.body = Body.COMPRESSED

    def receive(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes. Raises FrameTooLarge."""
        if self.body is Body.STREAM:
            return self.framer.feed(data)
        self.collected += data
        if self.body is Body.UNKNOWN:
            self.body = _sniff(bytes(self.collected), header(self.headers, b"content-type") or b"")
            if self.body is Body.STREAM:
                data, self.collected = bytes(self.collected), bytearray()
                return self.framer.feed(data)
        if self.body is Body.ERROR:
            del self.collected[MAX_ERROR_BODY:]
        elif len(self.collected) > self._limit:
            raise FrameTooLarge(self._limit)
        return []

    @property
    def coding(self) -> str:
        """The compression that was not undone, as far as it is known by now."""
        named = (header(self.headers, b"content-encoding") or b"identity").decode("latin-1")
        if named.strip().lower() not in ("", "identity"):
            return named
        return "gzip" if self.collected.startswith(_GZIP) else ""

    def hold(self, frame: bytes) -> None:
        """Keep a frame until the first token."""
        self.held.append(frame)
        self.held_size += len(frame)

    def rest(self) -> bytes:
        """What is left in the framer at the end of the body."""
        if self.body is Body.UNKNOWN:
            rest, self.collected = bytes(self.collected), bytearray()
            return rest
        return self.framer.close()

    def whole(self) -> list[bytes] | Fault:
        """The frames that stand for a document which came in place of a stream, or the error that it is."""
        kind = (header(self.headers, b"content-type") or b"").decode("latin-1")
        try:
            body = json.loads(bytes(self.collected))
        except ValueError:
            body = None
        if isinstance(body, list) and len(body) == 1:
            body = body[0]
        if isinstance(body, dict):
            report = error_report(body)
            if report is not None:
                return Fault(report.message, report.code or "", report.type, report.status, report.param)
            if isinstance(body.get("choices"), list):
                return frames_of_answer(body)
        return Fault(f"the provider answered with {kind or 'a document of no type'} in place of a stream", "")


def _sniff(start: bytes, content_type: bytes) -> Body:
    """What a body is, by its first characters; the content type only decides where they say nothing."""
    if start[:2] == _GZIP:
        return Body.COMPRESSED
    if start == _GZIP[:1]:
        return Body.UNKNOWN
    seen = start[:4096].removeprefix(_BOM).lstrip(b" \t\r\n")
    if not seen or _BOM.startswith(start):
        return Body.UNKNOWN if len(start) < 4096 else Body.STREAM
    if seen[:1] in b"{[<":
        return Body.WHOLE
    if b"event-stream" in content_type:
        return Body.STREAM
    if seen.startswith(_FIELDS):
        return Body.STREAM
    return Body.UNKNOWN if any(field.startswith(seen) for field in _FIELDS) else Body.WHOLE
