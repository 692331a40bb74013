"""Further rounds over all targets (``retries``): how long to wait before one."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.policy.backoff import Backoff
from penstock.stream.plan import Plan


def pause(plan: Plan, number: int, asked: Sequence[float | None], spent: float) -> float | None:
    """Seconds until round ``number``, ``spent`` seconds after the stream's beginning; None when it would come too
    late. Who ``asked`` to be left alone is, unless another target of this round did not."""
    waits = [wait for wait in asked if wait is not None]
    total = plan.deadlines.total
    return Backoff().wait(
        number,
        plan.chance,
        retry_after=min(waits) if waits and len(waits) == len(asked) else None,
        left=None if total is None else total - spent,
    )
