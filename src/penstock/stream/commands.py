"""What the machine wants done. The driver carries commands out in order, and none of them calls back."""

from __future__ import annotations

import msgspec

from penstock.outcome import Outcome
from penstock.stream.inputs import Headers
from penstock.stream.summary import Summary
from penstock.wire.continued import Prefix


class Command(msgspec.Struct, frozen=True, gc=False):
    """Base of all commands."""


class Open(Command, frozen=True, gc=False):
    """Start an attempt at the route's target number ``target``. ``fresh``: not on a kept-alive connection;
    ``ask_usage``: with ``stream_options.include_usage`` in the body; ``behind``: to go on from there."""

    attempt: int
    target: int
    fresh: bool = False
    ask_usage: bool = True
    behind: Prefix | None = None


class Close(Command, frozen=True, gc=False):
    """The attempt is over. ``reuse``: its body was read to the end, the connection may serve again."""

    attempt: int
    reuse: bool = False


class Head(Command, frozen=True, gc=False):
    """Status and headers to the client."""

    status: int
    headers: Headers


class Send(Command, frozen=True, gc=False):
    """Body bytes to the client."""

    data: bytes


class End(Command, frozen=True, gc=False):
    """End the client's body. So that it is seen to be not whole: ``abort`` cuts the connection at once, with what was
    not written yet; ``cut`` writes all that was sent and then closes the connection without the body's own end."""

    abort: bool = False
    cut: bool = False


class Append(Command, frozen=True, gc=False):
    """Further bytes of the client's wire for the journal of a resumable stream, without the ids that the client may
    get beside them. Their data frames are counted when somebody reads them."""

    data: bytes


class Seal(Command, frozen=True, gc=False):
    """The journal's end. ``body``: its only frame, a document in place of a stream, to be given with ``status``;
    ``cut``: readers are not to see the clean end of a body."""

    status: int = 200
    body: bytes | None = None
    cut: bool = False


class Pause(Command, frozen=True, gc=False):
    """Stop reading from the attempt's connection."""

    attempt: int


class Resume(Command, frozen=True, gc=False):
    """Go on reading."""

    attempt: int


class Ask(Command, frozen=True, gc=False):
    """Ask the route's moderation service about texts. It is answered by ``CheckAnswered`` with the same number, or
    never; a further question takes the place of one that was not answered."""

    check: int
    texts: tuple[str, ...]


class Record(Command, frozen=True, gc=False):
    """What is to be remembered of the stream: once, just before Done."""

    summary: Summary


class Done(Command, frozen=True, gc=False):
    """The stream is over. Nothing follows."""

    outcome: Outcome
