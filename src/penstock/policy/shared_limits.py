"""What gateways tell each other of their keys' use, by way of a store (see `limits`)."""

from __future__ import annotations

import msgspec

from penstock.errors import PenstockError
from penstock.policy.limits import Limits, Refusal, Spending

LEASE = 15.0
"""Seconds that the streams of a gateway count which says nothing any more."""


class Failed(PenstockError):
    """The store gave no answer."""


class Budgeted(msgspec.Struct, frozen=True):
    """One budget in its present period. ``known``: nano-dollars that were spent as far as is known here, for a store
    that knows nothing; ``more``: what is to be added; ``keeps``: what of its lease the gateway keeps, below 0: it needs
    none."""

    period: str
    amount: int
    ends: float
    known: int
    more: int
    keeps: int = 0

    @classmethod
    def of(cls, spending: Spending, keeps: int = 0) -> Budgeted:
        """As it stands here."""
        period = f"{spending.budget.period}:{spending.began:.0f}"
        more = spending.unsent
        return cls(period, spending.budget.amount, spending.ends, spending.spent - more, more, keeps)


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What a key has used that the store does not know."""

    key: str
    limits: Limits
    ended: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    """Streams that go on."""
    requests: float = 0
    tokens: float = 0
    budgets: tuple[Budgeted, ...] = ()


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A request of a key that would take so many tokens, and whose prompt comes to ``cost`` nano-dollars."""

    key: str
    stream: str
    limits: Limits
    tokens: int
    cost: int = 0
    budgets: tuple[Budgeted, ...] = ()


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """Where a key stands over all gateways; None: there is no such limit. ``refusal``: why a wish cannot be met."""

    refusal: Refusal | None = None
    requests: float | None
    tokens: float | None
    spent: tuple[int, ...]
    leases: tuple[int, ...] = ()
    """By budget, what the gateway may spend beyond what it has told; to a wish: how much more it may."""
