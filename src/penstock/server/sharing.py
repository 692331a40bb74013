"""What keys use at all gateways together: told and asked in rounds, one at a time, by one task.

Requests wait for the round that has their question. Chunks do not: their streams spend what the gateway holds of the
budget, its lease, and long before that is used up a round renews it. Where nothing is left of it all the same, a
stream is not read on until the next round has said whether there is more. While the store is away each gateway keeps
the limits for itself, and tells later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from penstock.policy.limits import Bucket, Standing
from penstock.policy.shared_limits import LEASE, Budgeted, Failed, Levels, Use, Wish

logger = logging.getLogger("penstock.server")

PACE = 0.1
"""Seconds between two rounds, where nothing is asked: how late a gateway knows what the others have spent."""
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

    __slots__ = ("ended", "fresh", "more", "open", "standing", "waiting")

    def __init__(self, standing: Standing):
        self.standing = standing
        self.more = False
        """A lease is to be renewed."""
        self.waiting: list[Callable[[], None]] = []
        """Who is to be told when that was asked."""
        self.open: set[str] = set()
        self.ended: set[str] = set()
        self.fresh = True
        """The store is to be told of all open streams."""

    def use(self, key: str) -> Use | None:
        """What is to be told now."""
        standing, told = self.standing, tuple(self.open) if self.fresh else ()
        requests, tokens = _unsent(standing.requests), _unsent(standing.tokens)
        spent = any(each.unsent for each in standing.spending)
        if not (self.ended or told or requests or tokens or spent or self.more):
            return None
        self.more = False
        standing.asked += 1
        return Use(
            key=key,
            limits=standing.limits,
            ended=tuple(self.ended),
            open=told,
            requests=requests,
            tokens=tokens,
            budgets=tuple(Budgeted.of(each, each.keeps(streams=bool(self.open))) for each in standing.spending),
        )

    def agreed(self, standing: Standing, use: Use, levels: Levels, now: float) -> None:
        """The store was told, and this is what all have used."""
        self.ended.difference_update(use.ended)
        self.fresh = self.fresh and not use.open
        _agree(standing, levels, use.requests, use.tokens, now)
        standing.answered = standing.asked
        told = zip(standing.spending, use.budgets, levels.spent, levels.leases, strict=True)
        for spending, budget, total, lease in told:
            if spending.ends == budget.ends:
                spending.agreed(total, budget.more, lease)


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

    async def ask(self, key: str, stream: str, standing: Standing, tokens: int, cost: int = 0) -> Levels | None:
        """Take a stream's place and tokens, at all gateways together, and a lease of what its prompt costs; None:
        nobody could be asked."""
        if not self.reachable:
            return None
        budgets = tuple(map(Budgeted.of, standing.spending))
        wish = Wish(key=key, stream=stream, limits=standing.limits, tokens=tokens, cost=cost, budgets=budgets)
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
            shared = self._keys[key] = _Shared(standing)
        if stream in shared.open:
            shared.open.discard(stream)
            shared.ended.add(stream)
        self._wake.set()

    def renew(self, key: str, waiting: Callable[[], None] | None = None) -> None:
        """The key's leases are to be renewed; who is ``waiting`` is told when that was asked."""
        shared = self._keys.get(key)
        if shared is not None:
            shared.more = True
            if waiting is not None:
                shared.waiting.append(waiting)
            self._wake.set()

    def _shared(self, key: str, standing: Standing) -> _Shared:
        shared = self._keys.get(key)
        if shared is None:
            shared = self._keys[key] = _Shared(standing)
        if shared.standing is not standing:
            # Its limits have changed. Streams from before count for themselves.
            shared.standing.alone()
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
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PACE):
                    await self._wake.wait()

    async def _round(self) -> None:
        self._wake.clear()
        if self._clock() >= self._renewed + LEASE / 3:
            self._renewed = self._clock()
            for shared in self._keys.values():
                shared.fresh = True
        told = [
            (shared, shared.standing, use) for key, shared in self._keys.items() if (use := shared.use(key)) is not None
        ]
        waiting: list[Callable[[], None]] = []
        for shared, _, _ in told:
            waiting += shared.waiting
            shared.waiting = []
        wishes, self._wishes = self._wishes, []
        if not (told or wishes) and self.reachable:
            self._keys = {key: shared for key, shared in self._keys.items() if shared.open}
            return
        try:
            used, asked = await self._store.exchange([use for _, _, use in told], [wish for wish, _, _ in wishes])
        except Failed as error:
            self._failed(error, wishes)
            for shared in self._keys.values():
                waiting += shared.waiting
                shared.waiting = []
            for wake in waiting:
                wake()
            return
        except BaseException:
            self._unanswered(wishes)
            raise
        self._worked()
        for (shared, standing, use), levels in zip(told, used, strict=True):
            shared.agreed(standing, use, levels, self._clock())
        for wake in waiting:
            wake()
        for (wish, standing, answer), levels in zip(wishes, asked, strict=True):
            _grant(standing, wish, levels)
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
        for shared in self._keys.values():
            shared.standing.alone()
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


def _grant(standing: Standing, wish: Wish, levels: Levels) -> None:
    told = zip(standing.spending, wish.budgets, levels.spent, levels.leases, strict=True)
    for spending, budget, total, more in told:
        if spending.ends == budget.ends:
            spending.spent = total + spending.unsent
            if levels.refusal is None:
                spending.granted(more)


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
