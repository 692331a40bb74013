"""The ledger row: one a stream (interface.md §6). Instants are Unix seconds, money nano-dollars, durations
milliseconds. Written as JSON, what is as it is by default is left out: a default never changes."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec.structs import asdict

from penstock import money
from penstock.outcome import Outcome
from penstock.usage import Usage

Basis = Literal["exact", "estimated"]
Figure = Literal["counted", "reported", "delivered", "none"]


class Tokens(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Tokens by kind, disjoint: ``input`` without what was read from or written to a cache, ``output`` without
    reasoning. None: not known."""

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None

    @classmethod
    def of(cls, usage: Usage | None) -> Tokens:
        """What a provider reported."""
        if usage is None:
            return NO_TOKENS
        return cls(usage.input, usage.output, usage.reasoning, usage.cache_read, usage.cache_write)

    @property
    def generated(self) -> int:
        """Output and reasoning together."""
        return (self.output or 0) + (self.reasoning or 0)

    @property
    def total(self) -> int:
        """Everything that is known."""
        return self.generated + (self.input or 0) + (self.cache_read or 0) + (self.cache_write or 0)


NO_TOKENS = Tokens()
"""Nothing is known. Where nothing else is there, it is this very one: so it is seen, and left out of the JSON."""


class AttemptLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt. ``outcome`` is None for the one that served the stream; ``lost``: another was faster. ``cost`` is
    what the attempt is charged with: None where the model has no price."""

    target: str
    outcome: Outcome | None = None
    reason: str = ""
    lost: bool = False
    hedge: bool = False
    status: int | None = None
    started_ms: float = 0.0
    first_token_ms: float | None = None
    ended_ms: float | None = None
    counted: Tokens = NO_TOKENS
    reported: Tokens = NO_TOKENS
    basis: Basis = "exact"
    cost: int | None = 0


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One stream. It is opened at acceptance without ``ended_at`` and ``outcome``, and settled once with both."""

    stream: str
    started_at: float
    ended_at: float | None = None
    key: str | None = None
    """The name of the client's key; None: the gateway is open."""
    route: str
    client_wire: str
    provider: str | None = None
    model: str | None = None
    """The model that served, or was asked last: the one that is paid for. None: none was asked."""
    outcome: Outcome | None = None
    committed: bool = False
    attempts: tuple[AttemptLine, ...] = ()
    counted: Tokens = NO_TOKENS
    """By Penstock, from what the provider sent."""
    reported: Tokens = NO_TOKENS
    """By the provider."""
    delivered: Tokens = NO_TOKENS
    """By Penstock, from what was written to the client."""
    basis: Basis = "exact"
    """Whether the charge stands on exact numbers."""
    charged: Figure = "none"
    """The numbers that the charge stands on."""
    cost: int | None = None
    """All attempts together. None: a model has no price, and ``warnings`` says so."""
    ttft_ms: float | None = None
    duration_ms: float | None = None
    redactions: int = 0
    """What stages found in the answer, all kinds together."""
    warnings: tuple[str, ...] = ()
    tags: dict[str, str] = {}


def opened(
    *, stream: str, started_at: float, key: str | None, route: str, client_wire: str, tags: dict[str, str]
) -> Row:
    """The row of a stream that was just accepted."""
    return Row(stream=stream, started_at=started_at, key=key, route=route, client_wire=client_wire, tags=tags)


def fields(row: Row) -> dict[str, Any]:
    """The row as JSON shows it, with everything: ``cost`` is ``cost_usd`` there."""
    return _fields(row) | {"attempts": [_fields(line) for line in row.attempts]}


def _fields(shown: Row | AttemptLine) -> dict[str, Any]:
    known = asdict(shown)
    for figure in ("counted", "reported", "delivered"):
        if figure in known:
            known[figure] = asdict(known[figure])
    cost = known.pop("cost")
    return known | {"cost_usd": None if cost is None else money.to_dollars(cost)}
