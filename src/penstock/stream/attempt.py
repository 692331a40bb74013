"""One try at one target: what the provider sends, read up to events."""

from __future__ import annotations

from penstock.errors import FrameTooLarge
from penstock.events import ErrorReport
from penstock.metering.tally import Tally
from penstock.policy.rate import Probe
from penstock.policy.silence import Limit
from penstock.stream.head import header
from penstock.stream.inputs import Headers
from penstock.stream.plan import Way
from penstock.stream.states import UPSTREAM, Upstream, UpstreamStep, step
from penstock.stream.summary import AttemptSummary
from penstock.usage import Usage
from penstock.wire.base import Body, Decoder
from penstock.wire.continued import Beginning, Continued

MAX_ERROR_BODY = 1 << 20
"""An error body longer than this is cut: it is for people to read."""

_GZIP = b"\x1f\x8b"


class Attempt:
    """The state of one attempt. The machine moves it; nothing here decides."""

    def __init__(
        self, number: int, target: int, way: Way, limit: int, *, now: float, beginning: Beginning | None = None
    ):
        self.number = number
        self.target = target
        self.name = way.name
        self.wire = way.wire
        self.same_wire = way.same_wire
        self.beginning = beginning
        """Of an answer that it goes on with."""
        self.decoder: Decoder = way.decoder() if beginning is None else way.goes_on(beginning)
        self.framer = way.wire.framer(limit)
        self.limit = limit
        """Bytes that a frame may have."""
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
        self.probe: Probe | None = None
        """Measures its pace until it is committed to, where that is asked for."""
        self.silence: Limit | None = None
        """How long it may be silent, where that is learnt, by what it says."""
        self.account: AttemptSummary | None = None
        self.tally = None if way.meter is None else Tally(way.meter)
        self.told: Tally | None = None
        """What a client is told of it, where that is less than it says."""
        if way.meter is not None and isinstance(self.decoder, Continued):
            self.told = Tally(way.meter)
            self.decoder.hears = self.told.hear
        # What it reports. That of the current attempt is the stream's.
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.name_said = self.model_said = ""

    @property
    def probing(self) -> bool:
        """It has sent output, which is held until its pace is known."""
        return self.probe is not None and self.probe.began

    def window_ends(self, between_tokens: float | None) -> float | None:
        """When it is too slow, while it is probing: at the end of the window, or of a silence that is too long."""
        ends = None if self.probe is None else self.probe.deadline()
        return ends if ends is None or between_tokens is None else min(ends, self.last_token + between_tokens)

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
            self.body = self._sniff()
            if self.body is Body.STREAM:
                data, self.collected = bytes(self.collected), bytearray()
                return self.framer.feed(data)
        if self.body is Body.ERROR:
            del self.collected[MAX_ERROR_BODY:]
        elif len(self.collected) > self.limit:
            raise FrameTooLarge(self.limit)
        return []

    def _sniff(self) -> Body:
        if self.collected[:2] == _GZIP:
            return Body.COMPRESSED
        if self.collected == _GZIP[:1]:
            return Body.UNKNOWN
        return self.wire.sniff(bytes(self.collected), header(self.headers, b"content-type") or b"")

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

    def whole(self) -> list[bytes] | ErrorReport:
        """The frames that stand for a document which came in place of a stream, or the error that it is."""
        whole = self.wire.whole(bytes(self.collected))
        if whole is None:
            kind = (header(self.headers, b"content-type") or b"").decode("latin-1")
            return ErrorReport(f"the provider answered with {kind or 'a document of no type'} in place of a stream")
        return whole
