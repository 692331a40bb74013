"""What the keys of all gateways use, in Redis or Valkey: streams, requests, tokens, money.

Per key: ``penstock:limits:{<key>}:streams`` has the open streams by the instant at which they count no more, unless
their gateway says that they go on; ``…:requests`` and ``…:tokens`` are buckets, a level and its instant;
``…:day:<began>`` and ``…:month:<began>`` what was spent, in nano-dollars. Instants are those of the server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from penstock.policy.limits import Limits, Refusal
from penstock.policy.shared_limits import LEASE, Budgeted, Failed, Levels, Use, Wish

TIMEOUT = 0.5
"""Seconds for an answer: a request waits for it."""


class RedisLimits:
    """A connection to the store."""

    def __init__(self, url: str):
        self._redis: Any = redis.Redis.from_url(
            url, protocol=2, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, single_connection_client=True
        )

    async def exchange(self, uses: Sequence[Use], wishes: Sequence[Wish]) -> tuple[list[Levels], list[Levels]]:
        """Tell what was used, then ask, in one round trip. Raises Failed."""
        pipe = self._redis.pipeline(transaction=False)
        for use in uses:
            keys = _keys(use.key, use.budgets)
            values = [*_limits(use.limits), use.requests, use.tokens, len(use.ended), *use.ended, len(use.open)]
            pipe.eval(_USE, len(keys), *keys, *_budgets(use.budgets), *values, *use.open)
        for wish in wishes:
            keys = _keys(wish.key, wish.budgets)
            values = [*_limits(wish.limits), wish.stream, wish.tokens]
            pipe.eval(_WISH, len(keys), *keys, *_budgets(wish.budgets), *values)
        if not uses and not wishes:
            pipe.ping()
        try:
            found = [_levels(each) for each in await pipe.execute() if isinstance(each, list)]
        except (RedisError, OSError, TimeoutError) as error:
            raise Failed(str(error) or type(error).__name__) from error
        return found[: len(uses)], found[len(uses) :]

    async def close(self) -> None:
        """Let go."""
        await self._redis.aclose()


def _keys(key: str, budgets: Sequence[Budgeted]) -> list[str]:
    names = ["streams", "requests", "tokens", *(budget.period for budget in budgets)]
    return [f"penstock:limits:{{{key}}}:{name}" for name in names]


def _budgets(budgets: Sequence[Budgeted]) -> list[object]:
    values: list[object] = []
    for budget in budgets:
        values += [budget.amount, budget.known, budget.more, int(budget.ends)]
    return values


def _limits(limits: Limits) -> list[object]:
    set_ = (limits.max_streams, limits.requests_per_minute, limits.tokens_per_minute)
    return [LEASE, *(-1 if limit is None else limit for limit in set_)]


def _levels(found: list[bytes]) -> Levels:
    limit, wait, requests, tokens, *spent = (each.decode() for each in found)
    return Levels(
        refusal=Refusal(limit, float(wait) if wait else None) if limit else None,
        requests=float(requests) if requests else None,
        tokens=float(tokens) if tokens else None,
        spent=tuple(map(int, spent)),
    )


_COMMON = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local at = 4 * (#KEYS - 3)
local lease, most = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
local limits = {0, tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])}
at = at + 4
local function level(place)
    local kept = redis.call('HMGET', KEYS[place], 'level', 'at')
    if not kept[1] then return limits[place] end
    return math.min(limits[place], kept[1] + (now - kept[2]) * limits[place] / 60)
end
local function put(place, value)
    value = math.min(limits[place], value)
    redis.call('HSET', KEYS[place], 'level', value, 'at', string.format('%.6f', now))
    redis.call('EXPIRE', KEYS[place], math.ceil((limits[place] - value) * 60 / limits[place]) + 1)
end
local function lasts(stream)
    redis.call('ZADD', KEYS[1], now + lease, stream)
    redis.call('EXPIRE', KEYS[1], math.ceil(lease) + 1)
end
local function levels(limit, wait)
    local out = {limit, wait, '', ''}
    for place = 2, 3 do
        if limits[place] > 0 then out[place + 1] = tostring(level(place)) end
    end
    for place = 4, #KEYS do out[place + 1] = redis.call('GET', KEYS[place]) end
    return out
end
for place = 4, #KEYS do
    local first = 4 * (place - 4)
    if redis.call('EXISTS', KEYS[place]) == 0 then
        redis.call('SET', KEYS[place], ARGV[first + 2])
        redis.call('EXPIREAT', KEYS[place], ARGV[first + 4] + 3600)
    end
end
"""
_USE = (
    _COMMON
    + """
for place = 2, 3 do
    local amount = tonumber(ARGV[at + place - 1])
    if limits[place] > 0 and amount ~= 0 then put(place, level(place) - amount) end
end
at = at + 3
local count = tonumber(ARGV[at])
for number = at + 1, at + count do redis.call('ZREM', KEYS[1], ARGV[number]) end
at = at + count + 1
for number = at + 1, at + tonumber(ARGV[at]) do lasts(ARGV[number]) end
for place = 4, #KEYS do
    redis.call('INCRBY', KEYS[place], ARGV[4 * (place - 4) + 3])
end
return levels('', '')
"""
)
_WISH = (
    _COMMON
    + """
local stream, tokens = ARGV[at + 1], tonumber(ARGV[at + 2])
for place = 4, #KEYS do
    local first = 4 * (place - 4)
    if tonumber(redis.call('GET', KEYS[place])) >= tonumber(ARGV[first + 1]) then
        return levels('budget_usd', tostring(math.max(0, ARGV[first + 4] - now)))
    end
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if most >= 0 and redis.call('ZCARD', KEYS[1]) >= most then return levels('max_streams', '') end
local names, amounts = {'', 'requests_per_minute', 'tokens_per_minute'}, {0, 1, tokens}
for place = 2, 3 do
    local lacking = amounts[place] - level(place)
    if limits[place] > 0 and lacking > 0 then
        return levels(names[place], tostring(lacking * 60 / limits[place]))
    end
end
for place = 2, 3 do
    if limits[place] > 0 then put(place, level(place) - amounts[place]) end
end
lasts(stream)
return levels('', '')
"""
)
