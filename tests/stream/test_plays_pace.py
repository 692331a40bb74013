"""Plays with a pace that is asked for: output is held until it is fast enough, while somebody else could be asked."""

from __future__ import annotations

import pytest
from play_endings import the_end, told
from test_plays_failover import Careful

from penstock.policy.rate import MinRate
from penstock.stream.plan import Plan
from penstock.testing.playbook import (
    ANY,
    DONE,
    SSE,
    ClientBlocked,
    ClientDrained,
    ClientLeft,
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

RATE = MinRate(tokens=5.0, window=1.0)
FIVE = b"".join(chunk(f"{number} ") for number in range(5))


def paced(**options) -> Plan:
    return plan(min_rate=RATE, **options)


def probing(**options) -> Play:
    """A play up to the first token, at 1 s: it is held."""
    return waiting(paced(**options)).at(1.0).give(UpstreamBytes(0, role() + chunk("Hi"))).expect().expect_deadline(2.0)


def answering(play: Play, attempt: int) -> Play:
    return play.give(UpstreamOpened(attempt), UpstreamHead(attempt, 200, SSE)).expect()


def test_a_fast_stream_is_committed_to_with_its_fifth_token():
    play = probing().at(1.2).give(UpstreamBytes(0, chunk("2") + chunk("3") + chunk("4"))).expect()
    play.at(1.3).give(UpstreamBytes(0, chunk("5")))
    play.expect(Head(200, ANY), Send(role() + chunk("Hi") + chunk("2") + chunk("3") + chunk("4") + chunk("5")))
    play.expect_account(first_token=1.3, committed=True).expect_deadline(1.3 + 15)
    play.at(1.4).give(UpstreamBytes(0, chunk("6"))).expect(Send(chunk("6")))


def test_after_the_commit_no_pace_is_asked_for():
    play = waiting(paced()).at(1.0).give(UpstreamBytes(0, FIVE)).expect(Head(200, ANY), Send(FIVE))
    for second in range(2, 25):
        play.at(float(second)).give(UpstreamBytes(0, chunk("slow "))).expect(Send(chunk("slow ")))


def test_B5_a_drip_fed_stream_leads_to_the_next_target():
    play = probing()
    for tenth in (14, 18):
        play.at(tenth / 10).give(UpstreamBytes(0, chunk("drip "))).expect()
    play.wait_until(2.0).expect(Close(0), Open(1, 1))
    answering(play, 1).give(UpstreamBytes(1, FIVE)).expect(Head(200, ANY), Send(FIVE))
    slow, _ = play.account.attempts
    assert (slow.outcome, slow.first_token) == (Outcome.TOO_SLOW, None)
    assert "the provider was too slow: 3.5 tokens in 1 s, 5 are asked for (5 tokens/s)" in slow.reason
    assert b"drip" not in play.body


def test_the_last_target_is_held_to_nothing():
    play = probing().wait_until(2.0).expect(Close(0), Open(1, 1))
    answering(play, 1).give(UpstreamBytes(1, chunk("slow"))).expect(Head(200, ANY), Send(chunk("slow")))
    waiting(paced(targets=1)).give(UpstreamBytes(0, chunk("Hi"))).expect(Head(200, ANY), Send(chunk("Hi")))


def test_a_further_round_is_no_reason_to_hold():
    play = waiting(paced(targets=1, retries=2)).give(UpstreamBytes(0, chunk("Hi")))
    play.expect(Head(200, ANY), Send(chunk("Hi")))


def test_better_slow_than_not_paid_for():
    play = waiting(paced(asking=Careful((0, 1), ()))).at(1.0).give(UpstreamBytes(0, chunk("Hi"))).expect()
    play.wait_until(2.0).expect(Head(200, ANY), Send(chunk("Hi")))
    play.at(2.5).give(UpstreamBytes(0, finish() + DONE)).expect(Send(finish() + DONE), End())
    play.give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True), *the_end(Outcome.COMPLETED))
    play.expect_account(first_token=2.0)


def test_what_is_paid_for_is_paid_for_once():
    class Once(Careful):
        def may_try(self, target: int, now: float) -> bool:
            asked.append(target)
            return True

    asked: list[int] = []
    play = waiting(paced(targets=3, asking=Once((0, 1, 2), ()))).at(1.0).give(UpstreamBytes(0, chunk("Hi"))).expect()
    play.wait_until(2.0).expect(Close(0), Open(1, 1))
    assert asked == [1]


def test_a_short_answer_is_not_too_slow():
    play = probing().at(1.5).give(UpstreamBytes(0, finish() + DONE))
    play.expect(Head(200, ANY), Send(role() + chunk("Hi") + finish() + DONE), End())
    play.expect_account(outcome=None, first_token=1.5)
    play.give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True), *the_end(Outcome.COMPLETED))


def test_an_answer_with_its_finish_is_not_too_slow_though_its_end_marker_is_missing():
    play = probing().at(1.5).give(UpstreamBytes(0, finish())).expect().wait_until(2.0)
    play.expect(Head(200, ANY), Send(role() + chunk("Hi") + finish()))


def test_a_token_and_the_end_in_one_piece():
    play = waiting(paced()).at(1.0).give(UpstreamBytes(0, chunk("Hi") + finish() + DONE))
    play.expect(Head(200, ANY), Send(chunk("Hi") + finish() + DONE), End())


BREAKS = {
    "cut": (UpstreamEnded(0, clean=False), Outcome.UPSTREAM_CUT),
    "clean end without a finish": (UpstreamEnded(0, clean=True), Outcome.UPSTREAM_CUT),
    "error": (UpstreamBytes(0, error()), Outcome.UPSTREAM_ERROR),
}


@pytest.mark.parametrize(("happened", "outcome"), BREAKS.values(), ids=BREAKS)
def test_what_breaks_while_it_is_held_is_repaired(happened, outcome):
    play = probing().at(1.5).give(happened).expect(ANY, Open(1, 1))
    assert [attempt.outcome for attempt in play.account.attempts] == [outcome, None]


def test_a_silence_in_the_window_is_too_slow_as_soon_as_it_is_a_stall():
    play = waiting(plan(min_rate=MinRate(tokens=5.0, window=60.0), between_tokens=2.0)).at(1.0)
    play.give(UpstreamBytes(0, chunk("Hi"))).expect().at(2.0).give(UpstreamBytes(0, chunk("you"))).expect()
    play.wait_until(4.0).expect(Close(0), Open(1, 1))


def test_a_sentence_in_a_frame_is_no_drip():
    sentence = chunk("Some providers send a sentence at a time. ")
    waiting(paced()).at(1.0).give(UpstreamBytes(0, sentence)).expect(Head(200, ANY), Send(sentence))
    arguments = tool(0, id="t", name="n", arguments='{"city":"Rome","days":3}')
    waiting(paced()).at(1.0).give(UpstreamBytes(0, arguments)).expect(Head(200, ANY), Send(arguments))


def test_a_frame_that_is_left_out_while_output_is_held_has_its_stand_in():
    play = probing().at(1.1).give(UpstreamBytes(0, b"data: {no\n\n" + FIVE))
    play.expect(Head(200, ANY), Send(containing(chunk("Hi"), b": penstock left out a malformed frame", FIVE)))


def test_more_than_may_be_held_is_committed_to():
    play = waiting(plan(min_rate=MinRate(tokens=1e6), max_frame=300)).at(1.0).give(UpstreamBytes(0, FIVE))
    play.expect(Head(200, ANY), Send(ANY))


def test_when_the_others_fail_the_error_says_most():
    play = probing().wait_until(2.0).expect(Close(0), Open(1, 1))
    answering(play, 1).give(UpstreamEnded(1, clean=False))
    play.expect(Close(1), Head(502, ANY), told(Outcome.UPSTREAM_CUT), End(), *the_end(Outcome.UPSTREAM_CUT))


# -- the client -------------------------------------------------------------------------------------------------------


def test_keepalives_go_on_behind_an_early_head():
    play = waiting(paced(commit_after=1.5)).at(1.0).give(UpstreamBytes(0, chunk("Hi"))).expect()
    play.wait_until(1.5).expect(Head(200, ANY), Send(ANY)).wait_until(2.0).expect(Close(0), Open(1, 1))
    answering(play, 1).give(UpstreamBytes(1, FIVE)).expect(Send(FIVE))


def test_the_time_for_which_a_client_does_not_read_is_not_the_providers():
    play = waiting(paced(commit_after=1.5)).at(1.4).give(UpstreamBytes(0, chunk("Hi"))).expect()
    play.at(1.5).expect(Head(200, ANY), Send(ANY)).give(ClientBlocked()).expect(Pause(0))
    play.at(20.0).give(ClientDrained()).expect(Resume(0)).expect_deadline(20.9)
    play.at(20.5).give(UpstreamBytes(0, FIVE)).expect(Send(chunk("Hi") + FIVE))


def test_who_leaves_while_it_is_held_is_owed_nothing():
    play = probing().give(ClientLeft()).expect(Close(0), *the_end(Outcome.CLIENT_CLOSED))
    assert not play.account.committed


def test_a_stop_while_it_is_held_finishes_an_empty_answer():
    play = probing().give(Stop())
    play.expect(Close(0), Head(200, ANY), Send(containing(b"[DONE]")), End(), *the_end(Outcome.STOPPED))
    assert b"Hi" not in play.body


def test_a_folded_answer_is_held_to_it_too():
    play = probing(stream=False).wait_until(2.0).expect(Close(0), Open(1, 1))
    answering(play, 1).give(UpstreamBytes(1, chunk("Hello") + finish() + DONE))
    play.expect(Head(200, ANY), Send(containing(b'"Hello"')), End())


# -- two in flight ----------------------------------------------------------------------------------------------------


def racing(**options) -> Play:
    """Two attempts, at 1 s; neither has a token."""
    play = waiting(paced(hedge_after=0.8, **options)).wait_until(0.8).expect(Open(1, 1)).at(1.0)
    return answering(play, 1)


def test_beside_output_that_is_held_no_second_is_started():
    play = waiting(paced(hedge_after=0.8)).at(0.5).give(UpstreamBytes(0, chunk("Hi"))).expect().expect_deadline(1.5)
    play.wait_until(1.5).expect(Close(0), Open(1, 1))


def test_of_two_the_one_wins_that_is_fast_enough():
    play = racing().give(UpstreamBytes(0, chunk("drip"))).expect()
    play.at(1.5).give(UpstreamBytes(1, FIVE)).expect(Close(0), Head(200, ANY), Send(FIVE))
    assert [attempt.lost for attempt in play.account.attempts] == [True, False]


def test_the_slow_one_of_two_leaves_the_other_alone_and_that_is_taken_as_it_is():
    play = racing().give(UpstreamBytes(0, chunk("drip"))).expect().at(1.5).give(UpstreamBytes(1, chunk("drop")))
    play.expect().wait_until(2.0).expect(Close(0)).at(2.2).give(UpstreamBytes(1, chunk("drop")))
    play.expect(Head(200, ANY), Send(chunk("drop") * 2))
    assert [attempt.outcome for attempt in play.account.attempts] == [Outcome.TOO_SLOW, None]


def test_a_callers_fault_in_the_race_leaves_nobody_else_to_ask():
    play = racing(targets=3).give(UpstreamHead(0, 400, ()), UpstreamEnded(0, clean=False)).expect(Close(0))
    play.give(UpstreamBytes(1, chunk("Hi"))).expect(Head(200, ANY), Send(chunk("Hi")))
