"""Leases of a budget that gateways share: a real Redis, rounds in every order, and chunks in the midst of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from penstock.policy.limits import Budget, Limits, Reservation, Standing
from penstock.policy.shared_limits import Levels, Use, Wish
from penstock.server.sharing import Sharing
from penstock.store.redis_limits import RedisLimits
from penstock.testing.redis_server import RedisServer

WALL = 1_800_000_000.0
"""In 2027: what Redis keeps of that day outlasts the test."""
CHUNK = 50


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server


@pytest.fixture
async def worlds(redis: RedisServer) -> AsyncIterator[Callable[..., World]]:
    made: list[World] = []

    def world(amount: int, gateways: int = 1, seed: int = 0) -> World:
        made.append(World(redis.url, amount, gateways, seed))
        return made[-1]

    yield world
    for one in made:
        await one.close()


class Slow:
    """A store between whose question and answer the world goes on."""

    def __init__(self, url: str, meanwhile: Callable[[], None]):
        self._store = RedisLimits(url)
        self._meanwhile = meanwhile

    async def exchange(self, uses: list[Use], wishes: list[Wish]) -> tuple[list[Levels], list[Levels]]:
        self._meanwhile()
        answer = await self._store.exchange(uses, wishes)
        self._meanwhile()
        return answer

    async def close(self) -> None:
        await self._store.close()


class Flow:
    """A stream: it has cost so much, and goes on, waits, or has ended."""

    def __init__(self, number: int, reservation: Reservation, sharing: Sharing):
        self.number = number
        self.state = "goes on"
        self._reservation = reservation
        self._sharing = sharing

    @property
    def cost(self) -> int:
        return self._reservation.cost

    def chunk(self, cost: int) -> None:
        if self.state == "goes on":
            self._reservation.spend(self._reservation.cost + cost)
            self._look()

    def _look(self) -> None:
        lasts = self._reservation.lasts(WALL)
        self.state = {True: "goes on", None: "waits", False: "ended"}[lasts]
        if lasts is False:
            self._sharing.over("a", f"st_{self.number}", self._reservation.standing)
        elif lasts is None or self._reservation.standing.low:
            self._sharing.renew("a", self._look if lasts is None else None)


class World:
    """Gateways whose streams are all of one key with a budget."""

    def __init__(self, url: str, amount: int, gateways: int, seed: int):
        self.random = Random(seed)
        self.limits = Limits(budgets=(Budget("day", amount),))
        self.gateways = [Sharing(Slow(url, self.some_chunks), lambda: 0.0) for _ in range(gateways)]
        self.standings = [Standing(self.limits, (0,), WALL) for _ in self.gateways]
        self.flows: list[Flow] = []

    def some_chunks(self) -> None:
        for _ in range(self.random.randint(0, 6)):
            if self.flows:
                self.random.choice(self.flows).chunk(self.random.randint(1, CHUNK))

    async def round(self) -> None:
        await self.random.choice(self.gateways)._round()

    async def begin(self, cost: int) -> bool:
        place = self.random.randrange(len(self.gateways))
        sharing, standing, number = self.gateways[place], self.standings[place], len(self.flows)
        levels, _ = await asyncio.gather(sharing.ask("a", f"st_{number}", standing, 0, cost), sharing._round())
        assert levels is not None
        if levels.refusal is None:
            self.flows.append(Flow(number, standing.reserve(0, WALL, 0, cost), sharing))
            sharing.begun("a", f"st_{number}", standing, levels, 0)
        return levels.refusal is None

    @property
    def spent(self) -> int:
        return sum(flow.cost for flow in self.flows)

    async def close(self) -> None:
        for gateway in self.gateways:
            await gateway.close()


@pytest.mark.parametrize("seed", range(8))
async def test_H11_what_gateways_spend_together_is_the_budget_and_at_most_a_chunk_a_stream(worlds, seed):
    amount = 3_000
    world = worlds(amount, 3, seed)
    for _ in range(20):
        await world.begin(cost=10)
        await world.round()
    for _ in range(2_000):
        world.some_chunks()
        await world.round()
        if all(flow.state == "ended" for flow in world.flows):
            break
    assert {flow.state for flow in world.flows} == {"ended"}
    assert amount <= world.spent <= amount + CHUNK * len(world.flows)
    assert not await world.begin(cost=1)


async def test_no_lease_is_kept_by_a_gateway_without_streams(worlds, redis):
    world = worlds(1_600)
    assert await world.begin(cost=0)
    other = worlds(1_600)
    assert await other.begin(cost=0)
    held = await redis.say("HLEN penstock:limits:{a}:day:1799971200:leases")
    assert held.strip() == b":2"
    world.gateways[0].over("a", "st_0", world.standings[0])
    await world.round()
    assert (await redis.say("HLEN penstock:limits:{a}:day:1799971200:leases")).strip() == b":1"


async def test_a_prompt_that_what_is_left_does_not_pay_for_is_refused(worlds):
    world = worlds(100, seed=5)
    assert not await world.begin(cost=101)
    assert await world.begin(cost=60)
    assert not await world.begin(cost=60)
    assert world.spent >= 60


async def test_without_the_store_those_who_wait_go_by_what_the_gateway_knows(worlds, redis):
    world = worlds(1_000)
    assert await world.begin(cost=0)
    (flow,) = world.flows
    flow.chunk(900)
    assert flow.state == "waits", "its lease is a sixteenth"
    await redis.kill()
    await world.round()
    assert flow.state == "goes on"
    flow.chunk(100)
    assert flow.state == "ended"
