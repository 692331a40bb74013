"""What the provider said on each attempt, read again from a transcript: the second opinion that laws compare with.

It shares framing and decoding with the machine, but none of its course: what follows from an event is for the laws.
"""

from __future__ import annotations

import msgspec

from penstock.errors import CorruptFrame, FrameTooLarge
from penstock.events import EndMarker, ErrorReport, Event, Finish, Heartbeat, Malformed, UsageReport
from penstock.stream.attempt import Attempt
from penstock.stream.commands import Close, Open
from penstock.stream.inputs import UpstreamBytes, UpstreamEnded, UpstreamHead
from penstock.stream.plan import Plan
from penstock.stream.upstream import HELD_HEARTBEATS
from penstock.testing.transcript import Transcript
from penstock.usage import Usage
from penstock.wire.base import Body, Decoder
from penstock.wire.continued import Beginning, Remembered


class Reading:
    """One attempt. It is read until the provider's own ending or until it was closed."""

    def __init__(self, plan: Plan, number: int, target: int, limit: int, behind: Reading | None = None):
        self._plan = plan
        beginning = None if behind is None else behind.beginning()
        self._attempt = Attempt(number, target, plan.ways[target], limit, now=0.0, beginning=beginning)
        self.number = number
        self.behind = behind
        """The attempt whose answer this one goes on with."""
        self.tokens: list[float] = []
        """The instants of the token events."""
        self.began: int | None = None
        """The number of the turn in which the first of them came."""
        self.handed_on: list[bytes] = []
        """What a client that is served from this attempt is to get, from the first frame to the provider's ending."""
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.malformed = 0
        self.frames = 0
        self.size = 0
        self._held = 0
        self.marked = False
        """The end marker came, and the answer was complete then."""
        self.over = False
        """An ending came: an error, a marker too early, a frame that is too large or none."""
        self.ended: bool | None = None
        """The body's end: clean or not; None when it was not seen."""

    def beginning(self) -> Beginning | None:
        """What a further attempt would go on from."""
        decoder: Decoder = self._attempt.decoder
        said = decoder.beginning() if isinstance(decoder, Remembered) else None
        return None if said is None else msgspec.structs.replace(said, usage=self.usage)

    def ending(self) -> bytes:
        """What the decoder adds to a complete answer; to be asked once."""
        return self._attempt.decoder.ending() if self.complete() else b""

    @property
    def document(self) -> bool:
        """The body is no stream: one document, or the body of an HTTP error."""
        return self._attempt.body in (Body.WHOLE, Body.ERROR)

    @property
    def finished(self) -> bool:
        """Every choice has its finish, and no error came."""
        return self._attempt.decoder.finished and not self.over

    def complete(self) -> bool:
        """The provider has said that its answer is whole."""
        if self.document:
            return self._attempt.body is Body.WHOLE and self.ended is True and not self.over
        return self.marked or self.finished

    def head(self, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """Status and headers came."""
        self._attempt.head(status, headers)

    def feed(self, at: float, data: bytes) -> None:
        """Bytes of the body came."""
        self.size += len(data)
        if self.over:
            return
        try:
            frames, unreadable = self._attempt.receive(data), False
        except (FrameTooLarge, CorruptFrame) as error:
            frames, unreadable = error.frames, True
        self._read(at, frames)
        self.over = self.over or unreadable

    def end(self, at: float, *, clean: bool) -> None:
        """The body ended."""
        self.ended = clean
        if self.over or self.marked:
            return
        if self._attempt.body is Body.WHOLE and clean:
            whole = self._attempt.whole()
            if isinstance(whole, list):
                self._read(at, whole)
            else:
                self.over = True
        elif not self.document:
            self._frame(at, *self._attempt.decoder.close(self._attempt.rest()))

    def _read(self, at: float, frames: list[bytes]) -> None:
        for frame in frames:
            self.frames += 1
            self._frame(at, *self._attempt.decoder.decode(frame))
            if self.over:
                return

    def _frame(self, at: float, frame: bytes | None, events: tuple[Event, ...]) -> None:
        for event in events:
            if event.token:
                self.tokens.append(at)
            elif isinstance(event, UsageReport):
                self.usage = (self.usage or Usage()).overwritten_by(event.usage)
            elif isinstance(event, Finish):
                self.finish = self.finish or event.reason
            elif self.marked:
                continue
            elif isinstance(event, ErrorReport):
                self.over = True
                return
            elif isinstance(event, EndMarker):
                self._mark(frame)
                return
            elif isinstance(event, Malformed):
                self._misfit()
                return
        if frame is not None and not self.marked and (self.tokens or self._hold(frame, events)):
            self.handed_on.append(frame)

    def _hold(self, frame: bytes, events: tuple[Event, ...]) -> bool:
        """A frame from before the first token, within bounds."""
        if (not events or isinstance(events[0], Heartbeat)) and self._held > HELD_HEARTBEATS:
            return False
        self._held += len(frame)
        self.over = self.over or self._held > self._plan.delivery.max_frame
        return True

    def _mark(self, frame: bytes | None) -> None:
        decoder = self._attempt.decoder
        if decoder.incomplete(clean=True) is None and (self.tokens or decoder.empty_is_right):
            self.marked = True
            if frame is not None:
                self.handed_on.append(frame)
        else:
            self.over = True

    def _misfit(self) -> None:
        self.malformed += 1
        if self._plan.delivery.malformed == "fail":
            self.over = True
        elif self.tokens:
            self.handed_on.append(self._plan.client.skipped())


def readings(transcript: Transcript) -> list[Reading]:
    """Every attempt of a transcript, read up to its close."""
    found: list[Reading] = []
    open_: dict[int, Reading] = {}
    broken: Reading | None = None
    for number, turn in enumerate(transcript.turns):
        cause = turn.cause
        current = open_.get(getattr(cause, "attempt", -1))
        if current is not None:
            had = len(current.tokens)
            if isinstance(cause, UpstreamBytes):
                current.feed(turn.at, cause.data)
            elif isinstance(cause, UpstreamHead):
                current.head(cause.status, cause.headers)
            elif isinstance(cause, UpstreamEnded):
                current.end(turn.at, clean=cause.clean)
            if current.began is None and len(current.tokens) > had:
                current.began = number
        for command in turn.commands:
            if isinstance(command, Close):
                broken = open_.pop(command.attempt, None)
            elif isinstance(command, Open):
                plan = transcript.plan
                behind = (broken.behind or broken) if broken is not None and command.behind else None
                reading = Reading(plan, command.attempt, command.target, plan.delivery.max_frame, behind)
                open_[command.attempt] = reading
                found.append(reading)
    return found


def serving(transcript: Transcript, read: list[Reading]) -> Reading | None:
    """The reading of the attempt that counts: of those in flight the older, else the one that was closed last."""
    open_: list[int] = []
    last: int | None = None
    for command in transcript.commands:
        if isinstance(command, Open):
            open_.append(command.attempt)
        elif isinstance(command, Close):
            open_.remove(command.attempt)
            last = command.attempt
    number = open_[0] if open_ else last
    return None if number is None else read[number]
