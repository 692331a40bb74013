"""Limits and budgets: whether a key's request is served, what it reserves, and what its streams have used.

A recorder: a stream that is over gives back what it had reserved, once, however it ended.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterable

import msgspec

from penstock.config.values import Key
from penstock.errors import BadRequest
from penstock.metering.prices import PriceList, Rates
from penstock.metering.row import Row, Tokens
from penstock.policy.limits import Limits, Refusal, Reservation, Standing, told
from penstock.ports import Recorder
from penstock.request import StreamRequest
from penstock.server.sharing import Sharing
from penstock.store.database import StoreError
from penstock.store.ledger import Ledger
from penstock.stream.asked import tier_of
from penstock.stream.inputs import AllowanceAnswered, Headers, Input
from penstock.stream.plan import Plan
from penstock.stream.summary import Summary
from penstock.stream.used import row_used, used
from penstock.wire import json

logger = logging.getLogger("penstock.server")

BYTES_A_TOKEN = 4
"""Of a prompt that is only reserved for, not billed."""
FILE_TOKENS = 1000
"""Of an image or another file in such a prompt: by its length in base64 it would be hundreds of times that."""
_FILE_BYTES = 4 * FILE_TOKENS
_FILES = (b";base64,", b'"data":"', b'"data": "')
_MOST_OUTPUT = ("max_completion_tokens", "max_output_tokens", "max_tokens")


class Grant:
    """What one stream of a key with limits has reserved (`plan.Allowance`)."""

    __slots__ = ("_feed", "_limiting", "_prompt", "_rates", "key", "reservation")

    def __init__(self, limiting: Limiting, key: str, reservation: Reservation, prompt: int, rates: dict[str, Rates]):
        self._limiting = limiting
        self.key = key
        self.reservation = reservation
        self._prompt = prompt
        self._rates = rates
        self._feed: Callable[[Input], None] | None = None

    def lasts(self, account: Summary) -> bool | None:
        """See `plan.Allowance`."""
        reservation = self.reservation
        reservation.spend(self.used(account)[1])
        lasts, sharing = reservation.lasts(self._limiting.wall()), self._limiting.sharing
        if sharing is not None and lasts is not False and (lasts is None or reservation.standing.low):
            sharing.renew(self.key, self._answered if lasts is None else None)
        return lasts

    def heard_by(self, feed: Callable[[Input], None] | None) -> None:
        """Who is told that there is an answer; None: nobody, the stream is over."""
        self._feed = feed

    def _answered(self) -> None:
        if self._feed is not None:
            self._feed(AllowanceAnswered())

    def used(self, account: Summary) -> tuple[int, int]:
        """Tokens and nano-dollars, as far as they are known."""
        return used(account, self._prompt, self._rates)


class Limiting:
    """Where every key with limits stands."""

    def __init__(
        self,
        keys: Iterable[Key],
        ledger: Ledger | None,
        recorder: Recorder,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
        prices: PriceList | None,
        sharing: Sharing | None = None,
    ):
        self._keys = _limited(keys)
        self._ledger = ledger
        self._recorder = recorder
        self._clock = clock
        self.wall = wall
        self._prices = prices
        self.sharing = sharing
        """With other gateways; None: this one keeps the limits for itself."""
        self._standings: dict[str, Standing] = {}
        self._grants: dict[str, Grant] = {}
        self._reading = asyncio.Lock()

    def renew(self, keys: Iterable[Key]) -> None:
        """These are the keys from now on. What is open of a key whose limits are others does not count for them."""
        before, self._keys = self._keys, _limited(keys)
        same = {name for name, key in self._keys.items() if name in before and before[name].limits == key.limits}
        self._standings = {name: standing for name, standing in self._standings.items() if name in same}

    # -- acceptance -----------------------------------------------------------------------------------------------

    async def ready(self, key: Key | None) -> None:
        """The key's spending of before is known. Raises BadRequest (503) while it cannot be."""
        if key is None or key.name not in self._keys or key.name in self._standings:
            return
        async with self._reading:
            if key.name not in self._standings:
                spent = await self._spent(key) if key.limits.budgets else ()
                self._standings[key.name] = Standing(key.limits, spent, self.wall())

    async def _spent(self, key: Key) -> tuple[int, ...]:
        assert self._ledger is not None, "the configuration wants one"
        since = [budget.began(self.wall()) for budget in key.limits.budgets]
        try:
            return await asyncio.to_thread(self._ledger.spent, key.name, since)
        except StoreError as error:
            logger.error("what the key %s has spent is not known: %s", key.name, error)
            message = "what this key has spent is not known now; try again later"
            raise BadRequest(message, status=503, code="ledger_unavailable") from None

    async def admitted(self, key: Key | None, plan: Plan) -> Plan:
        """The plan of a request that may be served; what it needs is reserved. Raises BadRequest (403, 429). `ready`
        comes before it."""
        standing = self._standings.get(key.name) if key is not None else None
        if key is None or standing is None:
            return plan
        rates = self._rates(key, plan) if key.limits.budgets and self._prices is not None else {}
        prompt, most = asked(plan.request)
        first = next(iter(rates.values()), None)
        cost = 0 if first is None else first.cost(Tokens(input=prompt))
        tokens = standing.fitting(prompt + most)
        levels = None
        if self.sharing is not None:
            standing.turn(self.wall())
            levels = await self.sharing.ask(key.name, plan.stream, standing, tokens, cost)
        now, wall = self._clock(), self.wall()
        refusal = standing.refusal(now, wall, tokens, cost) if levels is None else levels.refusal
        if refusal is not None:
            raise _refused(key, refusal, _encoded(told(standing, now)))
        grant = Grant(self, key.name, standing.reserve(now, wall, tokens, cost), prompt, rates)
        self._grants[plan.stream] = grant
        if self.sharing is not None:
            self.sharing.begun(key.name, plan.stream, standing, levels, tokens)
        allowance = grant if rates else None
        return msgspec.structs.replace(plan, allowance=allowance, told=_encoded(told(standing, now)))

    def _rates(self, key: Key, plan: Plan) -> dict[str, Rates]:
        rates: dict[str, Rates] = {}
        tier = tier_of(plan.request)
        for way in plan.ways:
            assert self._prices is not None
            price = self._prices.find(*way.name.split("/", 1))
            if price is None:
                message = f"the key {key.name!r} has a budget, and {way.name} has no price that could be held to it"
                raise BadRequest(message, status=403, code="model_not_priced", param="model")
            rates[way.name] = price.rates_for(tier)[0]
        return rates

    def heard_by(self, stream: str, feed: Callable[[Input], None]) -> None:
        """Who is told when it is known whether the stream may go on."""
        grant = self._grants.get(stream)
        if grant is not None:
            grant.heard_by(feed)

    def released(self, stream: str) -> None:
        """The stream does not begin after all."""
        grant = self._grants.pop(stream, None)
        if grant is not None:
            self._settle(stream, grant, 0, 0)

    def _settle(self, stream: str, grant: Grant, tokens: int, cost: int) -> None:
        grant.reservation.settle(self._clock(), tokens, cost)
        if self.sharing is not None:
            self.sharing.over(grant.key, stream, grant.reservation.standing)

    # -- the end --------------------------------------------------------------------------------------------------

    def record(self, summary: Summary) -> None:
        """A stream is over: the next one may come. What it has used is corrected by its row."""
        try:
            self._recorder.record(summary)
        finally:
            grant = self._grants.get(summary.stream)
            if grant is not None:
                grant.heard_by(None)
                self._settle(summary.stream, grant, *grant.used(summary))
                if self._prices is None:
                    del self._grants[summary.stream]

    def settled(self, row: Row) -> None:
        """What the row says counts."""
        grant = self._grants.pop(row.stream, None)
        if grant is not None:
            tokens, cost = row_used(row)
            self._settle(row.stream, grant, tokens, grant.reservation.cost if cost is None else cost)

    def start(self) -> None:
        """Begin, unless it has begun; on the loop that serves."""
        if self.sharing is not None:
            self.sharing.start()

    async def close(self) -> None:
        """Tell the other gateways what is left."""
        if self.sharing is not None:
            await self.sharing.close()

    # -- what it knows --------------------------------------------------------------------------------------------

    @property
    def shared(self) -> bool | None:
        """Whether limits are shared with other gateways now; None: they are not to be."""
        return None if self.sharing is None else self.sharing.reachable

    @property
    def figures(self) -> list[tuple[str, int, dict[str, int]]]:
        """For the metrics: every key's open streams, and nano-dollars by period."""
        return [
            (name, standing.streams, {each.budget.period: each.spent for each in standing.spending})
            for name, standing in self._standings.items()
        ]


def asked(request: StreamRequest) -> tuple[int, int]:
    """About how many tokens a request has, and how many it asks for at the most; 0: it does not say."""
    prompt = sum(_size(bytes(value)) for value in request.body.values()) // BYTES_A_TOKEN
    fields = {name: request.body[name] for name in _MOST_OUTPUT if name in request.body}
    for outer, inner in (("generationConfig", "maxOutputTokens"), ("options", "num_predict")):
        if outer in request.body:
            nested = json.loads(bytes(request.body[outer]))
            if isinstance(nested, dict) and type(nested.get(inner)) is int:
                return prompt, max(0, nested[inner])
    values = [json.loads(bytes(raw)) for raw in fields.values()]
    return prompt, max((value for value in values if type(value) is int), default=0)


def _size(raw: bytes) -> int:
    """Bytes of a value, with files in it as if they had `_FILE_BYTES` each."""
    size = len(raw)
    for mark in _FILES if size > _FILE_BYTES else ():
        at = raw.find(mark)
        while at >= 0:
            begin = at + len(mark)
            end = raw.find(b'"', begin)
            size -= max(0, end - begin - _FILE_BYTES)
            at = raw.find(mark, max(begin, end))
    return size


def _refused(key: Key, refusal: Refusal, headers: Headers) -> BadRequest:
    wait = 1 if refusal.wait is None else max(1, math.ceil(refusal.wait))
    if refusal.limit == "budget_usd":
        message = f"what is left of the budget of the key {key.name!r} does not pay for this (keys: budget_usd)"
        code = "budget_exceeded"
    else:
        message = f"the key {key.name!r} is over its limit (keys: {refusal.limit}); try again in {wait} s"
        code = "rate_limit_exceeded"
    headers = ((b"retry-after", b"%d" % wait), *headers)
    return BadRequest(message, status=429, code=code, headers=headers)


def _encoded(headers: list[tuple[str, str]]) -> Headers:
    return tuple((name.encode(), value.encode()) for name, value in headers)


def _limited(keys: Iterable[Key]) -> dict[str, Key]:
    return {key.name: key for key in keys if key.limits != Limits()}
