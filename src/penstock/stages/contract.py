"""What a stage is: text in, text out, channel by channel.

A stage is made for one stream and sees its generated text as deltas of *channels*. It may change text, hold it back
and give it later, or end the stream. It never waits, reads no clock and does no I/O; the same text gives the same
result however it was split into deltas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

ChannelKind = Literal["text", "reasoning", "arguments", "refusal", "transcript"]


class Channel(NamedTuple):
    """One run of generated text. Deltas of a channel join to one text; channels never mix.

    ``choice`` is the answer's index when a request asks for several; ``part`` tells apart what a choice holds more
    than one of: a tool call, a content block, a string inside a tool call's arguments.
    """

    kind: ChannelKind
    choice: int = 0
    part: int = 0


class Block(msgspec.Struct, frozen=True, gc=False):
    """The verdict that ends a stream. ``reason`` names the rule, never the text that broke it; ``released`` is what
    came before the offence and may still go out."""

    reason: str
    released: str = ""


@runtime_checkable
class Stage(Protocol):
    """One stage of one stream. After a ``Block`` it is not called again."""

    def feed(self, channel: Channel, text: str) -> str | Block:
        """The next delta of a channel. Answers with what may go out now: it may be empty, and may hold text of
        earlier deltas. What is kept back is given by a later call for the same channel."""
        ...

    def flush(self, channel: Channel) -> str | Block:
        """The channel ends here: everything that is still held back. Called once a channel, on every ending unless
        the client has left or the text was blocked. A channel that never had text may be flushed too."""
        ...

    def findings(self) -> Mapping[str, int]:
        """What was found so far: how often, by kind. Never the text."""
        ...


class StagePolicy(Protocol):
    """A stage as a route configures it: one value, shared by all of the route's streams."""

    @property
    def name(self) -> str:
        """As in the configuration: ``redact``, ``moderate``, …"""
        ...

    def open(self) -> Stage:
        """A stage for a new stream."""
        ...
