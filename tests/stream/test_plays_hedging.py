"""Plays with two attempts in flight: the first token event wins, and an error wins nothing."""

from __future__ import annotations

import msgspec
import pytest
from play_endings import the_end, told

from penstock.policy.hedge import HedgeBudget
from penstock.stream.attempts import LOST
from penstock.testing.playbook import (
    ANY,
    DONE,
    JSON,
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
    Shutdown,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamHead,
    UpstreamOpened,
    answer,
    chunk,
    containing,
    error,
    finish,
    plan,
    role,
    usage,
    waiting,
)

HEDGE = {"hedge_after": 0.8}


def racing(**options) -> Play:
    """A play up to the second attempt's head, at 1 s: both providers have answered 200, and neither has a token."""
    play = waiting(plan(**HEDGE | options)).give(UpstreamBytes(0, role())).expect()
    play.wait_until(0.8).expect(Open(1, 1))
    return play.at(1.0).give(UpstreamOpened(1), UpstreamHead(1, 200, SSE)).expect()


def fates(play: Play) -> list[tuple[Outcome | None, str, bool]]:
    """The attempts: outcome, reason, and whether each lost the race."""
    return [(attempt.outcome, attempt.reason, attempt.lost) for attempt in play.account.attempts]


# -- who wins ---------------------------------------------------------------------------------------------------------


def test_the_second_wins_and_the_first_is_closed_at_once():
    play = racing().give(UpstreamBytes(1, role() + chunk("Hi")))
    play.expect(Close(0), Head(200, ANY), Send(role() + chunk("Hi")))
    head = play.transcript.head
    assert head is not None and {(b"x-penstock-target", b"p1/m"), (b"x-penstock-attempts", b"2")} <= {*head.headers}
    play.give(UpstreamBytes(1, finish() + DONE)).expect(Send(finish() + DONE), End())
    play.give(UpstreamEnded(1, clean=True)).expect(Close(1, reuse=True), *the_end(Outcome.COMPLETED))
    assert fates(play) == [(None, LOST, True), (None, "", False)]
    first, second = play.account.attempts
    assert (first.ended, first.first_token, second.first_token) == (1.0, None, 1.0)
    assert (play.account.served, play.account.hedge) == (second, True)


def test_the_first_wins_after_all_and_its_held_frames_go_out():
    play = racing().give(UpstreamBytes(1, role())).expect().give(UpstreamBytes(0, chunk("Hi")))
    play.expect(Close(1), Head(200, ANY), Send(role() + chunk("Hi")))
    play.give(UpstreamBytes(1, chunk("late"))).expect()
    play.give(UpstreamBytes(0, finish() + DONE), UpstreamEnded(0, clean=True))
    play.expect(Send(finish() + DONE), End(), Close(0, reuse=True), *the_end(Outcome.COMPLETED))
    assert fates(play) == [(None, "", False), (None, LOST, True)]
    assert (play.account.served, play.account.hedge) == (play.account.attempts[0], False)


def test_no_second_beside_a_first_that_has_its_token_in_time():
    play = waiting(plan(**HEDGE)).at(0.7).give(UpstreamBytes(0, chunk("Hi"))).expect(Head(200, ANY), Send(ANY))
    play.at(5.0).expect()
    assert (play.transcript.opened, play.account.hedge) == ([0], None)


def test_after_the_race_there_is_no_other():
    play = racing(targets=3).give(UpstreamBytes(1, chunk("Hi"))).expect(Close(0), Head(200, ANY), Send(chunk("Hi")))
    play.at(9.0).expect()


def test_what_the_loser_reported_is_not_what_the_winner_reports():
    play = racing(include_usage=True).give(UpstreamBytes(0, usage(7, 7)), UpstreamBytes(1, answer("Hi")))
    play.expect(Close(0), Head(200, ANY), Send(answer("Hi")), End())
    play.expect_account(usage=None, finish="stop")


def test_while_the_race_is_on_the_account_has_what_the_older_reports():
    play = racing().give(UpstreamBytes(0, usage(3, 3)))
    reported = play.account.usage
    play.give(UpstreamBytes(1, usage(7, 7))).expect_account(usage=reported).give(UpstreamEnded(0, clean=False))
    play.expect(Close(0))
    assert play.account.usage != reported


# -- errors -----------------------------------------------------------------------------------------------------------

ERRORS = {
    "refused": [UpstreamFailed(1, "refused")],
    "error frame": [UpstreamBytes(1, error())],
    "cut": [UpstreamBytes(1, role()), UpstreamEnded(1, clean=False)],
    "empty": [UpstreamBytes(1, finish() + DONE)],
    "503": [UpstreamHead(1, 503, JSON), UpstreamEnded(1, clean=False)],
    "400": [UpstreamHead(1, 400, JSON), UpstreamEnded(1, clean=False)],
}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("name", ERRORS)
def test_an_error_wins_nothing(name, number):
    """Whichever racer fails first, the other goes on alone, and serves the client."""
    other = 1 - number
    play = racing()
    for happened in ERRORS[name]:
        play.give(type(happened)(number, *[getattr(happened, field) for field in happened.__struct_fields__[1:]]))
        play.passing_over()
    assert [attempt.ended for attempt in play.account.attempts] == [1.0 if n == number else None for n in (0, 1)]
    body = (role() if other == 0 else b"") + answer("Hi")
    play.at(2.0).give(UpstreamBytes(other, answer("Hi"))).expect(Head(200, ANY), Send(body), End())
    play.give(UpstreamEnded(other, clean=True)).expect(Close(other, reuse=True), *the_end(Outcome.COMPLETED))
    assert play.account.served is play.account.attempts[other]
    assert not any(attempt.lost for attempt in play.account.attempts)


def test_both_fail_and_the_third_serves():
    play = racing(targets=3).give(UpstreamBytes(1, error())).expect(Close(1))
    play.at(1.5).give(UpstreamEnded(0, clean=False)).expect(Close(0), Open(2, 2))
    play.at(2.6).give(UpstreamOpened(2), UpstreamHead(2, 200, SSE), UpstreamBytes(2, answer("Hi")))
    play.expect(Head(200, ANY), Send(answer("Hi")), End())


def test_both_fail_and_the_client_gets_the_more_useful_error():
    play = racing().give(UpstreamHead(0, 429, ((b"retry-after", b"7"), *JSON)), UpstreamBytes(0, b"{}")).expect()
    play.give(UpstreamEnded(0, clean=True)).passing_over()
    play.give(UpstreamFailed(1, "refused")).expect(Close(1), Head(429, ANY), Send(ANY), End(), ANY, ANY)
    assert dict(play.transcript.head.headers)[b"retry-after"] == b"7"


def test_the_callers_own_fault_at_one_target_is_the_answer_when_the_other_fails_too():
    play = racing(targets=3).give(UpstreamHead(1, 400, JSON), UpstreamEnded(1, clean=True)).expect(Close(1, reuse=True))
    play.give(UpstreamEnded(0, clean=False)).expect(Close(0), Head(400, ANY), Send(ANY), End(), ANY, ANY)


def test_a_failure_before_the_delay_is_a_failover_and_what_follows_may_still_be_raced():
    play = waiting(plan(targets=3, **HEDGE)).at(0.5).give(UpstreamFailed(0, "reset")).expect(Close(0), Open(1, 1))
    play.wait_until(1.3).expect(Open(2, 2))


def test_a_stale_second_is_tried_again_beside_the_first():
    play = waiting(plan(**HEDGE)).wait_until(0.8).expect(Open(1, 1))
    play.give(UpstreamFailed(1, "reset", stale=True)).expect(Close(1), Open(2, 1, fresh=True))
    play.give(UpstreamOpened(2), UpstreamHead(2, 200, SSE), UpstreamBytes(2, chunk("Hi")))
    play.expect(Close(0), Head(200, ANY), Send(chunk("Hi")))
    assert play.account.hedge is True


# -- clocks -----------------------------------------------------------------------------------------------------------


def test_each_racer_has_deadlines_of_its_own():
    play = racing(targets=3, first_token=2.0, commit_after=None)
    play.wait_until(2.0).expect(Close(0))
    play.wait_until(2.8).expect(Close(1), Open(2, 2))


def test_a_second_that_does_not_connect_leaves_the_first_alone():
    play = waiting(plan(**HEDGE, connect=3.0)).wait_until(0.8).expect(Open(1, 1)).wait_until(3.8).expect(Close(1))
    play.at(4.0).give(UpstreamBytes(0, chunk("Hi"))).expect(Head(200, ANY), Send(chunk("Hi")))


def test_a_delay_beyond_the_first_token_limit_is_a_failover():
    play = waiting(plan(hedge_after=15.0, commit_after=None)).wait_until(15.0).expect(Close(0), Open(1, 1))
    assert play.account.hedge is None


def test_a_budget_that_is_empty_starts_no_second_and_is_asked_once():
    budget = HedgeBudget(burst=0.0)
    waiting(plan(**HEDGE, hedge_budget=budget)).wait_until(0.8).expect().expect_deadline(10.0)
    assert budget.refused == 1


class Unpaid:
    """A provider in trouble, whose retry budget is empty."""

    def admitted(self, now: float) -> list[int]:
        return [0, 1]

    def may_try(self, target: int, now: float) -> bool:
        return False


def test_a_target_that_no_attempt_is_paid_for_is_not_raced():
    asked = msgspec.structs.replace(plan(**HEDGE), asking=Unpaid())
    assert waiting(asked).wait_until(0.8).expect().at(2.0).transcript.opened == [0]


# -- the client -------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_during_the_race_closes_both():
    play = racing().give(ClientLeft()).expect(Close(1), Close(0), *the_end(Outcome.CLIENT_CLOSED))
    assert [attempt.outcome for attempt in play.account.attempts] == [Outcome.CLIENT_CLOSED] * 2


def test_a_stop_during_the_race_closes_both():
    play = racing().give(Stop())
    play.expect(Close(1), Close(0), Head(200, ANY), Send(containing(b"[DONE]")), End(), *the_end(Outcome.STOPPED))


def test_a_shutdown_and_the_total_close_both():
    play = racing().give(Shutdown())
    play.expect(Close(1), Close(0), Head(503, ANY), Send(ANY), End(), *the_end(Outcome.SHUTDOWN))
    play = racing(total=2.0).wait_until(2.0)
    play.expect(Close(1), Close(0), Head(504, ANY), Send(ANY), End(), *the_end(Outcome.MAX_DURATION))


def test_a_crash_closes_both():
    play = racing()
    commands = play.transcript._stream.crash(1.0)
    assert commands[:2] == [Close(1), Close(0)]
    assert commands[-1].outcome is Outcome.CRASHED


def test_a_blocked_client_pauses_both_and_their_clocks():
    play = racing(commit_after=1.5, first_token=2.0, slow_client=60).wait_until(1.5).expect(Head(200, ANY), Send(ANY))
    play.at(1.6).give(ClientBlocked()).expect(Pause(0), Pause(1)).at(40.0).expect()
    play.give(ClientDrained()).expect(Resume(0), Resume(1))
    play.wait_until(40.4).expect(Close(0))
    play.at(40.5).give(UpstreamBytes(1, chunk("Hi"))).expect(Send(chunk("Hi")))


def test_a_winner_behind_a_blocked_client_stays_paused():
    play = racing(commit_after=1.5).wait_until(1.5).expect(Head(200, ANY), Send(ANY))
    play.give(ClientBlocked()).expect(Pause(0), Pause(1)).give(UpstreamBytes(1, chunk("Hi")))
    play.expect(Close(0), Send(chunk("Hi"))).at(2.0).give(ClientDrained()).expect(Resume(1))


# -- folded -----------------------------------------------------------------------------------------------------------


def test_a_folded_answer_is_the_winners_alone():
    play = racing(stream=False).give(UpstreamBytes(1, chunk("Hi"))).expect(Close(0))
    play.give(UpstreamBytes(1, finish() + DONE)).expect(Head(200, ANY), Send(containing(b'"Hi"')), End())


def test_a_folded_winner_that_breaks_gives_the_loser_another_chance():
    """It did not fail: with no hedging it would be next."""
    play = racing(stream=False).give(UpstreamBytes(1, chunk("Hi"))).expect(Close(0))
    play.give(UpstreamEnded(1, clean=False)).expect(Close(1), Open(2, 0))
    play.give(UpstreamOpened(2), UpstreamHead(2, 200, SSE), UpstreamBytes(2, answer("Again")))
    play.expect(Head(200, ANY), Send(containing(b'"Again"')), End())


def test_both_fail_behind_an_early_head_and_the_client_is_told_in_a_frame():
    play = racing(commit_after=1.5).wait_until(1.5).expect(Head(200, ANY), Send(ANY))
    play.give(UpstreamEnded(0, clean=False)).expect(Close(0))
    play.give(UpstreamEnded(1, clean=False)).expect(Close(1), told(Outcome.UPSTREAM_CUT), End(), ANY, ANY)
