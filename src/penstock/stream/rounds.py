"""How long a stream waits for one target, and between two rounds over all of them."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.policy.backoff import Backoff
from penstock.policy.deadlines import first_token_limit
from penstock.stream.plan import Plan


def patience(plan: Plan, target: int, rounds_left: int | None) -> float | None:
    """Seconds to the first token event of an attempt at that target; None: as long as it takes. ``rounds_left`` is None
    where nobody else will be asked."""
    others = 0 if rounds_left is None else len(plan.ways) - target - 1 + rounds_left
    return first_token_limit(plan.deadlines, targets_left=others)


def wait(plan: Plan, rounds_left: int, asked: Sequence[float | None], spent: float) -> float | None:
    """Seconds until the next round; None when it would come too late. ``asked`` are the waits that the failures of this
    round asked for: who asked to be left alone is, unless another target did not. ``spent`` seconds are over."""
    named = [each for each in asked if each is not None]
    total = plan.deadlines.total
    return Backoff().wait(
        plan.retries - rounds_left + 1,
        plan.chance,
        retry_after=min(named) if named and len(named) == len(asked) else None,
        left=None if total is None else total - spent,
    )
