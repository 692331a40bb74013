"""What keys use at all gateways together: told and asked in rounds, one at a time, by one task.

Requests wait for the round that has their question, chunks never wait: what their streams spend is told in the next
round, which comes within `PACE`, and sooner where a budget is nearly spent. While the store is away each gateway keeps
the limits for itself, and tells later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable
from typing import Protocol

from penstock.policy.limits import Bucket, Standing
from penstock.policy.shared_limits import LEASE, Budgeted, Failed, Levels, Use, Wish

logger = logging.getLogger("penstock.server")

PACE = 0.01
"""Seconds between two rounds while money is spent: how late a gateway knows what the others have spent."""
HASTE = 0.001
"""The same where a budget would be spent within ten such rounds."""
PAUSE = 1.0
"""Seconds between two attempts while the store is away."""


class Store(Protocol):
    """See `store.redis_limits.RedisLimits`."""

    async def exchange(self, uses: list[Use], wishes: list[Wish]) -> tuple[list[Levels], list[Levels]]:
        """Tell what was used, then ask. Raises Failed."""
        ...

    async def close(self) -> None:
        """Let go."""


class _Shared:
    """A key with streams, or with use that was not told."""

    __slots__ = ("at", "ended", "fresh", "lasts", "open", "standing")

    def __init__(self, standing: Standing, now: float):
        self.standing = standing
        self.at = now
        self.lasts = math.inf
        """Seconds that its budgets last as they were spent until now."""
        self.open: set[str] = set()
        self.ended: set[str] = set()
        self.fresh = True
        """The store is to be told of all open streams."""

    def use(self, key: str) -> Use | None:
        """What is to be told now."""
        standing, told = self.standing, tuple(self.open) if self.fresh else ()
        requests, tokens = _unsent(standing.requests), _unsent(standing.tokens)
        spent = any(each.unsent for each in standing.spending)
        if not (self.ended or told or requests or tokens or spent):
            return None
        return Use(
            key=key,
            limits=standing.limits,
            ended=tuple(self.ended),
            open=told,
            requests=requests,
            tokens=tokens,
            budgets=tuple(map(Budgeted.of, standing.spending)),
        )

    def agreed(self, use: Use, levels: Levels, now: float) -> None:
        """The store was told, and this is what all have used."""
        self.ended.difference_update(use.ended)
        self.fresh = self.fresh and not use.open
        _agree(self.standing, levels, use.requests, use.tokens, now)
        self.lasts = math.inf
        for spending, budget, total in zip(self.standing.spending, use.budgets, levels.spent, strict=True):
            if spending.ends == budget.ends:
                gained = total - budget.known
                spending.agreed(total, budget.more)
                if gained > 0:
                    left = max(0, spending.budget.amount - total)
                    self.lasts = min(self.lasts, left / gained * (now - self.at))
        self.at = now


class Sharing:
    """Between the gateway's own books and the store."""

    def __init__(self, store: Store, clock: Callable[[], float]):
        self._store = store
        self._clock = clock
        self._keys: dict[str, _Shared] = {}
        self._wishes: list[tuple[Wish, Standing, asyncio.Future[Levels | None]]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._renewed = 0.0
        self.reachable = True
        """The store has answered."""

    def start(self) -> None:
        """Begin, unless it has begun; on the loop that serves."""
        if self._task is None:
            self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        """Tell what is left, and let go."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self.reachable:
            await self._round()
        await self._store.close()

    # -- for those who serve --------------------------------------------------------------------------------------

    async def ask(self, key: str, stream: str, standing: Standing, tokens: int) -> Levels | None:
        """Take a stream's place and tokens, at all gateways together; None: nobody could be asked."""
        if not self.reachable:
            return None
        budgets = tuple(map(Budgeted.of, standing.spending))
        wish = Wish(key=key, stream=stream, limits=standing.limits, tokens=tokens, budgets=budgets)
        answer: asyncio.Future[Levels | None] = asyncio.get_running_loop().create_future()
        self._wishes.append((wish, standing, answer))
        self._wake.set()
        return await answer

    def begun(self, key: str, stream: str, standing: Standing, levels: Levels | None, tokens: int) -> None:
        """The stream was accepted, and reserved for in ``standing``; ``levels`` are those with it, if it was asked."""
        shared = self._shared(key, standing)
        shared.open.add(stream)
        shared.ended.discard(stream)
        if levels is None:
            shared.fresh = True
        else:
            _agree(standing, levels, 1, tokens, self._clock())
        self._wake.set()

    def over(self, key: str, stream: str, standing: Standing) -> None:
        """The stream has ended, or what it has used is known better."""
        shared = self._keys.get(key)
        if shared is None:
            shared = self._keys[key] = _Shared(standing, self._clock())
        if stream in shared.open:
            shared.open.discard(stream)
            shared.ended.add(stream)
        self._wake.set()

    def _shared(self, key: str, standing: Standing) -> _Shared:
        shared = self._keys.get(key)
        if shared is None:
            shared = self._keys[key] = _Shared(standing, self._clock())
        shared.standing = standing
        return shared

    # -- the rounds -----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            if not self._keys:
                await self._wake.wait()
            await self._round()
            if not self.reachable:
                await asyncio.sleep(PAUSE)
                continue
            lasts = min((shared.lasts for shared in self._keys.values()), default=math.inf)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(HASTE, min(PACE, lasts / 10))):
                    await self._wake.wait()

    async def _round(self) -> None:
        self._wake.clear()
        if self._clock() >= self._renewed + LEASE / 3:
            self._renewed = self._clock()
            for shared in self._keys.values():
                shared.fresh = True
        uses = {key: use for key, shared in self._keys.items() if (use := shared.use(key)) is not None}
        wishes, self._wishes = self._wishes, []
        if not (uses or wishes) and self.reachable:
            self._keys = {key: shared for key, shared in self._keys.items() if shared.open}
            return
        try:
            told, asked = await self._store.exchange(list(uses.values()), [wish for wish, _, _ in wishes])
        except Failed as error:
            self._failed(error, wishes)
            return
        except BaseException:
            self._unanswered(wishes)
            raise
        self._worked()
        for (key, use), levels in zip(uses.items(), told, strict=True):
            self._keys[key].agreed(use, levels, self._clock())
        for (wish, standing, answer), levels in zip(wishes, asked, strict=True):
            if not answer.done():
                answer.set_result(levels)
            elif levels.refusal is None:
                # Who asked has gone: the place is free again.
                shared = self._shared(wish.key, standing)
                shared.ended.add(wish.stream)
                if standing.tokens is not None:
                    standing.tokens.unsent -= wish.tokens

    def _failed(self, error: Failed, wishes: list[tuple[Wish, Standing, asyncio.Future[Levels | None]]]) -> None:
        if self.reachable:
            logger.warning("limits are kept by each gateway for itself: the store of limits: %s", error)
        self.reachable = False
        # It may have heard them all the same.
        for wish, standing, _ in wishes:
            self._shared(wish.key, standing).ended.add(wish.stream)
        self._unanswered([*wishes, *self._wishes])
        self._wishes.clear()

    def _unanswered(self, wishes: list[tuple[Wish, Standing, asyncio.Future[Levels | None]]]) -> None:
        for _, _, answer in wishes:
            if not answer.done():
                answer.set_result(None)

    def _worked(self) -> None:
        if not self.reachable:
            logger.warning("limits are shared between gateways again")
            for shared in self._keys.values():
                shared.fresh = True
        self.reachable = True


def _unsent(bucket: Bucket | None) -> float:
    return 0.0 if bucket is None else bucket.unsent


def _agree(standing: Standing, levels: Levels, requests: float, tokens: float, now: float) -> None:
    """What was told is known to all, and what all have taken a minute is known here."""
    for bucket, level, sent in (
        (standing.requests, levels.requests, requests),
        (standing.tokens, levels.tokens, tokens),
    ):
        if bucket is not None and level is not None:
            bucket.agreed(now, level, sent)
