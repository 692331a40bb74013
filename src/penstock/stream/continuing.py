"""After the commit, where a route says ``mid_stream: continue``: whether an answer that broke off may go on, and where.

The decision itself is `policy.failover.decide`; what may be continued is read by `wire.continued` and `wire.prefill`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from penstock.errors import BadRequest
from penstock.stream.attempt import Attempt
from penstock.stream.faults import Failure
from penstock.stream.plan import Plan
from penstock.stream.states import Upstream
from penstock.wire.base import Decoder
from penstock.wire.continued import Beginning, Remembered


class Continuing:
    """What is left of a stream's one continuation."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self.broken: Failure | None = None
        """Why the answer broke off that another attempt goes on with."""

    def possible(self, attempt: Attempt, left: Sequence[int]) -> bool:
        """Whether the attempt's answer is one that may go on, and somebody is there who can."""
        if self.broken is not None or attempt.state is not Upstream.STREAMING:
            return False
        return bool(self._able(attempt, left)) and _beginning(attempt) is not None

    def choose(self, attempt: Attempt, left: Sequence[int], now: float) -> tuple[int, Beginning] | None:
        """The target that is to go on: of those that were not asked yet the first that can and is paid for, else the
        one that broke off. None: nobody."""
        beginning, asking = _beginning(attempt), self._plan.asking
        if beginning is None:
            return None
        for target in self._able(attempt, left):
            try:
                self._plan.ways[target].goes_on(beginning)
            except BadRequest:
                return None
            if asking is None or asking.may_try(target, now):
                return target, beginning
        return None

    def _able(self, attempt: Attempt, left: Sequence[int]) -> list[int]:
        targets = [*left, *([] if attempt.target in left else [attempt.target])]
        return [target for target in targets if self._plan.ways[target].continues]


def _beginning(attempt: Attempt) -> Beginning | None:
    decoder: Decoder = attempt.decoder
    said = decoder.beginning() if isinstance(decoder, Remembered) else None
    return None if said is None else msgspec.structs.replace(said, usage=attempt.usage)
