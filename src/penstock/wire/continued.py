"""An answer that broke off behind its commit and goes on with another attempt (``mid_stream: continue``).

`Remembered` reads the first attempt and knows at any time what it has said, as long as that is plain text. `Continued`
tells a further attempt as the rest of that answer: same id, no second beginning, the seam joined, the usage summed.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.errors import BadRequest
from penstock.events import Annotation, Event, Finish, Reasoning, ReasoningSeal, Start, Text, UsageReport
from penstock.usage import Usage, total
from penstock.wire.base import ClientSession, Decoded, Decoder, Writer
from penstock.wire.naming import Renamed
from penstock.wire.seam import Seam
from penstock.wire.translated import Translated

KEPT = 4 * 1024 * 1024
"""Characters of an answer that are remembered: a longer one is not continued."""


class Prefix(msgspec.Struct, frozen=True):
    """What a provider is to write on from. ``pieces``: the deltas in which it came, about as many as its tokens."""

    text: str
    pieces: int


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as far as its client has it: its first frame (``head``, as the client got it), its text, the decoder
    that read it, and the usage of the attempt that wrote it, where it reported any."""

    start: Start
    head: bytes
    text: str
    pieces: int
    decoder: Decoder
    usage: Usage | None = None

    @property
    def prefix(self) -> Prefix:
        """Without blanks at its end: some providers refuse them, and no model needs them."""
        return Prefix(self.text.rstrip(), self.pieces)


class Remembered:
    """A decoder (see `base.Decoder`) that remembers a plain answer."""

    alike = None

    def __init__(self, decoder: Decoder):
        self.inner = decoder
        self._start: Start | None = None
        self._head = b""
        self._pieces: list[str] = []
        self._size = 0
        self._plain = True

    def beginning(self) -> Beginning | None:
        """What was said so far; None where it was not only text, or is over."""
        text = "".join(self._pieces)
        if not self._plain or not text.strip():
            return None
        return Beginning(
            start=self._start or Start("", ""),
            head=self._head,
            text=text,
            pieces=len(self._pieces),
            decoder=self.inner,
        )

    def decode(self, frame: bytes) -> Decoded:
        """One frame."""
        decoded = self.inner.decode(frame)
        self._remember(decoded)
        return decoded

    def close(self, rest: bytes) -> Decoded:
        """What is left."""
        decoded = self.inner.close(rest)
        self._remember(decoded)
        return decoded

    def _remember(self, decoded: Decoded) -> None:
        frame, events = decoded
        for event in events:
            kind = type(event)
            if kind is Text:
                self._text(event)
            elif kind is Start:
                self._begin(event, frame or b"")
            elif event.token or kind is Finish or kind is ReasoningSeal:
                self._plain = False

    def _text(self, event: Event) -> None:
        assert isinstance(event, Text)
        self._pieces.append(event.text)
        self._size += len(event.text)
        if event.choice or self._size > KEPT:
            self._plain = False
            self._pieces = []

    def _begin(self, event: Event, frame: bytes) -> None:
        assert isinstance(event, Start)
        self._start = self._start or event
        self._head = self._head or frame

    @property
    def marked(self) -> bool:
        """The end marker came."""
        return self.inner.marked

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete, or None."""
        return self.inner.incomplete(clean=clean)

    def ending(self) -> bytes:
        """The wire's own end."""
        return self.inner.ending()

    def stop(self, usage: Usage | None = None) -> bytes:
        """The finish of an answer that was stopped."""
        return self.inner.stop(usage)

    def oddities(self) -> list[str]:
        """What was tolerated."""
        return self.inner.oddities()

    @property
    def finished(self) -> bool:
        """Every choice has its finish."""
        return self.inner.finished

    @property
    def empty_is_right(self) -> bool:
        """No output is what the provider meant."""
        return self.inner.empty_is_right


class Continued(Translated):
    """The rest of an answer, from an attempt that was given its beginning. What it thinks on the way is not told: the
    answer had no place for it where it began."""

    def __init__(self, decoder: Decoder, writer: Writer, beginning: Beginning):
        super().__init__(decoder, writer)
        self._seam = Seam(beginning.text)
        self._before = beginning.usage
        self._usage: Usage | None = None
        self.hears: Callable[[list[Event]], None] | None = None
        """Is given what the client is told: less than the attempt says."""

    @property
    def empty_is_right(self) -> bool:
        """Nothing was missing but the finish."""
        return super().empty_is_right or self.finished

    def ending(self) -> bytes:
        """What waits at the seam, and the client wire's own end."""
        return self._rest() + super().ending()

    def stop(self, usage: Usage | None = None) -> bytes:
        """The same for an answer that was stopped."""
        return self._rest() + super().stop(usage)

    def _rest(self) -> bytes:
        text = self._seam.close()
        if not text:
            return b""
        if self.hears is not None:
            self.hears([Text(text)])
        return self.writer.write((Text(text),))

    def _told(self, events: tuple[Event, ...]) -> bytes | None:
        joined = tuple(one for event in events if (one := self._joined(event)) is not None)
        if self.hears is not None:
            self.hears([event for event in joined if event.token])
        return super()._told(joined) if joined else None

    def _joined(self, event: Event) -> Event | None:
        if isinstance(event, Text):
            text = self._seam.feed(event.text)
            return Text(text) if text and not event.choice else None
        if isinstance(event, UsageReport):
            self._usage = (self._usage or Usage()).overwritten_by(event.usage)
            return UsageReport(total(self._before, self._usage) or self._usage)
        return None if isinstance(event, Start | Reasoning | ReasoningSeal | Annotation) else event


def rest_of(beginning: Beginning, decoder: Decoder, session: ClientSession) -> Decoder:
    """The decoder of an attempt that goes on behind ``beginning``; ``decoder`` reads it without a client. Raises
    BadRequest for a client whose answers cannot be taken up."""
    read = beginning.decoder
    if isinstance(read, Renamed):
        read = read.inner
        beginning = msgspec.structs.replace(beginning, decoder=read)
    if isinstance(read, Translated):
        # It has written all that the client has.
        return Continued(decoder, read.writer, beginning)
    take_up = getattr(session, "taken_up", None)
    if take_up is None:
        raise BadRequest("an answer of this wire cannot be taken up in its middle")
    return Continued(decoder, take_up(beginning), beginning)
