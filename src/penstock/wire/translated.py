"""An answer of one wire, told in another: a decoder whose frames are written anew."""

from __future__ import annotations

from penstock.events import Event, Finish, UsageReport
from penstock.usage import Usage
from penstock.wire.base import Decoded, Decoder, Writer
from penstock.wire.filling import Likeness
from penstock.wire.naming import shown


class Translated:
    """A decoder (see `base.Decoder`) for a client of another wire.

    Finishes are told when the answer is complete, and not before: output may follow one and a later one take its
    place (Gemini), and what breaks off behind its finish must not look finished. ``model``: what the client is to see
    as the model, instead of the provider's own name for it.
    """

    def __init__(self, decoder: Decoder, writer: Writer, model: str | None = None):
        self.source = decoder
        """It reads the provider's frames."""
        self.writer = writer
        self._model = model
        self._finishes: dict[int, Finish] = {}

    @property
    def alike(self) -> Likeness | None:
        """Those of the provider's wire."""
        return self.source.alike

    @property
    def marked(self) -> bool:
        """The end marker came."""
        return self.source.marked

    def decode(self, frame: bytes) -> Decoded:
        """One frame of the provider, as frames for the client."""
        _, events = self.source.decode(frame)
        return self._told(events), events

    def close(self, rest: bytes) -> Decoded:
        """The same for what is left."""
        _, events = self.source.close(rest)
        return self._told(events), events

    def _told(self, events: tuple[Event, ...]) -> bytes | None:
        if len(events) == 1 and events[0].token:
            # Nearly all: one delta.
            return self.writer.write(events) or None
        if self._model is not None:
            events = shown(events, self._model)
        for event in events:
            if type(event) is Finish:
                if not event.again or event.choice not in self._finishes:
                    self._finishes[event.choice] = event
                events = tuple(other for other in events if other is not event)
        return self.writer.write(events) or None

    def _finished(self) -> bytes:
        finishes, self._finishes = tuple(self._finishes.values()), {}
        return self.writer.write(finishes) if finishes else b""

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete, or None."""
        return self.source.incomplete(clean=clean)

    def ending(self) -> bytes:
        """The client wire's own end."""
        return self._finished() + self.writer.end()

    def stop(self, usage: Usage | None = None) -> bytes:
        """The client wire's finish of an answer that was stopped."""
        told = b"" if usage is None else self.writer.write((UsageReport(usage),))
        return told + self._finished() + self.writer.stop()

    def oddities(self) -> list[str]:
        """What was tolerated."""
        return self.source.oddities()

    @property
    def finished(self) -> bool:
        """Every choice has its finish."""
        return self.source.finished

    @property
    def empty_is_right(self) -> bool:
        """No output is what the provider meant."""
        return self.source.empty_is_right
