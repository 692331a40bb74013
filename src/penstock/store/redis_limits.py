"""What the keys of all gateways use, in Redis or Valkey: streams, requests, tokens, money.

Per key: ``penstock:limits:{<key>}:streams`` has the open streams by the instant at which they count no more, unless
their gateway says that they go on; ``…:requests`` and ``…:tokens`` are buckets, a level and its instant;
``…:day:<began>`` and ``…:month:<began>`` what was spent, in nano-dollars, and the same with ``:leases`` what gateways
may spend before they ask again, each with the instant at which that is over. Instants are those of the server.
"""

from __future__ import annotations

import secrets
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
        self._gateway = secrets.token_hex(8)
        self._redis: Any = redis.Redis.from_url(
            url, protocol=2, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, single_connection_client=True
        )

    async def exchange(self, uses: Sequence[Use], wishes: Sequence[Wish]) -> tuple[list[Levels], list[Levels]]:
        """Tell what was used, then ask, in one round trip. Raises Failed."""
        pipe = self._redis.pipeline(transaction=False)
        for use in uses:
            keys = _keys(use.key, use.budgets)
            values = [*self._limits(use.limits), use.requests, use.tokens, len(use.ended), *use.ended, len(use.open)]
            pipe.eval(_USE, len(keys), *keys, *_budgets(use.budgets), *values, *use.open)
        for wish in wishes:
            keys = _keys(wish.key, wish.budgets)
            values = [*self._limits(wish.limits), wish.stream, wish.tokens, wish.cost]
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

    def _limits(self, limits: Limits) -> list[object]:
        set_ = (limits.max_streams, limits.requests_per_minute, limits.tokens_per_minute)
        return [self._gateway, LEASE, *(-1 if limit is None else limit for limit in set_)]


def _keys(key: str, budgets: Sequence[Budgeted]) -> list[str]:
    periods = [name for budget in budgets for name in (budget.period, f"{budget.period}:leases")]
    names = ["streams", "requests", "tokens", *periods]
    return [f"penstock:limits:{{{key}}}:{name}" for name in names]


def _budgets(budgets: Sequence[Budgeted]) -> list[object]:
    values: list[object] = []
    for budget in budgets:
        values += [budget.amount, budget.known, budget.more, int(budget.ends), budget.keeps]
    return values


def _levels(found: list[bytes]) -> Levels:
    limit, wait, requests, tokens, *spent = (each.decode() for each in found)
    return Levels(
        refusal=Refusal(limit, float(wait) if wait else None) if limit else None,
        requests=float(requests) if requests else None,
        tokens=float(tokens) if tokens else None,
        spent=tuple(map(int, spent[::2])),
        leases=tuple(map(int, spent[1::2])),
    )


_COMMON = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local at = 5 * (#KEYS - 3) / 2
local gateway, lease, most = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
local limits = {0, tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])}
at = at + 5
local told = {}
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
    for place = 4, #KEYS, 2 do
        out[place + 1] = redis.call('GET', KEYS[place])
        out[place + 2] = string.format('%.0f', told[place] or 0)
    end
    return out
end
local function leased(place)
    local others, own, kept = 0, 0, redis.call('HGETALL', KEYS[place + 1])
    for number = 1, #kept, 2 do
        local amount, till = string.match(kept[number + 1], '(%S+) (%S+)')
        if kept[number] == gateway then own = tonumber(amount)
        elseif tonumber(till) > now then others = others + amount
        else redis.call('HDEL', KEYS[place + 1], kept[number]) end
    end
    return others, own
end
local function hold(place, amount)
    if amount <= 0 then redis.call('HDEL', KEYS[place + 1], gateway) return end
    redis.call('HSET', KEYS[place + 1], gateway, string.format('%.0f %.3f', amount, now + lease))
    redis.call('EXPIRE', KEYS[place + 1], math.ceil(lease) + 1)
end
local function share(left) return math.ceil(left / 16) end
for place = 4, #KEYS, 2 do
    local first = 5 * (place - 4) / 2
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
for place = 4, #KEYS, 2 do
    local first = 5 * (place - 4) / 2
    local more, keeps = tonumber(ARGV[first + 3]), tonumber(ARGV[first + 5])
    local spent = redis.call('INCRBY', KEYS[place], ARGV[first + 3])
    local left = ARGV[first + 1] - spent - leased(place)
    told[place] = keeps < 0 and 0 or math.max(0, math.min(left, math.max(keeps, share(left), 2 * more)))
    hold(place, told[place])
end
return levels('', '')
"""
)
_WISH = (
    _COMMON
    + """
local stream, tokens, cost = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
for place = 4, #KEYS, 2 do
    local first = 5 * (place - 4) / 2
    local unspent, needed = ARGV[first + 1] - redis.call('GET', KEYS[place]), math.max(1, cost)
    if unspent < needed then return levels('budget_usd', tostring(math.max(0, ARGV[first + 4] - now))) end
    if unspent - leased(place) < needed then return levels('budget_usd', '1') end
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
for place = 4, #KEYS, 2 do
    local others, own = leased(place)
    local left = ARGV[5 * (place - 4) / 2 + 1] - redis.call('GET', KEYS[place]) - others
    told[place] = math.max(0, math.min(left - own, cost + math.max(0, share(left) - own)))
    hold(place, own + told[place])
end
return levels('', '')
"""
)
