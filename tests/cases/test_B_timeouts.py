"""B. Timeouts and stalls: every phase has its clock, and only output pushes it on."""

import time
from typing import Any

import pytest

from penstock.testing import frames
from penstock.testing.rig import Rig
from penstock.testing.steps import (
    accept,
    done,
    fin,
    forever,
    hdr,
    pause,
    ping,
    raw,
    role,
    tok,
    until_closed,
    usage,
    words,
)
from penstock.testing.upstream import Script, Step

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
ANSWER: Script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]
SLACK = 1.0
"""Seconds that a deadline may be late on a busy machine."""

SILENT: dict[str, Script | None] = {
    "no accept": None,
    "no headers": [accept(), until_closed()],
    "late headers": [hdr(delay=5), tok(3), fin(), done()],
    "no token": [hdr(), until_closed()],
    "role, no token": [hdr(), role(), until_closed()],
    "late token": [hdr(), role(), pause(5), tok(3), fin(), done()],
    "error body": [hdr(status=500, content_type="application/json"), raw(b'{"error"'), until_closed()],
}


# -- B1 -----------------------------------------------------------------------------------------------------------


@STREAM
@pytest.mark.parametrize("script", SILENT.values(), ids=SILENT)
async def test_B1_first_token_limit_leads_to_the_next_target(rig: Rig, stream: bool, script: Script | None) -> None:
    silent = rig.blackhole() if script is None else await rig.upstream(script)
    second = await rig.upstream(ANSWER)
    gateway = await rig.gateway(silent, second, connect=10, first_token=0.2)
    began = time.monotonic()
    answer = await gateway.ask(stream)
    first = second.requests[0].started - began
    assert 0.2 <= first < 0.2 + SLACK
    assert (answer.status, answer.text) == (200, words(3))
    assert answer.headers["x-penstock-target"] == "m2/model"
    record = await gateway.record()
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["first_token_timeout", None]
    if script is not None:
        await silent.requests[0].closed(within=1.0)


@STREAM
@pytest.mark.parametrize("script", SILENT.values(), ids=SILENT)
async def test_B1_first_token_limit_of_the_only_target(rig: Rig, stream: bool, script: Script | None) -> None:
    silent = rig.blackhole() if script is None else await rig.upstream(script)
    gateway = await rig.gateway(silent, connect=10, first_token=0.2)
    answer = await gateway.ask(stream)
    assert 0.2 <= answer.ended_at - answer.asked < 0.2 + SLACK
    assert answer.status == 504
    assert answer.error is not None
    assert (answer.error["type"], answer.error["code"]) == ("timeout_error", "first_token_timeout")
    assert (await gateway.record())["outcome"] == "first_token_timeout"
    if script is not None:
        await silent.requests[0].closed(within=1.0)


@STREAM
async def test_B1_connect_limit(rig: Rig, stream: bool) -> None:
    second = await rig.upstream(ANSWER)
    gateway = await rig.gateway(rig.blackhole(), second, connect=0.3, first_token=10, total=20)
    answer = await gateway.ask(stream)
    assert answer.text == words(3)
    assert answer.ended_at - answer.asked < 0.3 + SLACK
    record = await gateway.record()
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["connect_failed", None]


async def test_B1_every_attempt_has_the_whole_limit(rig: Rig) -> None:
    silent = await rig.upstream([accept(), until_closed()])
    slow = await rig.upstream([hdr(delay=0.1), role(), tok(3), fin(), done()])
    gateway = await rig.gateway(silent, slow, first_token=0.2)
    answer = await gateway.ask()
    assert (answer.status, answer.text) == (200, words(3))


async def test_B1_failover_after_an_early_head(rig: Rig) -> None:
    silent, second = await rig.upstream([hdr(), role(), until_closed()]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(silent, second, first_token=0.3, commit_after=0.1)
    answer = await gateway.ask()
    assert (answer.status, answer.text, answer.marks) == (200, words(3), 1)
    await silent.requests[0].closed(within=1.0)


async def test_B1_after_an_early_head_the_error_is_a_frame(rig: Rig) -> None:
    silent = await rig.upstream([hdr(), role(), until_closed()])
    gateway = await rig.gateway(silent, first_token=0.3, commit_after=0.1)
    answer = await gateway.ask()
    assert (answer.status, answer.ended, answer.marks) == (200, "clean", 0)
    assert answer.error is not None
    assert (answer.error["code"], answer.error["status"]) == ("first_token_timeout", 504)


# -- B2 -----------------------------------------------------------------------------------------------------------

NO_PROGRESS: dict[str, Step] = {
    "comment": ping(),
    "ping event": raw(b'event: ping\ndata: {"type":"ping"}\n\n'),
    "role": role(),
    "empty content": raw(frames.chunk("")),
    "empty delta": raw(frames.delta({})),
    "empty reasoning": raw(frames.reasoning("")),
    "no choices": raw(frames.frame({"id": "c1", "choices": []})),
    "usage so far": raw(frames.delta({}, usage={"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3})),
    "blank lines": raw(b"\n\n"),
    "half a frame": raw(b"x"),
}


@pytest.mark.parametrize("step", NO_PROGRESS.values(), ids=NO_PROGRESS)
async def test_B2_liveness_is_no_first_token(rig: Rig, step: Step) -> None:
    alive, second = await rig.upstream([hdr(), role(), forever(step, pause(0.03))]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(alive, second, first_token=0.2)
    answer = await gateway.ask()
    assert answer.text == words(3)
    assert answer.ended_at - answer.asked < 0.2 + SLACK
    await alive.requests[0].closed(within=1.0)
    assert (await gateway.record())["attempts"][0]["outcome"] == "first_token_timeout"


@pytest.mark.parametrize("step", NO_PROGRESS.values(), ids=NO_PROGRESS)
async def test_B2_liveness_is_no_further_token(rig: Rig, step: Step) -> None:
    alive = await rig.upstream([hdr(), role(), tok(5), forever(step, pause(0.03))])
    gateway = await rig.gateway(alive, between_tokens=0.2)
    answer = await gateway.ask()
    assert answer.ended_at - answer.asked < 0.2 + SLACK
    assert answer.error is not None
    assert answer.error["code"] == "stalled"
    await alive.requests[0].closed(within=1.0)
    assert (await gateway.record())["outcome"] == "stalled"


OUTPUT: dict[str, Step] = {
    "text": tok(1),
    "reasoning": raw(frames.reasoning("hm")),
    "tool arguments": raw(frames.tool(arguments="[")),
    "refusal": raw(frames.delta({"refusal": "no"})),
}


@STREAM
@pytest.mark.parametrize("step", OUTPUT.values(), ids=OUTPUT)
async def test_B2_all_output_is_progress(rig: Rig, step: Step, stream: bool) -> None:
    rounds = [step, pause(0.1)] * 5
    upstream = await rig.upstream([hdr(), role(), *rounds, fin(), done()])
    gateway = await rig.gateway(upstream, first_token=0.4, between_tokens=0.4)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.error, answer.ended) == (200, None, "clean")


# -- B3 -----------------------------------------------------------------------------------------------------------


async def test_B3_stall(rig: Rig) -> None:
    upstream, second = await rig.upstream([hdr(), role(), tok(20), until_closed()]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, second, between_tokens=0.2)
    answer = await gateway.ask()
    assert (answer.status, answer.ended, answer.finishes, answer.marks) == (200, "clean", [], 0)
    assert "".join(delta.get("content") or "" for delta in answer.deltas) == words(20)
    assert answer.error is not None
    assert (answer.error["type"], answer.error["code"], answer.error["status"]) == ("timeout_error", "stalled", 504)
    assert 0.2 <= answer.ended_at - answer.asked < 0.2 + SLACK
    await upstream.requests[0].closed(within=1.0)
    record = await gateway.record()
    assert (record["outcome"], record["token_events"], record["committed"]) == ("stalled", 20, True)
    assert second.requests == []


async def test_B3_stall_of_a_folded_answer(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(20), until_closed()])
    gateway = await rig.gateway(upstream, between_tokens=0.2)
    answer = await gateway.ask(stream=False)
    assert answer.status == 504
    assert answer.error is not None
    assert answer.error["code"] == "stalled"
    await upstream.requests[0].closed(within=1.0)


async def test_B3_stall_inside_a_frame(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(2), raw(b'data: {"choices":[{"delta":{"con'), until_closed()])
    gateway = await rig.gateway(upstream, between_tokens=0.2)
    answer = await gateway.ask()
    assert answer.error is not None
    assert answer.error["code"] == "stalled"
    assert "".join(delta.get("content") or "" for delta in answer.deltas) == words(2)


async def test_B3_many_stalled_streams_hold_nobody_up(rig: Rig) -> None:
    upstream = await rig.upstream(*[[hdr(), tok(1), until_closed()]] * 50, ANSWER)
    gateway = await rig.gateway(upstream, between_tokens=0.8)
    clients = [await gateway.open() for _ in range(50)]
    for client in clients:
        await client.events(1)
    answer = await gateway.ask()
    assert answer.text == words(3)
    assert answer.ended_at - answer.asked < SLACK
    for client in clients:
        answer = await client.answer()
        assert answer.error is not None
        assert answer.error["code"] == "stalled"


# -- B4 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_B4_total_ends_with_a_word(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream([hdr(), role(), forever(tok(1, gap=0.05))])
    gateway = await rig.gateway(upstream, total=0.8)
    answer = await gateway.ask(stream)
    assert 0.8 <= answer.ended_at - answer.asked < 0.8 + SLACK
    assert answer.ended == "clean"
    assert answer.error is not None
    assert (answer.error["code"], answer.error["status"]) == ("max_duration", 504)
    assert answer.status == (200 if stream else 504)
    await upstream.requests[0].closed(within=1.0)
    assert (await gateway.record())["outcome"] == "max_duration"


async def test_B4_without_a_total_a_healthy_stream_goes_on(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(30, gap=0.04), fin(), done()])
    gateway = await rig.gateway(upstream, first_token=0.5, between_tokens=0.5, total=None)
    answer = await gateway.ask()
    assert (answer.text, answer.marks, answer.ended) == (words(30), 1, "clean")


# -- B8 -----------------------------------------------------------------------------------------------------------

LIMITS: dict[str, tuple[Script, dict[str, float], str]] = {
    "first_token": ([hdr(), role(), until_closed()], {"first_token": 0.2}, "first_token_timeout"),
    "between_tokens": ([hdr(), tok(2), until_closed()], {"between_tokens": 0.2}, "stalled"),
    "total": ([hdr(), forever(tok(1, gap=0.05))], {"total": 0.3}, "max_duration"),
}


@pytest.mark.parametrize(
    ("stream", "options"),
    [(True, {}), (True, {"stream_options": {"include_usage": True}}), (False, {}), (None, {})],
    ids=["streamed", "streamed with usage", "folded", "absent"],
)
@pytest.mark.parametrize(("script", "limit", "outcome"), LIMITS.values(), ids=LIMITS)
async def test_B8_a_limit_means_the_same_everywhere(
    rig: Rig, stream: bool | None, options: dict[str, Any], script: Script, limit: dict[str, float], outcome: str
) -> None:
    upstream = await rig.upstream(script)
    gateway = await rig.gateway(upstream, **limit)
    answer = await gateway.ask(stream, **options)
    assert answer.error is not None
    assert answer.error["code"] == outcome
    assert (await gateway.record())["outcome"] == outcome


# -- B9 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_B9_the_end_does_not_wait_for_the_provider(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), fin(), done(), pause(60)])
    gateway = await rig.gateway(upstream, settle=0.3)
    answer = await gateway.ask(stream)
    seen = upstream.requests[0]
    assert (answer.text, answer.ended) == (words(3), "clean")
    assert answer.ended_at - seen.writes[-1][0] < 0.2
    await seen.closed(within=0.3 + SLACK)
    assert (await gateway.record())["outcome"] == "completed"


@STREAM
async def test_B9_late_usage_is_booked(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), fin(), done(), pause(0.1), usage(7, 3), pause(60)])
    gateway = await rig.gateway(upstream, settle=0.5)
    answer = await gateway.ask(stream)
    assert answer.ended_at - upstream.requests[0].started < 0.1 + SLACK
    record = await gateway.record()
    assert (record["outcome"], record["usage"]["input"], record["usage"]["output"]) == ("completed", 7, 3)


async def test_B9_a_connection_read_to_its_end_serves_again(rig: Rig) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    for _ in range(3):
        assert (await gateway.ask()).text == words(3)
        await gateway.record()
    assert len(upstream.lines) == 1


async def test_B9_a_connection_that_hangs_does_not(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(3), fin(), done(), pause(60)], ANSWER)
    gateway = await rig.gateway(upstream, settle=0.1)
    await gateway.ask()
    await gateway.record()
    assert (await gateway.ask()).text == words(3)
    assert upstream.requests[0].closed_at is not None
