"""One channel of an answer that is being edited, from its first delta to its end."""

from __future__ import annotations

from typing import Literal, Protocol

Kind = Literal["text", "reasoning", "arguments", "refusal", "transcript"]
Place = tuple[Kind, int, int]
"""A channel: what it is, the number of its choice, its own number in it (see `stages.contract.Channel`)."""


ALONE = 1_000_000
"""Channels from this number on are single strings: no frame of their own could carry a piece of one."""


class Texts(Protocol):
    """Decides what of an answer's texts goes out, and when."""

    def feed(self, place: Place, text: str) -> str:
        """The next delta of a channel; what may go out now."""
        ...

    def flush(self, place: Place) -> str:
        """A channel ends: what it still holds."""
        ...

    def due(self, place: Place) -> str:
        """What has waited long enough in a channel."""
        ...


class Run(Protocol):
    """A channel under way: what went in comes out edited."""

    def feed(self, text: str) -> str:
        """The next delta, as the wire has it; what goes out now."""
        ...

    def close(self) -> str:
        """It ends: the rest."""
        ...

    def due(self) -> str:
        """What has waited long enough."""
        ...


class TextRun:
    """Plain text."""

    __slots__ = ("_place", "_texts")

    def __init__(self, texts: Texts, place: Place):
        self._texts = texts
        self._place = place

    def feed(self, text: str) -> str:
        """See `Run`."""
        return self._texts.feed(self._place, text)

    def close(self) -> str:
        """See `Run`."""
        return self._texts.flush(self._place)

    def due(self) -> str:
        """See `Run`."""
        return self._texts.due(self._place)
