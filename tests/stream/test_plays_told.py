"""Plays about what a client is told of an answer that Penstock ends: its finish, its identity, its usage."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from penstock.framing.sse import EventReader
from penstock.stream.telling import tell
from penstock.testing.playbook import (
    ANY,
    BYTE_METER,
    DONE,
    SSE,
    Outcome,
    Play,
    Send,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    finish,
    plan,
    reasoning,
    role,
    streaming,
    tool,
    usage,
    waiting,
)
from penstock.usage import Usage

PROMPT = 70


def metered(**options: Any) -> Any:
    made = plan(meter=BYTE_METER, **{"include_usage": True} | options)
    return msgspec.structs.replace(made, prompt=lambda: PROMPT)


def stopped(play: Play) -> list[dict[str, Any]]:
    """What the client was sent by a stop."""
    before = len(play.body)
    play.give(Stop()).passing_over()
    assert play.body.endswith(DONE)
    return [json.loads(event.data) for event in EventReader().feed(play.body[before:]) if event.data != "[DONE]"]


def tokens(told: dict[str, Any]) -> tuple[int, int]:
    return told["usage"]["prompt_tokens"], told["usage"]["completion_tokens"]


def test_the_last_chunks_are_like_the_providers_own():
    first = chunk("Hi", created=1700, model="served-7", id="c9")
    play = waiting(metered()).give(UpstreamBytes(0, first)).passing_over()
    last, used = stopped(play)
    own = {"id": "c9", "object": "chat.completion.chunk", "created": 1700, "model": "served-7"}
    assert last == {**own, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    assert used == {**own, "choices": [], "usage": used["usage"]}
    assert tokens(used) == (PROMPT, 2)


def test_every_choice_that_is_open_gets_its_finish():
    play = streaming(metered()).give(UpstreamBytes(0, chunk("b", choice=1) + chunk("c", choice=2) + finish(choice=1)))
    *finishes, _ = stopped(play.passing_over())
    assert [choice["index"] for each in finishes for choice in each["choices"]] == [0, 2]


def test_usage_that_was_told_is_not_told_again():
    play = streaming(metered()).give(UpstreamBytes(0, finish() + usage(9, 2))).passing_over()
    assert stopped(play) == []


def test_who_did_not_ask_is_told_none():
    (last,) = stopped(streaming(metered(include_usage=False)))
    assert "usage" not in last


def test_without_metering_none_is_made_up():
    (last,) = stopped(streaming(plan(include_usage=True)))
    assert "usage" not in last


def test_a_whole_answer_tells_it_too():
    play = streaming(metered(stream=False, include_usage=False), "Hello").give(Stop()).passing_over()
    assert tokens(json.loads(play.body)) == (PROMPT, 5)


def test_thinking_and_calls_count():
    play = streaming(metered()).give(UpstreamBytes(0, reasoning("hmmm") + tool(0, id="t", name="look", arguments="{}")))
    _, used = stopped(play.passing_over())
    assert tokens(used) == (PROMPT, 2 + 4 + 6)
    assert used["usage"]["completion_tokens_details"] == {"reasoning_tokens": 4}


def test_a_report_that_is_behind_the_text_is_completed():
    play = streaming(metered()).give(UpstreamBytes(0, usage(9, 1) + chunk(" you"))).passing_over()
    play.give(Stop()).passing_over()
    play.expect_account(told=Usage(9, 6), usage=Usage(9, 1))


def test_a_report_that_is_ahead_of_it_stands():
    play = streaming(metered()).give(UpstreamBytes(0, chunk("!", usage={"prompt_tokens": 9, "completion_tokens": 50})))
    _, used = stopped(play.passing_over())
    assert tokens(used) == (9, 50)
    play.expect_account(told=None)


def test_before_anything_was_asked_nothing_was_used():
    play = Play(metered(retries=1)).start().passing_over().give(UpstreamOpened(0), UpstreamHead(0, 503, SSE))
    play.give(UpstreamEnded(0, clean=True)).passing_over().give(Stop()).passing_over()
    play.expect_account(outcome=Outcome.STOPPED)
    *_, used = [json.loads(one.data) for one in EventReader().feed(play.body) if one.data != "[DONE]"]
    assert tokens(used) == (PROMPT, 0), "the second target was asked"


def test_an_answer_that_was_gone_on_with_tells_both():
    play = streaming(metered(continues=True), "The answer").give(UpstreamEnded(0, clean=False)).passing_over()
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, role() + chunk(" is"))).passing_over()
    last, used = stopped(play)
    assert last["id"] == "c1"
    assert tokens(used) == (2 * PROMPT, len("The answer is"))


def test_stopped_at_its_seam_it_is_the_answer_that_had_begun():
    play = streaming(metered(continues=True), "The answer").give(UpstreamEnded(0, clean=False)).passing_over()
    last, used = stopped(play)
    assert (last["id"], last["choices"][0]["delta"]) == ("c1", {})
    assert tokens(used) == (PROMPT, len("The answer"))


def test_what_is_long_is_told_at_once_by_its_length():
    text = "word " * 20_000
    play = streaming(metered()).give(UpstreamBytes(0, chunk(text))).expect(Send(ANY))
    _, used = stopped(play)
    assert 2 + len(text) // 4 <= used["usage"]["completion_tokens"] < 2 + len(text)


def test_a_stream_that_asked_nobody_has_nothing_to_tell():
    made = metered()
    assert tell(made, made.account()) is None
