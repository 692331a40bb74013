"""B5, B6, B11: slow streams, limits of each route's own, and the same limits whatever the provider speaks."""

import time

import msgspec
import pytest
from wire_providers import PROVIDERS, Provider

from penstock.config.values import Config
from penstock.policy.deadlines import Deadlines
from penstock.policy.hedge import HedgeAfter
from penstock.policy.rate import MinRate
from penstock.testing import frames
from penstock.testing.rig import Rig, config
from penstock.testing.steps import cut, done, fin, forever, hdr, pause, raw, role, tok, until_closed, usage, words
from penstock.testing.upstream import Script, ScriptedUpstream, Step

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
WIRE = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
ANSWER: Script = [hdr(), role(), tok(20), fin(), usage(9, 20), done()]
DRIP: Script = [hdr(), role(), forever(tok(1, gap=0.15))]
RATE = MinRate(tokens=20.0, window=0.4)
SLACK = 1.0
"""Seconds that a deadline may be late on a busy machine."""


# -- B5 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_B5_a_drip_leads_to_the_next_target(rig: Rig, stream: bool) -> None:
    slow, second = await rig.upstream(DRIP), await rig.upstream(ANSWER)
    gateway = await rig.gateway(slow, second, min_rate=RATE)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.text, answer.error) == (200, words(20), None)
    assert (answer.headers["x-penstock-target"], answer.headers["x-penstock-attempts"]) == ("m2/model", "2")
    assert 0.4 <= second.requests[0].started - slow.requests[0].started < 0.4 + SLACK
    await slow.requests[0].closed(within=1.0)
    record = await gateway.record()
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["too_slow", None]
    assert "deadlines.min_rate" in record["attempts"][0]["reason"]
    assert gateway.metric("penstock_attempts_total", target="m1/model", outcome="too_slow") == 1


@STREAM
async def test_B5_the_only_target_drips_until_the_total(rig: Rig, stream: bool) -> None:
    gateway = await rig.gateway(slow := await rig.upstream(DRIP), min_rate=RATE, total=1.0)
    answer = await gateway.ask(stream)
    assert answer.error is not None
    assert answer.error["code"] == "max_duration"
    assert 1.0 <= answer.ended_at - answer.asked < 1.0 + SLACK
    await slow.requests[0].closed(within=1.0)
    assert (await gateway.record())["token_events"] >= 3


async def test_B5_of_two_that_drip_the_last_is_taken(rig: Rig) -> None:
    drip: list[Step] = [hdr(), role(), tok(6, gap=0.15), fin(), done()]
    slow, slower = await rig.upstream(drip), await rig.upstream(drip)
    gateway = await rig.gateway(slow, slower, min_rate=RATE)
    answer = await gateway.ask()
    assert (answer.text, answer.marks, answer.headers["x-penstock-target"]) == (words(6), 1, "m2/model")


async def test_B5_after_the_commit_a_stream_that_slows_down_goes_on(rig: Rig) -> None:
    fading, second = await rig.upstream([hdr(), tok(10), tok(5, gap=0.2), fin(), done()]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(fading, second, min_rate=RATE)
    answer = await gateway.ask()
    assert (answer.text, answer.marks, second.requests) == (words(15), 1, [])


async def test_B5_a_fast_stream_is_not_held_for_the_window(rig: Rig) -> None:
    fast: Script = [hdr(), tok(8), pause(0.3), tok(2), fin(), done()]
    gateway = await rig.gateway(await rig.upstream(fast), await rig.upstream(ANSWER), min_rate=RATE)
    client = await gateway.open()
    await client.events(8)
    before = time.monotonic()
    assert (await client.answer()).text == words(10)
    assert time.monotonic() - before > 0.15


async def test_B5_what_breaks_in_the_window_is_repaired_with_no_trace(rig: Rig) -> None:
    broken, second = await rig.upstream([hdr(), role(), tok(3), cut()]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(broken, second, min_rate=RATE)
    answer = await gateway.ask()
    assert answer.body == frames.role() + b"".join(frames.chunk(f"w{n} ") for n in range(20)) + (
        frames.finish() + frames.DONE
    )
    assert [attempt["outcome"] for attempt in (await gateway.record())["attempts"]] == ["upstream_cut", None]


async def test_B5_a_target_that_is_always_slow_is_left_out(rig: Rig) -> None:
    slow, second = await rig.upstream(DRIP), await rig.upstream(ANSWER)
    gateway = await rig.gateway(slow, second, min_rate=MinRate(tokens=50.0, window=0.1))
    for _ in range(7):
        assert (await gateway.ask()).headers["x-penstock-target"] == "m2/model"
    assert len(slow.requests) == 5
    assert gateway.metric("penstock_target_ejected", target="m1/model") == 1


async def test_B5_beside_a_hedge_the_faster_one_wins(rig: Rig) -> None:
    slow, second = await rig.upstream([hdr(delay=0.2), role(), *DRIP[2:]]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(slow, second, min_rate=RATE, hedge=HedgeAfter(fixed=0.1))
    answer = await gateway.ask()
    assert (answer.text, answer.headers["x-penstock-target"]) == (words(20), "m2/model")
    await slow.requests[0].closed(within=1.0)


@WIRE
@STREAM
async def test_B5_in_every_wire(rig: Rig, provider: Provider, stream: bool) -> None:
    drip = [raw(provider.start), forever(raw(provider.words[0]), pause(0.15))]
    slow, second = await rig.upstream([provider.head(), *drip]), await rig.upstream(provider.answer())
    gateway = await rig.gateway(slow, second, wire=provider.wire, min_rate=RATE)
    answer = await provider.speaker.ask(gateway, stream)
    told = provider.speaker.told(answer)
    # Three words are no drip where the answer is whole.
    assert (answer.status, told.text, told.error) == (200, words(3), None)
    await slow.requests[0].closed(within=1.0)
    assert [attempt["outcome"] for attempt in (await gateway.record())["attempts"]] == ["too_slow", None]


# -- B6 -----------------------------------------------------------------------------------------------------------


def two_routes(upstreams: list[ScriptedUpstream], quick: Deadlines, thinking: Deadlines) -> Config:
    """Routes ``m`` and ``thinking`` over the same targets, each with deadlines of its own."""
    made = config(upstreams)
    routes = [
        msgspec.structs.replace(made.routes[0], name=name, deadlines=deadlines)
        for name, deadlines in (("m", quick), ("thinking", thinking))
    ]
    return msgspec.structs.replace(made, routes=tuple(routes))


QUICK = Deadlines(first_token=0.3, between_tokens=0.6)
THINKING = Deadlines(first_token=1.2, between_tokens=0.3)
SLOW_START: Script = [hdr(), role(), pause(0.6), tok(3), fin(), done()]
THOUGHT = raw(frames.reasoning("hm"))


@STREAM
async def test_B6_each_route_has_its_own_first_token(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream(SLOW_START)
    gateway = await rig.gateway(settings=two_routes([upstream], QUICK, THINKING))
    answer = await gateway.ask(stream, model="m")
    assert answer.error is not None and answer.error["code"] == "first_token_timeout"
    answer = await gateway.ask(stream, model="thinking")
    assert (answer.status, answer.text) == (200, words(3))


PHASES: dict[str, tuple[str, list[Step], str]] = {
    # The limit in force is that of the phase: a pause over the one and under the other.
    "before a token, under first_token": ("thinking", [pause(0.6), tok(1)], "completed"),
    "before a token, over first_token": ("m", [pause(0.6), tok(1)], "first_token_timeout"),
    "after a token, under between_tokens": ("m", [tok(1), pause(0.45), tok(1)], "completed"),
    "after a token, over between_tokens": ("thinking", [tok(1), pause(0.6), tok(1)], "stalled"),
    "after a thought, under between_tokens": ("m", [THOUGHT, pause(0.45), tok(1)], "completed"),
    "after a thought, over between_tokens": ("thinking", [THOUGHT, pause(0.6), tok(1)], "stalled"),
    "from thought to text": ("thinking", [pause(0.6), THOUGHT, pause(0.1), THOUGHT, pause(0.1), tok(1)], "completed"),
}


@pytest.mark.parametrize(("route", "body", "outcome"), PHASES.values(), ids=PHASES)
async def test_B6_each_phase_has_its_own_limit(rig: Rig, route: str, body: list[Step], outcome: str) -> None:
    upstream = await rig.upstream([hdr(), role(), *body, fin(), done()])
    gateway = await rig.gateway(settings=two_routes([upstream], QUICK, THINKING))
    await gateway.ask(model=route)
    assert (await gateway.record())["outcome"] == outcome


# -- B11: B1 and B3 with each provider's wire -----------------------------------------------------------------------


@WIRE
@STREAM
async def test_B11_first_token_limit_in_every_wire(rig: Rig, provider: Provider, stream: bool) -> None:
    silent = await rig.upstream([provider.head(), raw(provider.start or b": \n\n"), until_closed()])
    second = await rig.upstream(provider.answer())
    gateway = await rig.gateway(silent, second, wire=provider.wire, first_token=0.2)
    began = time.monotonic()
    answer = await provider.speaker.ask(gateway, stream)
    told = provider.speaker.told(answer)
    assert (answer.status, told.text, told.error) == (200, words(3), None)
    assert 0.2 <= second.requests[0].started - began < 0.2 + SLACK
    await silent.requests[0].closed(within=1.0)
    assert [attempt["outcome"] for attempt in (await gateway.record())["attempts"]] == ["first_token_timeout", None]


@WIRE
@STREAM
async def test_B11_first_token_limit_of_the_only_target_in_every_wire(
    rig: Rig, provider: Provider, stream: bool
) -> None:
    silent = await rig.upstream([until_closed()])
    gateway = await rig.gateway(silent, wire=provider.wire, first_token=0.2)
    answer = await provider.speaker.ask(gateway, stream)
    told = provider.speaker.told(answer)
    assert (answer.status, told.successes) == (504, [])
    assert told.error is not None and "deadlines.first_token" in told.error["message"]
    assert (await gateway.record())["outcome"] == "first_token_timeout"


@WIRE
@STREAM
async def test_B11_a_stall_in_every_wire(rig: Rig, provider: Provider, stream: bool) -> None:
    upstream = await rig.upstream([*provider.begin(), until_closed()])
    gateway = await rig.gateway(upstream, wire=provider.wire, between_tokens=0.3)
    answer = await provider.speaker.ask(gateway, stream)
    told = provider.speaker.told(answer)
    assert answer.status == (200 if stream else 504)
    assert told.error is not None and "deadlines.between_tokens" in told.error["message"]
    assert told.successes == []
    assert 0.3 <= answer.ended_at - upstream.requests[0].started < 0.3 + SLACK
    await upstream.requests[0].closed(within=1.0)
    record = await gateway.record()
    assert (record["outcome"], record["token_events"]) == ("stalled", 3)


@WIRE
async def test_B11_pings_push_no_clock_on(rig: Rig, provider: Provider) -> None:
    alive = raw(b"\n" if provider.wire in ("ollama-chat", "cohere-v1") else b": ping\n\n")
    if "bedrock" in provider.wire:
        alive = raw(b"")
    upstream = await rig.upstream([*provider.begin(), forever(alive, pause(0.05))])
    gateway = await rig.gateway(upstream, wire=provider.wire, between_tokens=0.3)
    answer = await provider.speaker.ask(gateway)
    assert answer.ended_at - upstream.requests[0].started < 0.3 + SLACK
    assert (await gateway.record())["outcome"] == "stalled"
