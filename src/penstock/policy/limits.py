"""What a key may use: streams at a time, requests and tokens a minute, money a day or a month. All pure: ``now`` is a
monotonic instant, ``wall`` Unix seconds, money nano-dollars.

A `Reservation` is taken at acceptance, is told what the stream has used while it flows, and is settled once at its
end: the slot is free again, the tokens and the money that were reserved and not used are back.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

Period = Literal["day", "month"]
MINUTE = 60.0
DAY = 86_400.0


class Budget(msgspec.Struct, frozen=True):
    """``amount`` nano-dollars a period; days and months are those of UTC."""

    period: Period
    amount: int

    def began(self, wall: float) -> float:
        """The beginning of the period."""
        day = int(wall // DAY)
        return (day if self.period == "day" else day - _day_of_month(day) + 1) * DAY

    def ends(self, wall: float) -> float:
        """The beginning of the next one."""
        began = self.began(wall)
        return began + DAY if self.period == "day" else self.began(began + 32 * DAY)


def _day_of_month(day: int) -> int:
    """Of the day with that number, counted from 1970-01-01. Reckoned in years that begin in March, whose months have
    153 days to every five."""
    of_era = (day + 719_468) % 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    return of_year - (153 * ((5 * of_year + 2) // 153) + 2) // 5 + 1


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """None: no limit."""

    max_streams: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budgets: tuple[Budget, ...] = ()


class Refusal(msgspec.Struct, frozen=True):
    """Why a request cannot be served now: the limit by its key in the configuration, and the seconds after which it
    may be; None: when a stream has ended."""

    limit: str
    wait: float | None


class Bucket:
    """``limit`` a minute: full at first, it fills evenly, and whoever uses more than was reserved draws it below
    empty."""

    __slots__ = ("_at", "_level", "limit", "unsent")

    def __init__(self, limit: int):
        self.limit = limit
        self.unsent = 0.0
        """What was taken that other gateways do not know of."""
        self._level = float(limit)
        self._at = float("-inf")

    def level(self, now: float) -> float:
        """What may be taken."""
        if now > self._at:
            self._level = min(self.limit, self._level + (now - self._at) * self.limit / MINUTE)
            self._at = now
        return self._level

    def wait(self, now: float, amount: float) -> float:
        """Seconds until ``amount`` is there."""
        return max(0.0, (amount - self.level(now)) * MINUTE / self.limit)

    def take(self, now: float, amount: float) -> None:
        """Use it, or give it back where it is below zero."""
        self._level = min(float(self.limit), self.level(now) - amount)
        self.unsent += amount

    def agreed(self, now: float, level: float, sent: float) -> None:
        """The level of all gateways together, which have been told of so much."""
        self.unsent -= sent
        self._level, self._at = min(float(self.limit), level - self.unsent), now


class Spending:
    """What was spent of one budget in the present period, open streams included.

    Gateways that share it take *leases*: money that is theirs to spend before they ask for more.
    """

    __slots__ = ("began", "budget", "denied", "ends", "lease", "spent", "unsent")

    def __init__(self, budget: Budget, spent: int, wall: float):
        self.budget = budget
        self.spent = spent
        self.unsent = 0
        """Of that, what other gateways do not know of."""
        self.lease: int | None = None
        """What may be unsent; None: nobody is asked, all that is left may be spent here."""
        self.denied = False
        """When others were asked last, there was no more."""
        self.began, self.ends = budget.began(wall), budget.ends(wall)

    def left(self, wall: float) -> int:
        """What is left of it; may be below zero."""
        if wall >= self.ends:
            self.began, self.ends = self.budget.began(wall), self.budget.ends(wall)
            self.spent = self.unsent = 0
            self.lease = None
        return self.budget.amount - self.spent

    def covers(self, wall: float) -> bool:
        """More may be spent here and now."""
        left = self.left(wall)
        return left > 0 if self.lease is None else self.unsent < self.lease

    @property
    def low(self) -> bool:
        """More than half of the lease is spent."""
        return self.lease is not None and 2 * self.unsent > self.lease

    def keeps(self, *, streams: bool) -> int:
        """What is kept of the lease from now on, the rest is given back; below 0: all is, as there are no streams."""
        if not streams:
            self.lease = self.unsent
            return -1
        if self.lease is None:
            return 0
        kept = max(0, min(self.lease - self.unsent, 2 * share(self.budget.amount - self.spent)))
        self.lease = self.unsent + kept
        return kept

    def wait(self, wall: float) -> float:
        """Seconds to the next period."""
        return max(0.0, self.ends - wall)

    def add(self, amount: int, accepted: float) -> None:
        """Spend it on a stream that was accepted then: one of an earlier period is that period's."""
        if accepted >= self.began:
            self.spent += amount
            self.unsent += amount

    def agreed(self, total: int, sent: int, lease: int) -> None:
        """What all gateways have spent, which have been told of so much, and what may be spent here beyond that."""
        self.unsent -= sent
        self.spent = total + self.unsent
        self.lease, self.denied = lease, lease <= 0

    def granted(self, more: int) -> None:
        """So much more may be spent here."""
        self.lease = more + (self.unsent if self.lease is None else self.lease)


def share(left: int) -> int:
    """The lease of one gateway where so much is left: so little that others find something, so much that it lasts
    until there is more."""
    return max(0, -(-left // 16))


class Standing:
    """Where one key stands. ``spent``: nano-dollars by budget, from before."""

    def __init__(self, limits: Limits, spent: tuple[int, ...], wall: float):
        self.limits = limits
        self.streams = 0
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self.requests = None if requests is None else Bucket(requests)
        self.tokens = None if tokens is None else Bucket(tokens)
        self.spending = [Spending(budget, was, wall) for budget, was in zip(limits.budgets, spent, strict=True)]
        self.asked = self.answered = 0
        """How often other gateways were asked for leases; and which of these times they have answered last."""

    @property
    def low(self) -> bool:
        """A lease is nearly spent."""
        return any(spending.low for spending in self.spending)

    def alone(self) -> None:
        """Nobody else is asked from now on."""
        for spending in self.spending:
            spending.lease = None

    def turn(self, wall: float) -> None:
        """Where a period is over, the next one has begun."""
        for spending in self.spending:
            spending.left(wall)

    def refusal(self, now: float, wall: float, tokens: int, cost: int = 0) -> Refusal | None:
        """Why a request of about so many tokens cannot be served, whose prompt comes to ``cost``; None: it can, and
        `reserve` is to follow."""
        for spending in self.spending:
            if spending.left(wall) < max(1, cost):
                return Refusal("budget_usd", spending.wait(wall))
        if self.limits.max_streams is not None and self.streams >= self.limits.max_streams:
            return Refusal("max_streams", None)
        if self.requests is not None and (wait := self.requests.wait(now, 1)):
            return Refusal("requests_per_minute", wait)
        if self.tokens is not None and (wait := self.tokens.wait(now, self.fitting(tokens))):
            return Refusal("tokens_per_minute", wait)
        return None

    def reserve(self, now: float, wall: float, tokens: int, cost: int) -> Reservation:
        """Take it: ``tokens`` and the ``cost`` that it will come to at the least."""
        self.streams += 1
        if self.requests is not None:
            self.requests.take(now, 1)
        if self.tokens is not None:
            self.tokens.take(now, self.fitting(tokens))
        return Reservation(self, wall, self.fitting(tokens), cost)

    def fitting(self, tokens: int) -> int:
        """Of a request of so many tokens, what is reserved."""
        # What is over the limit could never be served: it is served when the bucket is full, and empties it.
        return tokens if self.tokens is None else min(tokens, self.tokens.limit)


class Reservation:
    """One stream's."""

    __slots__ = ("_accepted", "_asked", "_tokens", "cost", "open", "standing")

    def __init__(self, standing: Standing, wall: float, tokens: int, cost: int):
        self.standing = standing
        self._accepted = wall
        self._tokens = tokens
        self.cost = 0
        """Nano-dollars that the stream has cost by now."""
        self.open = True
        self._asked: int | None = None
        """How often others had been asked when this stream had to ask them."""
        self.spend(cost)

    def spend(self, cost: int) -> None:
        """The stream has cost so much by now."""
        for spending in self.standing.spending:
            spending.add(cost - self.cost, self._accepted)
        self.cost = cost

    def lasts(self, wall: float) -> bool | None:
        """May the stream go on, or has the key spent its budget? None: other gateways are to be asked first."""
        standing = self.standing
        short = [spending for spending in standing.spending if not spending.covers(wall)]
        if not short:
            self._asked = None
            return True
        if any(spending.lease is None for spending in short):
            return False
        # A question that was on its way before this stream had to ask did not ask for it.
        if self._asked is None or standing.answered > self._asked:
            if self._asked is not None and any(spending.denied for spending in short):
                return False
            self._asked = standing.asked
        return None

    def settle(self, now: float, tokens: int, cost: int) -> None:
        """The stream is over. A second time corrects the numbers, once they are known better."""
        if self.open:
            self.open = False
            self.standing.streams -= 1
        self.spend(cost)
        if self.standing.tokens is not None:
            self.standing.tokens.take(now, tokens - self._tokens)
        self._tokens = tokens


def told(standing: Standing, now: float) -> list[tuple[str, str]]:
    """The headers that tell a client where it stands, as OpenAI's."""
    headers = []
    for name, bucket in (("requests", standing.requests), ("tokens", standing.tokens)):
        if bucket is not None:
            headers += [
                (f"x-ratelimit-limit-{name}", str(bucket.limit)),
                (f"x-ratelimit-remaining-{name}", str(max(0, math.floor(bucket.level(now))))),
                (f"x-ratelimit-reset-{name}", _duration(bucket.wait(now, bucket.limit))),
            ]
    return headers


def _duration(seconds: float) -> str:
    """As OpenAI writes it: ``6ms``, ``1.5s``, ``6m0s``."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    if seconds < MINUTE:
        return f"{math.ceil(seconds * 1000) / 1000:g}s"
    return f"{int(seconds // MINUTE)}m{math.ceil(seconds % MINUTE)}s"
