"""What the shells offer each other. Everything behind these may be replaced: sockets, clocks, stores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from penstock.stream.commands import Seal
from penstock.stream.inputs import CheckAnswered, Headers
from penstock.stream.summary import AttemptSummary, Summary
from penstock.wire.continued import Prefix


class Listener(Protocol):
    """Hears of one exchange with a provider. Never called from within `Dialer.open` itself."""

    def opened(self) -> None:
        """The connection stands and the request is on its way."""

    def head(self, status: int, headers: Headers) -> None:
        """Status and headers; names in lower case."""

    def body(self, data: bytes, chunk: bytes | None = None) -> None:
        """A piece of the body. ``chunk`` is the same in chunked transfer coding, where it came so."""

    def ended(self, clean: bool, reason: str) -> None:
        """The body is over; nothing follows."""

    def failed(self, message: str, stale: bool) -> None:
        """There was no answer; nothing follows. ``stale``: a kept-alive connection was dead already."""


class Exchange(Protocol):
    """One request on its way to a provider and its answer on the way back."""

    def pause(self) -> None:
        """Stop reading; the provider feels it through TCP."""

    def resume(self) -> None:
        """Read on."""

    def close(self, *, reuse: bool) -> None:
        """No more is wanted. Without ``reuse``, or before the answer's end, the connection is cut at once."""


class Dialer(Protocol):
    """Opens exchanges for one stream."""

    def open(
        self, target: int, listener: Listener, *, fresh: bool, ask_usage: bool, behind: Prefix | None = None
    ) -> Exchange:
        """Send the stream's request to its target number ``target``; ``behind``: the answer is to go on from there."""
        ...


class Witness(Protocol):
    """Hears of one stream's attempts as they go, for the health and load of their targets. Never raises, never
    waits."""

    def dispatched(self, attempt: AttemptSummary, now: float) -> None:
        """An attempt begins."""

    def answered(self, attempt: AttemptSummary, began: float, now: float) -> None:
        """It has its first token event. Not told of one that is over in the same instant."""

    def over(self, attempt: AttemptSummary, began: float, now: float) -> None:
        """It was closed."""

    def done(self) -> None:
        """The stream is over; nothing follows."""


class Checker(Protocol):
    """Asks the moderation service of one stream's route. Never raises, never waits."""

    def ask(self, check: int, texts: tuple[str, ...], answer: Callable[[CheckAnswered], None]) -> None:
        """Ask about texts; what was asked before and not answered is given up."""

    def close(self) -> None:
        """No answer is wanted any more."""


class Sink(Protocol):
    """The way to one client. Writing never waits; what does not fit is held and reported through ``on_blocked``."""

    on_blocked: Callable[[], None] | None
    on_drained: Callable[[], None] | None
    on_left: Callable[[], None] | None

    def head(self, status: int, headers: Headers) -> None:
        """Status and headers, once."""

    def write(self, data: bytes) -> None:
        """Body bytes."""

    @property
    def write_chunk(self) -> Callable[[bytes], None] | None:
        """`write` for body bytes in chunked transfer coding. None as long as that is not what goes out next."""

    def end(self, *, abort: bool, cut: bool = False) -> None:
        """The body is whole; or is to be seen as cut: at once (``abort``), or behind all that was written (``cut``)."""


class Log(Protocol):
    """The journal of one stream. Never raises, never waits."""

    def append(self, data: bytes) -> None:
        """Further bytes."""

    def close(self, seal: Seal) -> None:
        """Its end."""


class Recorder(Protocol):
    """Remembers streams."""

    def record(self, summary: Summary) -> None:
        """A stream is over. Never raises, never waits."""
