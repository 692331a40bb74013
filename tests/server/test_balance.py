"""Targets of equal rank share the streams, and a full provider is passed over: over real sockets."""

from __future__ import annotations

import itertools
from collections import Counter

import msgspec
import pytest

from penstock.config.values import Config, Route, Target
from penstock.drive.loads import Loads
from penstock.drive.targets import Targets
from penstock.errors import BadRequest
from penstock.policy.hedge import HedgeAfter
from penstock.server.balance import Balancer
from penstock.testing.rig import Rig, config, until
from penstock.testing.steps import accept, done, fin, hdr, st, tok, until_closed, usage, words
from penstock.testing.upstream import ScriptedUpstream, Step

ANSWER: list[Step] = [hdr(), tok(2), fin(), usage(9, 2), done()]
HELD: list[Step] = [hdr(), tok(1), until_closed()]
HEDGE = HedgeAfter(fixed=0.1)
EQUALS = (Target("m1", "model", 2.0), Target("m2", "model", tied=True), Target("m3", "model"))


def tied(upstreams: list[ScriptedUpstream], targets: tuple[Target, ...] = EQUALS, **options: object) -> Config:
    """A configuration in which the first two are equals."""
    made = config(upstreams, between_tokens=None, total=None)
    route = msgspec.structs.replace(made.routes[0], targets=targets[: len(upstreams)], **options)
    return msgspec.structs.replace(made, routes=(route,))


async def test_the_least_loaded_of_equals_is_asked(rig: Rig) -> None:
    upstreams = [await rig.upstream(HELD) for _ in range(3)]
    gateway = await rig.gateway(settings=tied(upstreams))
    clients = [await gateway.open() for _ in range(6)]
    for client in clients:
        await client.events(1)
    assert [len(upstream.requests) for upstream in upstreams] == [4, 2, 0]
    assert [gateway.metric("penstock_provider_streams", provider=name) for name in ("m1", "m2")] == [4, 2]
    for client in clients:
        client.close()
    await until(lambda: gateway.metric("penstock_provider_streams") == 0)


async def test_what_fails_at_one_goes_to_its_equal_before_the_next_rank(rig: Rig) -> None:
    upstreams = [await rig.upstream([st(500)]), await rig.upstream([st(503)]), await rig.upstream(ANSWER)]
    gateway = await rig.gateway(settings=tied(upstreams))
    answer = await gateway.ask()
    assert (answer.text, answer.headers["x-penstock-target"]) == (words(2), "m3/model")
    tried = [attempt["target"] for attempt in (await gateway.record())["attempts"]]
    assert sorted(tried[:2]) == ["m1/model", "m2/model"]


def test_weighted_shares_are_those_of_the_weights() -> None:
    chances = itertools.cycle((n + 0.5) / 300 for n in range(300))
    known = Targets()
    known.loads.begin("m2/model")  # It is not asked about loads.
    balancer = Balancer(known, lambda: next(chances))
    route = Route(name="m", targets=EQUALS, balance="weighted")
    seen = Counter(balancer.order(route, EQUALS, 0.0) for _ in range(300))
    assert seen == {(0, 1, 2): 200, (1, 0, 2): 100}


def test_a_plain_list_is_tried_in_order_and_asks_for_no_chance() -> None:
    def no_chance() -> float:
        raise AssertionError

    plain = tuple(Target(name, "model") for name in "abc")
    assert Balancer(Targets(), no_chance).order(Route(name="m", targets=plain), plain, 0.0) == (0, 1, 2)


def test_an_equal_keeps_its_rank_where_the_first_of_it_cannot_carry_the_request() -> None:
    route = Route(name="m", targets=(Target("x", "m"), *EQUALS[:2], Target("m3", "model", tied=True)))
    known = Targets()
    known.loads.begin("m2/model")
    assert Balancer(known, lambda: 0.9).order(route, route.targets[1:], 0.0)[0] == 2
    usable = (route.targets[0], *route.targets[2:])
    assert Balancer(known, lambda: 0.9).order(route, usable, 0.0) == (0, 2, 1)


def test_when_all_are_full_the_request_is_refused_with_the_keys_that_say_so() -> None:
    known = Targets(loads=Loads({"a": 1}))
    known.loads.begin("a/m")
    route = Route(name="m", targets=(Target("a", "m"), Target("a", "n")))
    with pytest.raises(BadRequest, match=r"\(providers\.a\.max_streams\); try again") as refused:
        Balancer(known, lambda: 0.5).order(route, route.targets, 0.0)
    assert (refused.value.status, refused.value.code) == (503, "overloaded")


async def test_a_full_provider_means_the_next_target(rig: Rig) -> None:
    first, second = await rig.upstream(HELD, ANSWER), await rig.upstream(ANSWER)
    gateway = await rig.gateway(first, second, provider={"max_streams": 1}, between_tokens=None)
    held = await gateway.open()
    await held.events(1)
    assert (await gateway.ask()).headers["x-penstock-target"] == "m2/model"
    assert gateway.metric("penstock_provider_full_total", provider="m1") == 1
    held.close()
    await first.requests[0].closed(within=1.0)
    assert (await gateway.ask()).headers["x-penstock-target"] == "m1/model"


async def test_a_failover_to_a_full_provider_is_not_made(rig: Rig) -> None:
    failing, full = await rig.upstream([st(500)]), await rig.upstream(HELD)
    gateway = await rig.gateway(failing, full, provider={"max_streams": 1}, between_tokens=None)
    held = await gateway.open()
    await held.events(1)
    answer = await gateway.ask()
    assert (answer.status, answer.headers["x-penstock-attempts"]) == (500, "1")
    assert len(full.requests) == 1
    held.close()


async def test_a_hedge_asks_no_full_provider(rig: Rig) -> None:
    made = config([await rig.upstream([accept(), until_closed()], ANSWER), full := await rig.upstream(HELD)])
    providers = (made.providers[0], msgspec.structs.replace(made.providers[1], max_streams=1))
    hedged = msgspec.structs.replace(made.routes[0], hedge=HEDGE)
    other = msgspec.structs.replace(made.routes[0], name="other", targets=(Target("m2", "model"),), hedge=None)
    gateway = await rig.gateway(settings=msgspec.structs.replace(made, providers=providers, routes=(hedged, other)))
    held = await gateway.open(model="other")
    await held.events(1)
    assert (await gateway.ask()).status == 504
    assert len(full.requests) == 1
    held.close()
