"""B. Timeouts over several attempts: who has how long, and who says so."""

import pytest

from penstock.policy.silence import SilenceRules
from penstock.testing import frames
from penstock.testing.rig import Rig, until
from penstock.testing.steps import (
    accept,
    done,
    err,
    fin,
    hdr,
    pause,
    role,
    st,
    tok,
    until_closed,
    usage,
    word,
    words,
)
from penstock.testing.upstream import Script, Step

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
ANSWER: Script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]
SLACK = 1.0
"""Seconds that a deadline may be late on a busy machine."""


# -- B7 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_B7_the_only_target_has_longer(rig: Rig, stream: bool) -> None:
    late = await rig.upstream([hdr(delay=0.6), role(), tok(3), fin(), done()])
    gateway = await rig.gateway(late, first_token=0.5)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.text) == (200, words(3))


@STREAM
async def test_B7_the_last_of_two_has_longer_and_the_first_has_not(rig: Rig, stream: bool) -> None:
    late: Script = [hdr(delay=0.6), role(), tok(3), fin(), done()]
    first, second = await rig.upstream(late), await rig.upstream(late)
    gateway = await rig.gateway(first, second, first_token=0.5)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.headers["x-penstock-target"]) == (200, "m2/model")
    assert 0.45 <= second.requests[0].started - first.requests[0].started < 0.6 + SLACK
    await first.requests[0].closed(within=1.0)


# -- B10 ----------------------------------------------------------------------------------------------------------


@STREAM
async def test_B10_the_total_holds_for_all_attempts(rig: Rig, stream: bool) -> None:
    targets = [await rig.upstream([accept(), until_closed()]) for _ in range(5)]
    gateway = await rig.gateway(*targets, first_token=0.3, total=0.7)
    answer = await gateway.ask(stream)
    assert answer.status == 504
    assert answer.ended_at - answer.asked < 0.7 + SLACK
    assert answer.headers["x-penstock-attempts"] == "3"
    record = await gateway.record()
    assert (record["outcome"], len(record["attempts"])) == ("max_duration", 3)
    await until(lambda: all(seen.over for target in targets for seen in target.requests))


@STREAM
async def test_B10_all_targets_overloaded(rig: Rig, stream: bool) -> None:
    busy: list[Step] = [st(529, {"error": {"message": "busy"}}, [("retry-after", "3")])]
    targets = [await rig.upstream(busy) for _ in range(3)]
    gateway = await rig.gateway(*targets)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.headers["retry-after"]) == (529, "3")
    assert answer.ended_at - answer.asked < 2.0


@STREAM
@pytest.mark.parametrize("name", ["x-penstock-timeout", "x-stainless-timeout"])
async def test_B10_the_clients_own_deadline_caps_the_total(rig: Rig, stream: bool, name: str) -> None:
    targets = [await rig.upstream([accept(), until_closed()]) for _ in range(3)]
    gateway = await rig.gateway(*targets, first_token=0.3, total=10)
    answer = await gateway.ask(stream, headers={name: "0.5"})
    assert 0.5 <= answer.ended_at - answer.asked < 0.5 + SLACK
    assert answer.error is not None
    assert (answer.status, answer.error["code"]) == (504, "max_duration")
    assert name in answer.error["message"]
    assert (await gateway.record())["outcome"] == "max_duration"
    assert targets[2].requests == []


@STREAM
async def test_B10_retries_end_in_time_and_with_the_providers_words(rig: Rig, stream: bool) -> None:
    targets = [await rig.upstream([st(529, {"error": {"message": "busy"}}, [("retry-after", "0.2")])]) for _ in "ab"]
    gateway = await rig.gateway(*targets, retries=10, total=1, health=False)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.headers["retry-after"]) == (529, "0.2")
    assert answer.ended_at - answer.asked < 1.0 + SLACK
    tried = [len(target.requests) for target in targets]
    assert tried[0] == tried[1] >= 2
    assert int(answer.headers["x-penstock-attempts"]) == sum(tried)


async def test_B10_while_it_waits_the_client_hears_of_it(rig: Rig) -> None:
    busy = st(503, {"error": {"message": "busy"}}, [("retry-after", "0.6")])
    gateway = await rig.gateway(await rig.upstream([busy], ANSWER), retries=1, commit_after=0.1, keepalive=0.1)
    answer = await gateway.ask()
    assert (answer.status, answer.text) == (200, words(3))
    assert answer.body.count(frames.COMMENT) >= 3
    assert [one["outcome"] for one in (await gateway.record())["attempts"]] == ["upstream_error", None]


async def test_B10_a_deadline_that_is_none_is_told_so(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(headers={"x-penstock-timeout": "soon"})
    assert answer.error is not None
    assert (answer.status, answer.error["code"]) == (400, "invalid_header")
    assert "x-penstock-timeout" in answer.error["message"]
    assert (await gateway.ask(headers={"x-stainless-timeout": "-1"})).text == words(3)


async def test_B11_an_error_is_an_end_too(rig: Rig) -> None:
    # No clock has to run out where the provider has said what there is to say.
    upstream = await rig.upstream([hdr(), role(), tok(1), err("overloaded_error", "busy"), pause(60)])
    gateway = await rig.gateway(upstream, between_tokens=30, total=60)
    answer = await gateway.ask()
    assert answer.ended_at - answer.asked < SLACK
    assert answer.error is not None
    assert answer.error["message"] == "busy"
    assert answer.deltas[-1]["content"] == word(0)
    await upstream.requests[0].closed(within=1.0)


# -- B3, B6 -------------------------------------------------------------------------------------------------------


@STREAM
async def test_B3_a_silence_that_is_too_long_for_this_target(rig: Rig, stream: bool) -> None:
    """The limit is learnt from the first stream; the second is called stalled by it, and the log says why."""
    steady = [hdr(), role(), tok(30, gap=0.02), fin(), done()]
    upstream = await rig.upstream(steady, [hdr(), role(), tok(3), until_closed()])
    rules = SilenceRules(floor=0.05, ceiling=60.0, least=20.0)
    gateway = await rig.gateway(upstream, silence=rules, total=30.0)
    assert (await gateway.ask(stream)).text == words(30)
    await gateway.ask(stream)
    usual, stalled = [await gateway.record(), await gateway.record()]
    assert (usual["outcome"], stalled["outcome"]) == ("completed", "stalled")
    assert "deadlines.between_tokens: auto, in its text: 99.9 % of " in stalled["reason"]
    assert stalled["attempts"][0]["reason"] == stalled["reason"]
