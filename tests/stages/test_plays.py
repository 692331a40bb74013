"""Plays: what stages hold back, release and refuse, in virtual time, on the openai-chat wire."""

import pytest
from words import Word

from penstock.framing import sse
from penstock.stages.guards import MaxCharacters, Repetition, StopSequences
from penstock.stages.pipeline import StagesPlan
from penstock.stages.segments import Segmenting
from penstock.testing.frames import reasoning
from penstock.testing.playbook import (
    ANY,
    DONE,
    Close,
    Done,
    End,
    Head,
    Open,
    Outcome,
    Play,
    Record,
    Send,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    containing,
    error,
    finish,
    plan,
    role,
    tool,
    waiting,
)
from penstock.wire import json

WORD = StagesPlan(stages=(Word(),))
BLOCK = StagesPlan(stages=(Word(block=True),))
SSE = ((b"content-type", b"text/event-stream"),)


def ended(outcome: Outcome) -> tuple:
    return Record(ANY), Done(outcome)


def test_a_text_without_a_find_keeps_its_very_bytes():
    frames = role() + chunk("Hello") + chunk(" world") + finish() + DONE
    play = waiting(plan(stages=WORD)).give(UpstreamBytes(0, frames)).expect(Head(200, ANY), Send(frames), End())
    play.give(UpstreamEnded(0, True)).expect(Close(0, True), *ended(Outcome.COMPLETED))
    play.expect_account(redactions={}, token_events=2)


def test_a_word_over_three_deltas_is_held_and_replaced():
    play = waiting(plan(stages=WORD))
    play.give(UpstreamBytes(0, chunk("a SE"))).expect(Head(200, ANY), Send(chunk("a ")))
    play.at(1.5).give(UpstreamBytes(0, chunk("CR"))).expect()
    play.at(2.0).give(UpstreamBytes(0, chunk("ET b"))).expect(Send(chunk("[x] b")))
    play.give(UpstreamBytes(0, finish() + DONE)).expect(Send(finish() + DONE), End())
    play.give(UpstreamEnded(0, True)).expect(Close(0, True), *ended(Outcome.COMPLETED))
    play.expect_account(redactions={"word": 1})


def test_what_is_held_comes_before_the_finish():
    play = waiting(plan(stages=WORD))
    play.give(UpstreamBytes(0, chunk("a SEC"))).expect(Head(200, ANY), Send(chunk("a ")))
    play.give(UpstreamBytes(0, finish() + DONE)).expect(Send(chunk("SEC") + finish() + DONE), End())


def test_while_all_output_is_held_nothing_is_committed_and_failover_is_silent():
    play = waiting(plan(stages=WORD))
    play.give(UpstreamBytes(0, role() + chunk("SE"))).expect()
    play.give(UpstreamEnded(0, False)).expect(Close(0), Open(1, 1))
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, role() + chunk("CRET")))
    play.expect(Head(200, ANY), Send(role() + chunk("CRET")))


def test_held_text_pushes_the_deadlines_on_as_the_provider_sends_it():
    play = waiting(plan(stages=StagesPlan(whole=True), between_tokens=5.0, first_token=2.0, commit_after=None))
    for instant in (1.0, 4.0, 8.0):
        play.at(instant).give(UpstreamBytes(0, chunk("x"))).expect()
    play.expect_deadline(13.0)


def test_full_holds_all_keeps_alive_and_fails_over_to_its_last_word():
    play = waiting(plan(stages=StagesPlan(whole=True), commit_after=3.0, keepalive=4.0))
    play.at(1.0).give(UpstreamBytes(0, role() + chunk("one"))).expect()
    play.wait_until(3.0).expect(Head(200, ANY), Send(b": keep-alive\n\n"))
    play.wait_until(7.0).expect(Send(b": keep-alive\n\n"))
    play.give(UpstreamEnded(0, False)).expect(Close(0), Open(1, 1))
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, role() + chunk("two"))).expect()
    play.at(8.0).give(UpstreamBytes(1, finish() + DONE))
    play.expect(Send(role() + chunk("two") + finish() + DONE), End())
    play.give(UpstreamEnded(1, True)).expect(Close(1, True), *ended(Outcome.COMPLETED))
    play.expect_account(first_token=8.0)


def test_an_answer_longer_than_may_be_held_is_blocked():
    play = waiting(plan(stages=StagesPlan(whole=True, max_held=400)))
    play.give(UpstreamBytes(0, chunk("a") * 4))
    play.expect(Close(0), Head(400, ANY), Send(containing(b"delivery.max_held")), End(), *ended(Outcome.BLOCKED))


@pytest.mark.parametrize("stream", [True, False])
def test_a_block_before_the_commit_is_an_error_of_its_own_status(stream):
    play = waiting(plan(stages=BLOCK, stream=stream))
    play.give(UpstreamBytes(0, role() + chunk("SECRET")))
    play.expect(
        Close(0), Head(400, ANY), Send(containing(b'"code":"blocked"', b"it has the word")), End(),
        *ended(Outcome.BLOCKED),
    )  # fmt: skip


def test_a_block_in_the_stream_is_the_wires_own_finish_once():
    play = waiting(plan(stages=BLOCK))
    play.give(UpstreamBytes(0, chunk("good"))).expect(Head(200, ANY), Send(chunk("good")))
    play.give(UpstreamBytes(0, chunk(" and SEC"))).expect(Send(chunk(" and ")))
    play.give(UpstreamBytes(0, chunk("RET and more") + finish() + DONE))
    play.expect(Close(0), Send(finish("content_filter") + DONE), End(), *ended(Outcome.BLOCKED))
    assert b"SEC" not in play.body


def test_a_block_at_the_very_end_of_an_answer():
    play = waiting(plan(stages=BLOCK))
    play.give(UpstreamBytes(0, chunk("good"))).expect(Head(200, ANY), Send(chunk("good")))
    play.give(UpstreamBytes(0, chunk("SECRET") + finish() + DONE))
    play.expect(Close(0), Send(finish("content_filter") + DONE), End(), *ended(Outcome.BLOCKED))


def test_a_block_behind_an_early_head_is_a_finish_too():
    play = waiting(plan(stages=BLOCK, commit_after=1.0, keepalive=None))
    play.wait_until(1.0).expect(Head(200, ANY), Send(b": keep-alive\n\n"))
    play.give(UpstreamBytes(0, role() + chunk("SECRET")))
    play.expect(Close(0), Send(role() + finish("content_filter") + DONE), End(), *ended(Outcome.BLOCKED))


def test_an_error_in_the_stream_comes_behind_what_was_held():
    play = waiting(plan(stages=WORD))
    play.give(UpstreamBytes(0, chunk("a SE"))).expect(Head(200, ANY), Send(chunk("a ")))
    play.give(UpstreamBytes(0, error()))
    play.expect(Close(0), Send(chunk("SE")), Send(containing(b'"error"')), End(), *ended(Outcome.UPSTREAM_ERROR))


def test_a_stop_gives_what_was_held():
    play = waiting(plan(stages=WORD))
    play.give(UpstreamBytes(0, chunk("a SE"))).expect(Head(200, ANY), Send(chunk("a ")))
    play.give(Stop()).expect(Close(0), Send(containing(chunk("SE"), DONE)), End(), *ended(Outcome.STOPPED))


def test_a_sentence_waits_for_its_end_and_no_longer_than_its_cap():
    sentences = StagesPlan(segments=Segmenting("sentence", delay=2.0, characters=40))
    play = waiting(plan(stages=sentences, keepalive=None))
    play.at(1.0).give(UpstreamBytes(0, chunk("It is 3.14 or"))).expect()
    play.at(1.5).give(UpstreamBytes(0, chunk(" so. And"))).expect(Head(200, ANY), Send(chunk("It is 3.14 or so. ")))
    play.expect_deadline(3.5).wait_until(3.5).expect(Send(chunk("And")))
    play.at(4.0).give(UpstreamBytes(0, chunk(" x" * 21))).expect(Send(chunk(" x" * 20 + " ")))
    play.give(UpstreamBytes(0, finish() + DONE)).expect(Send(chunk("x") + finish() + DONE), End())


def test_max_characters_cuts_with_the_finish_length():
    play = waiting(plan(stages=StagesPlan(stages=(MaxCharacters(6),))))
    play.give(UpstreamBytes(0, chunk("four"))).expect(Head(200, ANY), Send(chunk("four")))
    play.give(UpstreamBytes(0, chunk("four") + finish() + DONE))
    play.expect(Close(0), Send(chunk("fo") + finish("length") + DONE), End(), *ended(Outcome.STOPPED))
    play.expect_account(reason="the answer is over 6 characters (guards.max_characters)")


def test_a_folded_answer_is_cut_too():
    play = waiting(plan(stages=StagesPlan(stages=(MaxCharacters(6),)), stream=False))
    play.give(UpstreamBytes(0, chunk("four")), UpstreamBytes(0, chunk("four")))
    play.expect(
        Close(0), Head(200, ANY), Send(containing(b'"content":"fourfo"', b'"finish_reason":"length"')), End(),
        *ended(Outcome.STOPPED),
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_an_answer_that_goes_round_in_a_circle_is_cut_at_the_same_place_however_it_was_split(size):
    text = "It begins well. " + "and so on and " * 100
    play = Play(plan(stages=StagesPlan(stages=(Repetition(10),)))).start().passing_over()
    play.give(UpstreamOpened(0), UpstreamHead(0, 200, SSE))
    for at in range(0, len(text), size):
        play.give(UpstreamBytes(0, chunk(text[at : at + size]))).passing_over()
        if play.account.outcome:
            break
    assert play.account.outcome is Outcome.STOPPED
    said = "".join(_deltas(play.body))
    assert said == text[: len(said)]
    assert len(said) == 448


def _deltas(body: bytes) -> list[str]:
    datas = [sse.parse(frame).data for frame in sse.SSEFramer().feed(body)]
    chunks = [json.loads(data) for data in datas if data and data != b"[DONE]"]
    return [one["choices"][0]["delta"].get("content") or "" for one in chunks]


@pytest.mark.parametrize("text", ["- item\n" * 5, "-" * 300, "|---|---|\n" * 20, "0000 " * 60])
def test_lists_and_rules_are_no_circles(text):
    play = waiting(plan(stages=StagesPlan(stages=(Repetition(20),))))
    play.give(UpstreamBytes(0, chunk(text))).expect(Head(200, ANY), Send(chunk(text)))


def test_a_stop_sequence_is_never_shown_and_ends_the_answer():
    play = waiting(plan(stages=StagesPlan(stages=(StopSequences(("END", "\n\n")),))))
    play.give(UpstreamBytes(0, chunk("a E"))).expect(Head(200, ANY), Send(chunk("a ")))
    play.give(UpstreamBytes(0, chunk("x E"))).expect(Send(chunk("Ex ")))
    play.give(UpstreamBytes(0, chunk("ND more"))).expect(
        Close(0), Send(finish("stop") + DONE), End(), *ended(Outcome.STOPPED)
    )


def test_reasoning_and_arguments_are_channels_of_their_own():
    play = waiting(plan(stages=WORD))
    play.give(UpstreamBytes(0, reasoning("SEC") + chunk("SE"))).expect()
    play.give(UpstreamBytes(0, tool(0, id="c", name="f") + tool(0, arguments='{"a":"SE')))
    play.expect(Head(200, ANY), Send(tool(0, id="c", name="f") + tool(0, arguments='{"a":"')))
    play.give(UpstreamBytes(0, tool(0, arguments='CR\\u0045T"}'))).expect(Send(tool(0, arguments='[x]"}')))
    play.give(UpstreamBytes(0, finish("tool_calls") + DONE))
    play.expect(Send(reasoning("SEC") + chunk("SE") + finish("tool_calls") + DONE), End())
