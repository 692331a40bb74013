"""What a wire is: the contracts that its modules fulfil.

A wire has an upstream side (`UpstreamWire`: a provider speaks it) and may have a client side (`ClientWire`: clients
speak it). Equal wires pass frames on as bytes. Between different ones a decoder's events go through the client wire's
`Writer`, see `translated.Translated`.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec

from penstock.errors import BadRequest, Fault
from penstock.events import ErrorReport, Event
from penstock.request import StreamRequest
from penstock.usage import Usage
from penstock.wire.conversation import Conversation
from penstock.wire.filling import Likeness

Decoded = tuple[bytes | None, tuple[Event, ...]]
"""The bytes to hand on to a client of the same wire (None: nothing), and what the frame means."""


class Body(Enum):
    """What a provider's body turned out to be."""

    UNKNOWN = "not seen yet"
    STREAM = "frames"
    WHOLE = "one document in place of a stream"
    ERROR = "the body of an HTTP error"
    COMPRESSED = "bytes that nobody can read as they come"


class View(msgspec.Struct, frozen=True):
    """What a client of the same wire is to see of a provider's stream."""

    expose_usage: bool = True
    """The client asked for the usage frame."""
    pin_identity: bool = False
    """See `Delivery.pin_identity`."""


class Framer(Protocol):
    """Bytes to whole frames. Joined, the frames and the rest are the bytes."""

    @property
    def idle(self) -> bool:
        """Nothing is pending: what comes next begins a frame. May be False where it is not known."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes. Raises FrameTooLarge, or CorruptFrame for bytes that are none."""
        ...

    @property
    def pending(self) -> int:
        """Bytes of the frame that is not whole yet."""
        ...

    def close(self) -> bytes:
        """The bytes of a frame that was not finished."""
        ...


class Decoder(Protocol):
    """Reads one answer of a provider; one for each attempt."""

    @property
    def alike(self) -> Likeness | None:
        """Not None: a delta of text or reasoning, and one with the same bytes around its text, need not be read, once
        one such delta was (see `alike.Alike`)."""
        ...

    @property
    def marked(self) -> bool:
        """The wire's own end marker came."""
        ...

    def decode(self, frame: bytes) -> Decoded:
        """One whole frame. No sense is a frame's only event; before an end marker in the same frame may stand output,
        usage and finishes, before an error usage."""
        ...

    def close(self, rest: bytes) -> Decoded:
        """The same for the bytes that are left at the end of the body."""
        ...

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the body (``clean``: by the transfer coding), or None."""
        ...

    def ending(self) -> bytes:
        """What a client must still get after a complete answer's last frame; empty on equal wires."""
        ...

    def stop(self, usage: Usage | None = None) -> bytes:
        """The frames that finish an answer which is stopped in its middle, with this usage; empty to leave that to the
        session."""
        ...

    def oddities(self) -> list[str]:
        """What was tolerated in a complete answer: words for its log line."""
        ...

    @property
    def finished(self) -> bool:
        """Every choice seen has its finish."""
        ...

    @property
    def empty_is_right(self) -> bool:
        """An answer without output is what the provider meant."""
        ...


class Writer(Protocol):
    """Writes a client wire from events. A machine of its own: it cannot emit an illegal order."""

    def write(self, events: tuple[Event, ...]) -> bytes:
        """Whole frames for these events; often none."""
        ...

    def end(self) -> bytes:
        """The frames that end a complete answer."""
        ...

    def stop(self) -> bytes:
        """The frames that finish an answer which was stopped on request."""
        ...


class Fold(Protocol):
    """Makes one whole answer of a stream's frames, for clients that did not ask for a stream."""

    def feed(self, data: bytes) -> None:
        """Whole frames of the client wire."""

    def answer(self) -> bytes:
        """The answer as the wire's JSON."""
        ...


class ClientSession(Protocol):
    """What Penstock itself says to one client in the client's wire."""

    content_type: bytes
    """Of a streamed answer."""
    cuts_after_error: bool
    """The wire's SDKs raise on nothing but a broken connection: break it after an error frame."""

    def fold(self) -> Fold:
        """A fresh fold."""
        ...

    def writer(self) -> Writer:
        """A fresh writer, for an attempt at a provider of another wire."""
        ...

    def keepalive(self) -> bytes:
        """What keeps the connection alive and means nothing; empty where the wire has no such thing."""
        ...

    def skipped(self) -> bytes:
        """What stands for a malformed frame of the provider; empty where the wire has no such thing."""
        ...

    def error_frame(self, fault: Fault) -> bytes:
        """An error inside the stream, in the shape on which the wire's SDKs raise."""
        ...

    def error_body(self, fault: Fault) -> bytes:
        """An error as a whole JSON body."""
        ...

    def end_marker(self) -> bytes:
        """The wire's last word, for clients that hang without it; empty where it has none."""
        ...

    def stop_frames(self, name: str, model: str, usage: Usage | None) -> bytes:
        """The frames that finish a stopped answer of a provider of the same wire, or one that had not begun."""
        ...


class UpstreamWire(Protocol):
    """A wire as providers speak it."""

    name: str
    passed_headers: frozenset[bytes]
    """Headers of a client of the same wire that the provider gets too."""

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """The headers that carry a key."""
        ...

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """What else every request carries."""
        ...

    def path(self, request: StreamRequest, model: str) -> str:
        """What follows the base URL, query included."""
        ...

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """The body for a client of the same wire: its own, but for the model and for streaming."""
        ...

    def translate(self, conversation: Conversation, model: str, *, ask_usage: bool) -> bytes:
        """The body for a client of another wire. Raises BadRequest for what has no place here."""
        ...

    def framer(self, limit: int) -> Framer:
        """A fresh framer."""
        ...

    def sniff(self, start: bytes, content_type: bytes) -> Body:
        """What a body is, by its first bytes: UNKNOWN (more are needed), STREAM or WHOLE."""
        ...

    def decoder(self, view: View, session: ClientSession | None) -> Decoder:
        """A fresh decoder. ``session`` is that of a client of the same wire, else None."""
        ...

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """The frames that a document in place of a stream stands for, the error that it is, or None."""
        ...

    def error(self, body: bytes) -> ErrorReport | None:
        """What the body of an HTTP error says."""
        ...


class ClientWire(Protocol):
    """A wire as clients speak it."""

    name: str
    translates: bool
    """Its clients can be served by providers of other wires."""

    def serves(self, path: str) -> bool:
        """Whether a POST to ``path`` speaks this wire."""
        ...

    def read(self, path: str, query: str, body: bytes) -> StreamRequest:
        """A request. Raises BadRequest; what only the provider can judge is left to the provider."""
        ...

    def conversation(self, request: StreamRequest) -> Conversation:
        """The request in no wire's words. Raises BadRequest for what cannot be carried."""
        ...

    def session(self, request: StreamRequest, stream: str) -> ClientSession:
        """What to say to the client. ``stream`` is the stream's id."""
        ...

    def refusal(self, error: BadRequest, stream: str) -> bytes:
        """The JSON body of a request that cannot be served."""
        ...


def clients_of(wire: UpstreamWire) -> frozenset[str]:
    """The wires whose clients get the bytes that a provider's decoder hands on: its own, unless it says otherwise in
    ``client_wires`` (of one that is another wire's frames in an envelope)."""
    named: frozenset[str] = getattr(wire, "client_wires", frozenset({wire.name}))
    return named


def adopted(wire: UpstreamWire, request: StreamRequest, headers: tuple[tuple[bytes, bytes], ...]) -> StreamRequest:
    """The request with what the provider wants in the body, and a client of these wires says in its headers (the
    wire's ``adopt``, where it has one)."""
    adopt = getattr(wire, "adopt", None)
    if adopt is None:
        return request
    taken: StreamRequest = adopt(request, headers)
    return taken


def error_of(wire: UpstreamWire, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> ErrorReport | None:
    """What an HTTP error says, by its headers too where the wire names errors there (its ``error_with``)."""
    read = getattr(wire, "error_with", None)
    if read is None:
        return wire.error(body)
    report: ErrorReport | None = read(body, headers)
    return report
