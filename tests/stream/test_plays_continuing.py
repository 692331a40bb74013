"""Plays after the commit where the route says ``mid_stream: continue``: the answer goes on with another attempt."""

from __future__ import annotations

import msgspec
import pytest
from play_endings import the_end

from penstock.testing.frames import COMMENT as KEEPALIVE
from penstock.testing.going_on import text_of
from penstock.testing.playbook import (
    ANY,
    DONE,
    JSON,
    SSE,
    ClientBlocked,
    ClientDrained,
    Close,
    End,
    Head,
    Open,
    Outcome,
    Pause,
    Play,
    Resume,
    Send,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    containing,
    error,
    finish,
    plan,
    reasoning,
    role,
    streaming,
    tool,
    usage,
)
from penstock.usage import Usage
from penstock.wire.continued import Prefix

BREAKS = {
    Outcome.UPSTREAM_CUT: [UpstreamEnded(0, clean=False)],
    Outcome.UPSTREAM_ERROR: [UpstreamBytes(0, error())],
}


def on(text: str, pieces: int = 1, *, attempt: int = 1, target: int = 1, **how: bool) -> Open:
    """The attempt that is given what the client has."""
    return Open(attempt, target, behind=Prefix(text, pieces), **how)


def broken(text: str = "The answer", *, targets: int = 2, **policies: object) -> Play:
    """A play in which the first attempt has broken off in its middle, at 1 s, and the second is asked."""
    play = streaming(plan(continues=True, targets=targets, **policies), text)
    return play.give(UpstreamEnded(0, clean=False)).expect(Close(0), on(text, target=min(1, targets - 1)))


def answering(play: Play) -> Play:
    """The second has answered 200."""
    return (
        play.after(0.2)
        .give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, role(id="c9", created=99)))
        .expect()
    )


@pytest.mark.parametrize("outcome", BREAKS)
def test_the_answer_goes_on_where_it_broke_off(outcome):
    play = streaming(plan(continues=True), "The answer").give(*BREAKS[outcome]).expect(Close(0), on("The answer"))
    answering(play).give(UpstreamBytes(1, chunk(" is"))).expect(Send(containing(b'" is"', b'"id":"c1"')))
    play.give(UpstreamBytes(1, chunk(" 42.") + finish() + DONE)).expect(
        Send(containing(b'" 42."', b'"finish_reason":"stop"', b"[DONE]")), End()
    )
    play.give(UpstreamEnded(1, clean=True)).expect(Close(1, reuse=True), *the_end(Outcome.COMPLETED))
    assert text_of(play.body) == "The answer is 42."
    assert play.body.count(b'"role"') <= 1
    first, second = play.account.attempts
    assert (first.outcome, first.continues) == (outcome, False)
    assert (second.outcome, second.continues) == (None, True)
    play.expect_account(warnings=["continued"], first_token=1.0)


def test_a_stall_is_a_break_too():
    play = streaming(plan(continues=True, keepalive=None), "The answer").wait_until(31)
    answering(play.expect(Close(0), on("The answer")))
    assert play.account.attempts[0].outcome is Outcome.STALLED


def test_without_the_policy_the_client_is_told_the_truth():
    play = streaming(plan(), "The answer").give(UpstreamEnded(0, clean=False))
    play.expect(Close(0), Send(containing(b"upstream_cut")), End(), *the_end(Outcome.UPSTREAM_CUT))
    play.expect_account(warnings=[])


@pytest.mark.parametrize(
    "said",
    [reasoning("hm"), tool(0, id="t", name="look", arguments="{"), chunk("B", choice=1), finish()],
    ids=["reasoning", "a tool", "a second choice", "a finish"],
)
def test_what_is_more_than_text_does_not_go_on(said):
    play = streaming(plan(continues=True), "The answer").give(UpstreamBytes(0, said)).expect(Send(said))
    play.give(UpstreamEnded(0, clean=False)).expect(
        Close(0), Send(containing(b"upstream_cut")), End(), *the_end(Outcome.UPSTREAM_CUT)
    )


def test_nobody_can():
    asked = plan(continues=True)
    asked = msgspec.structs.replace(
        asked, ways=tuple(msgspec.structs.replace(way, continues=False) for way in asked.ways)
    )
    play = streaming(asked, "The answer").give(UpstreamBytes(0, error()))
    play.expect(Close(0), Send(containing(b"upstream_error")), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_the_same_target_is_asked_where_there_is_no_other():
    answering(broken(targets=1)).give(UpstreamBytes(1, chunk(" is 42.") + finish() + DONE)).expect(Send(ANY), End())


def test_it_goes_on_once():
    play = answering(broken(targets=3)).give(UpstreamBytes(1, chunk(" is"))).expect(Send(ANY))
    play.give(UpstreamBytes(1, error("too much"))).expect(
        Close(1), Send(containing(b"too much")), End(), *the_end(Outcome.UPSTREAM_ERROR)
    )


def test_a_refused_beginning_does_not_hide_what_broke_off():
    """C5: the client is told of the cut, not of the 400."""
    play = broken().give(UpstreamOpened(1), UpstreamHead(1, 400, JSON), UpstreamEnded(1, clean=True))
    play.expect(Close(1, reuse=True), Send(containing(b"upstream_cut")), End(), *the_end(Outcome.UPSTREAM_CUT))
    assert [attempt.status for attempt in play.account.attempts] == [200, 400]


def test_the_second_is_not_waited_for_longer_than_a_last_target():
    play = broken(keepalive=None, commit_after=None).give(UpstreamOpened(1)).expect().wait_until(1 + 22.5)
    play.expect(Close(1), Send(containing(b"upstream_cut")), End(), *the_end(Outcome.UPSTREAM_CUT))


def test_the_client_is_kept_alive_meanwhile():
    broken().give(UpstreamOpened(1)).expect().wait_until(16).expect(Send(KEEPALIVE))


def test_words_that_come_twice_are_cut():
    play = answering(broken("So the answer is")).give(UpstreamBytes(1, chunk("So the answer"))).expect()
    play.give(UpstreamBytes(1, chunk(" is 42.") + finish() + DONE)).expect(Send(ANY), End())
    assert text_of(play.body) == "So the answer is 42."


def test_an_answer_that_lacked_nothing_but_its_finish():
    play = answering(broken("The answer is 42."))
    play.give(UpstreamBytes(1, finish() + DONE)).expect(Send(containing(b'"finish_reason":"stop"', b"[DONE]")), End())
    play.give(UpstreamEnded(1, clean=True)).expect(Close(1, reuse=True), *the_end(Outcome.COMPLETED))
    assert text_of(play.body) == "The answer is 42."


def test_what_the_second_thinks_is_not_told():
    play = answering(broken()).give(UpstreamBytes(1, reasoning("hm"))).expect()
    play.give(UpstreamBytes(1, chunk(" is 42.") + finish() + DONE)).expect(Send(ANY), End())
    assert b"hm" not in play.body


def test_blanks_at_the_end_are_not_given_and_not_repeated():
    play = streaming(plan(continues=True), "The answer ").give(UpstreamEnded(0, clean=False))
    play.expect(Close(0), on("The answer"))
    answering(play).give(UpstreamBytes(1, chunk(" is") + finish() + DONE)).expect(Send(ANY), End())
    assert text_of(play.body) == "The answer is"


def test_usage_is_told_apart_and_the_client_gets_the_sum():
    play = streaming(plan(continues=True, include_usage=True), "The answer")
    play.give(UpstreamBytes(0, usage(9, 2) + error())).expect(Close(0), Send(usage(9, 2)), on("The answer"))
    answering(play).give(UpstreamBytes(1, chunk(" is 42.") + finish() + usage(11, 3) + DONE)).expect(
        Send(containing(b'"prompt_tokens":20', b'"completion_tokens":5')), End()
    )
    play.give(UpstreamEnded(1, clean=True)).expect(Close(1, reuse=True), *the_end(Outcome.COMPLETED))
    assert [(one.usage.input, one.usage.output) for one in play.account.attempts if one.usage] == [(9, 2), (11, 3)]
    assert play.account.usage == Usage(20, 5, cache_read=play.account.usage.cache_read)


def test_a_stale_connection_costs_no_chance():
    play = broken().give(UpstreamFailed(1, "closed", stale=True))
    play.expect(Close(1), on("The answer", attempt=2, fresh=True))
    play.give(UpstreamOpened(2), UpstreamHead(2, 200, SSE), UpstreamBytes(2, chunk(" is") + finish() + DONE)).expect(
        Send(ANY), End()
    )
    play.give(UpstreamEnded(2, clean=True)).expect(Close(2, reuse=True), *the_end(Outcome.COMPLETED))
    assert text_of(play.body) == "The answer is"


def test_a_stop_at_the_seam_ends_the_answer():
    play = answering(broken()).give(Stop())
    play.expect(Close(1), Send(containing(b'"finish_reason":"stop"')), End(), *the_end(Outcome.STOPPED))


def test_a_stop_behind_the_seam_ends_the_answer_under_its_own_id():
    play = answering(broken()).give(UpstreamBytes(1, chunk(" is"))).expect(Send(ANY)).give(Stop())
    play.expect(
        Close(1), Send(containing(b'"finish_reason":"stop"', b'"id":"c1"', b"[DONE]")), End(), *the_end(Outcome.STOPPED)
    )


def test_a_client_that_does_not_read_is_waited_for():
    play = answering(broken()).give(ClientBlocked()).expect(Pause(1)).after(5).give(ClientDrained()).expect(Resume(1))
    play.give(UpstreamBytes(1, chunk(" is") + finish() + DONE)).expect(Send(ANY), End())


def test_a_folded_answer_begins_anew_at_the_next_target():
    """Nothing was released: one whole answer is better than two halves."""
    play = streaming(plan(stream=False, continues=True), "The answer").give(UpstreamEnded(0, clean=False))
    play.expect(Close(0), Open(1, 1))


def test_a_folded_answer_goes_on_where_no_target_is_left():
    play = streaming(plan(stream=False, continues=True, targets=1), "The answer").give(UpstreamEnded(0, clean=False))
    play.expect(Close(0), on("The answer", target=0))
    answering(play).give(UpstreamBytes(1, chunk(" is 42.") + finish() + DONE)).expect(
        Head(200, ANY), Send(containing(b'"content":"The answer is 42."')), End()
    )
