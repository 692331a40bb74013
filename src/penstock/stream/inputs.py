"""What happens to a stream. The driver feeds these to the machine, each with the instant at which it happened."""

from __future__ import annotations

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]


class Input(msgspec.Struct, frozen=True, gc=False):
    """Base of all inputs."""


class UpstreamOpened(Input, frozen=True, gc=False):
    """The connection of an attempt stands (TCP and TLS) and the request was handed to it."""

    attempt: int


class UpstreamHead(Input, frozen=True, gc=False):
    """Status and headers (lower-case names) of the provider's answer."""

    attempt: int
    status: int
    headers: Headers


class UpstreamBytes(Input, frozen=True, gc=False):
    """A piece of the provider's body, as it came from the socket, transfer coding removed."""

    attempt: int
    data: bytes


class UpstreamEnded(Input, frozen=True, gc=False):
    """The provider's body is over. ``clean``: the transfer coding says that it is whole."""

    attempt: int
    clean: bool
    reason: str = ""


class UpstreamFailed(Input, frozen=True, gc=False):
    """An attempt failed before any byte of an answer. ``stale``: a kept-alive connection turned out to be dead."""

    attempt: int
    message: str
    stale: bool = False


class ClientBlocked(Input, frozen=True, gc=False):
    """More bytes wait for the client than its buffer may hold."""


class ClientDrained(Input, frozen=True, gc=False):
    """The client reads again."""


class ClientLeft(Input, frozen=True, gc=False):
    """The client's connection is gone."""


class Followed(Input, frozen=True, gc=False):
    """So many readers follow a resumable stream now, beside the client that asked for it."""

    readers: int


class CheckAnswered(Input, frozen=True, gc=False):
    """The moderation service has answered check number ``check``: the categories that it ``found``, or why it
    ``failed``."""

    check: int
    found: tuple[str, ...] = ()
    failed: str = ""


class AllowanceAnswered(Input, frozen=True, gc=False):
    """It is known now whether the client's key may spend more."""


class Stop(Input, frozen=True, gc=False):
    """Somebody with the right to it ends the generation; the client still gets its finish."""


class Shutdown(Input, frozen=True, gc=False):
    """The gateway goes down and its drain time is over."""
