"""Plays with more than one attempt: the next target, the same one again, and what the client is told at last."""

from __future__ import annotations

import pytest
from play_endings import failed_after, the_end

from penstock.testing.frames import COMMENT as KEEPALIVE
from penstock.testing.playbook import (
    ANY,
    DONE,
    JSON,
    SSE,
    ClientLeft,
    Close,
    End,
    Head,
    Open,
    Outcome,
    Play,
    Send,
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
    streaming,
    usage,
    waiting,
)
from penstock.testing.run import Ends, Fails, Opens, Responds, Script, Sends, run, script


def second_answers(play: Play) -> None:
    """The second target serves the client, and nothing of the first is seen."""
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, answer("Hi"))).expect(
        Head(200, ANY), Send(answer("Hi")), End()
    )
    head = play.transcript.head
    assert head is not None
    assert (b"x-penstock-target", b"p1/m") in head.headers
    assert (b"x-penstock-attempts", b"2") in head.headers
    play.give(UpstreamEnded(1, clean=True)).expect(Close(1, reuse=True), *the_end(Outcome.COMPLETED))
    first, second = play.account.attempts
    assert first.outcome is not None and second.outcome is None
    assert (first.target, second.target) == ("p0/m", "p1/m")


FAILURES = {
    Outcome.CONNECT_FAILED: [UpstreamFailed(0, "refused")],
    Outcome.UPSTREAM_CUT: [UpstreamBytes(0, role()), UpstreamEnded(0, clean=False)],
    Outcome.EMPTY: [UpstreamBytes(0, role() + finish() + DONE)],
    Outcome.UPSTREAM_ERROR: [UpstreamBytes(0, role() + error())],
}


@pytest.mark.parametrize("outcome", FAILURES)
def test_a_failure_before_the_first_token_goes_on_to_the_next_target(outcome):
    play = waiting(plan()).give(*FAILURES[outcome]).expect(Close(0), Open(1, 1))
    assert play.account.attempts[0].outcome is outcome
    second_answers(play)


def test_silence_goes_on_to_the_next_target():
    second_answers(waiting(plan(commit_after=None)).wait_until(15).expect(Close(0), Open(1, 1)))


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503, 529])
def test_a_status_of_the_providers_moment_goes_on_to_the_next_target(status):
    play = waiting(plan()).give(UpstreamHead(0, status, JSON), UpstreamEnded(0, clean=True))
    second_answers(play.expect(Close(0, reuse=True), Open(1, 1)))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_status_of_the_callers_own_is_the_answer(status):
    body = b'{"error":{"message":"yours"}}'
    play = waiting(plan()).give(UpstreamHead(0, status, JSON), UpstreamBytes(0, body), UpstreamEnded(0, clean=True))
    play.expect(Close(0, reuse=True), Head(status, ANY), Send(body), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_an_error_in_the_stream_is_never_the_callers_own():
    play = waiting(plan()).give(UpstreamBytes(0, error("bad", type="invalid_request_error")))
    play.expect(Close(0), Open(1, 1))


@pytest.mark.parametrize("outcome", [Outcome.UPSTREAM_CUT, Outcome.UPSTREAM_ERROR])
def test_after_the_first_token_there_is_no_next_target(outcome):
    happened = UpstreamEnded(0, clean=False) if outcome is Outcome.UPSTREAM_CUT else UpstreamBytes(0, error())
    streaming(plan(targets=3)).give(happened).expect(*failed_after(outcome))


def test_a_tool_call_commits_as_text_does():
    first = b'data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f"}}]}}]}\n\n'
    play = waiting(plan()).give(UpstreamBytes(0, role() + first)).expect(Head(200, ANY), Send(role() + first))
    play.give(UpstreamEnded(0, clean=False)).expect(*failed_after(Outcome.UPSTREAM_CUT))


def test_what_a_failed_attempt_reported_is_not_what_the_next_one_reports():
    play = waiting(plan()).give(
        UpstreamBytes(0, role(usage={"prompt_tokens": 7}) + finish()), UpstreamEnded(0, clean=True)
    )
    play.expect(Close(0, reuse=True), Open(1, 1))
    second_answers(play)
    play.expect_account(usage=None, finish="stop")


def test_words_of_the_first_target_are_not_heard_any_more():
    play = waiting(plan()).give(UpstreamFailed(0, "refused")).expect(Close(0), Open(1, 1))
    for late in (UpstreamBytes(0, answer("late")), UpstreamEnded(0, clean=True), UpstreamFailed(0, "late")):
        play.give(late).expect()
    second_answers(play)


def test_failover_is_possible_behind_an_early_head():
    play = waiting(plan()).wait_until(10).expect(Head(200, ANY), Send(b": keep-alive\n\n"))
    play.at(11).give(UpstreamEnded(0, clean=False)).expect(Close(0), Open(1, 1))
    play.at(12).give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, answer("Hi")))
    play.expect(Send(answer("Hi")), End())


def test_behind_an_early_head_the_last_failure_is_a_frame():
    play = waiting(plan(targets=1)).wait_until(10).expect(Head(200, ANY), Send(b": keep-alive\n\n"))
    play.at(11).give(UpstreamEnded(0, clean=False)).expect(*failed_after(Outcome.UPSTREAM_CUT))


# -- what the client is told ------------------------------------------------------------------------------------------


def status(code: int, *headers: tuple[bytes, bytes], body: bytes = b'{"error":{"message":"m"}}') -> Script:
    return [(0.0, Opens()), (0.0, Responds(code, JSON + headers)), (0.0, Sends(body)), (0.0, Ends())]


def told(*scripts: Script):
    transcript = run(plan(targets=len(scripts)), scripts)
    assert transcript.head is not None
    return transcript.head.status, dict(transcript.head.headers), transcript.body, transcript.outcome


def test_of_several_429_the_one_that_lets_the_client_come_back_soonest():
    slow, soon, slower = (status(429, (b"retry-after", wait)) for wait in (b"60", b"5", b"90"))
    code, headers, _, outcome = told(slow, soon, slower)
    assert (code, headers[b"retry-after"], outcome) == (429, b"5", Outcome.UPSTREAM_ERROR)


def test_a_429_rather_than_no_connection():
    assert told(status(429), [(0.0, Fails())])[0] == 429


def test_the_providers_own_words_rather_than_ours():
    code, _, body, _ = told(status(503, body=b'{"error":{"message":"maintenance"}}'), [(0.0, Fails())])
    assert (code, body) == (503, b'{"error":{"message":"maintenance"}}')


def test_the_callers_own_fault_at_the_second_target():
    assert told(status(429), status(400))[0] == 400


def test_of_equals_the_last():
    assert b"second" in told([(0.0, Fails("first"))], [(0.0, Fails("second"))])[2]


# -- the same target again --------------------------------------------------------------------------------------------


def test_a_stale_connection_is_tried_again_on_a_fresh_one_and_costs_no_target():
    (
        Play(plan(targets=1))
        .start()
        .expect(Open(0, 0))
        .give(UpstreamFailed(0, "reset", stale=True))
        .expect(Close(0), Open(1, 0, fresh=True))
        .give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, answer("Hi")))
        .expect(Head(200, ANY), Send(answer("Hi")), End())
    )


def test_a_fresh_connection_that_fails_is_a_failure():
    play = Play(plan(targets=1)).start().expect(Open(0, 0))
    play.give(UpstreamFailed(0, "reset", stale=True)).expect(Close(0), Open(1, 0, fresh=True))
    play.give(UpstreamFailed(1, "refused"))
    play.expect(Close(1), Head(502, ANY), Send(containing(b"refused")), End(), *the_end(Outcome.CONNECT_FAILED))


REJECTED = b'{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"]}]}'


@pytest.mark.parametrize("code", [400, 422])
def test_a_provider_that_rejects_stream_options_is_asked_once_more_without(code):
    play = waiting(plan(targets=1)).give(UpstreamHead(0, code, JSON), UpstreamBytes(0, REJECTED)).expect()
    play.give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True), Open(1, 0, ask_usage=False))
    play.give(UpstreamOpened(1), UpstreamHead(1, code, JSON), UpstreamBytes(1, REJECTED), UpstreamEnded(1, clean=True))
    play.expect(Close(1, reuse=True), Head(code, ANY), Send(REJECTED), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_a_client_that_asked_for_usage_itself_gets_the_rejection():
    play = waiting(plan(targets=1, include_usage=True)).give(UpstreamHead(0, 422, JSON), UpstreamBytes(0, REJECTED))
    play.give(UpstreamEnded(0, clean=True))
    play.expect(Close(0, reuse=True), Head(422, ANY), Send(REJECTED), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_a_target_that_takes_no_options_is_not_sent_any():
    play = Play(plan(ask_usage=False)).start().expect(Open(0, 0, ask_usage=False))
    play.give(UpstreamFailed(0, "reset", stale=True)).expect(Close(0), Open(1, 0, fresh=True, ask_usage=False))


def test_usage_that_penstock_asked_for_is_not_shown():
    body = role() + chunk("Hi") + finish() + usage() + DONE
    transcript = run(plan(), [script(body)])
    assert transcript.body == body.replace(usage(), b"")
    assert transcript.account.usage is not None
    assert run(plan(include_usage=True), [script(body)]).body == body


def test_the_last_target_has_longer_for_there_is_nobody_else():
    play = waiting(plan(commit_after=None)).wait_until(15).expect(Close(0), Open(1, 1))
    play.expect_deadline(15 + 5).give(UpstreamOpened(1)).expect().expect_deadline(15 + 22.5)
    play.at(37).give(UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("Hi"))).expect(Head(200, ANY), Send(chunk("Hi")))


def test_the_last_target_is_cut_off_by_the_total_all_the_same():
    play = waiting(plan(targets=1, commit_after=None, total=20)).wait_until(20)
    play.expect(
        Close(0), Head(504, ANY), Send(containing(b"20 s (deadlines.total)")), End(), *the_end(Outcome.MAX_DURATION)
    )


# -- once more from the first target ------------------------------------------------------------------------------


def busy(attempt: int, wait: bytes = b"") -> list[UpstreamHead | UpstreamEnded]:
    """A 503, with the wait that it asks for."""
    headers = (*JSON, (b"retry-after", wait)) if wait else JSON
    return [UpstreamHead(attempt, 503, headers), UpstreamEnded(attempt, clean=True)]


def test_with_retries_the_first_target_is_asked_again_after_a_wait():
    play = waiting(plan(retries=1, chance=0.8)).give(*busy(0)).expect(Close(0, reuse=True), Open(1, 1))
    play.give(UpstreamOpened(1), *busy(1)).expect(Close(1, reuse=True))
    # 0.8 of the first ceiling, 0.25 s.
    play.wait_until(0.4).expect(Open(2, 0))
    play.give(UpstreamOpened(2), UpstreamHead(2, 200, SSE), UpstreamBytes(2, answer("Hi"))).expect(
        Head(200, ANY), Send(answer("Hi")), End()
    )
    assert [attempt.round for attempt in play.account.attempts] == [0, 0, 1]


def test_the_waits_grow_and_then_the_error_is_the_answer():
    play = waiting(plan(targets=1, retries=2, chance=0.8)).give(*busy(0)).expect(Close(0, reuse=True))
    play.wait_until(0.4).expect(Open(1, 0)).give(UpstreamOpened(1), *busy(1)).expect(Close(1, reuse=True))
    play.wait_until(0.8).expect(Open(2, 0)).give(UpstreamOpened(2), *busy(2))
    play.expect(Close(2, reuse=True), Head(503, ANY), Send(ANY), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_the_wait_is_the_shortest_that_all_of_them_asked_for():
    play = waiting(plan(retries=1)).give(*busy(0, b"7")).expect(Close(0, reuse=True), Open(1, 1))
    play.give(UpstreamOpened(1), *busy(1, b"3")).expect(Close(1, reuse=True)).wait_until(3.2).expect(Open(2, 0))


def test_a_wait_that_the_total_does_not_allow_is_not_begun():
    play = waiting(plan(targets=1, retries=5, total=5)).give(*busy(0, b"7"))
    play.expect(Close(0, reuse=True), Head(503, ANY), Send(ANY), End(), *the_end(Outcome.UPSTREAM_ERROR))
    head = play.transcript.head
    assert head is not None
    assert (b"retry-after", b"7") in head.headers


def test_keepalives_go_on_while_nobody_is_asked():
    play = waiting(plan(targets=1, retries=1, commit_after=1, keepalive=2)).give(*busy(0, b"6"))
    play.expect(Close(0, reuse=True)).wait_until(1).expect(Head(200, ANY), Send(KEEPALIVE))
    play.wait_until(3).expect(Send(KEEPALIVE)).wait_until(5).expect(Send(KEEPALIVE)).wait_until(6.2).expect(Open(1, 0))


def test_a_client_that_leaves_between_two_rounds_is_asked_for_no_more():
    play = waiting(plan(targets=1, retries=1)).give(*busy(0, b"6")).expect(Close(0, reuse=True))
    play.at(2).give(ClientLeft()).expect(*the_end(Outcome.CLIENT_CLOSED)).expect_deadline(None)


def test_the_callers_own_fault_is_not_tried_again():
    play = waiting(plan(targets=1, retries=3)).give(UpstreamHead(0, 400, JSON), UpstreamEnded(0, clean=True))
    play.expect(Close(0, reuse=True), Head(400, ANY), Send(ANY), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_only_in_the_last_round_the_last_target_has_longer():
    play = waiting(plan(targets=1, retries=1, chance=0.0, commit_after=None))
    play.wait_until(15).expect(Close(0), Open(1, 0))
    play.give(UpstreamOpened(1)).expect().expect_deadline(15 + 22.5)


class Careful:
    """Admits and pays for what it is told to."""

    def __init__(self, admitted: tuple[int, ...], paid: tuple[int, ...]):
        self._admitted, self._paid = admitted, paid

    def admitted(self, now: float) -> tuple[int, ...]:
        return self._admitted

    def may_try(self, target: int, now: float) -> bool:
        return target in self._paid


def test_a_target_that_no_budget_pays_for_is_passed_over():
    play = waiting(plan(targets=3, asking=Careful((0, 1, 2), (2,)))).give(*busy(0))
    play.expect(Close(0, reuse=True), Open(1, 2))


def test_where_no_budget_pays_the_error_is_the_answer():
    play = waiting(plan(retries=1, asking=Careful((0, 1), ()))).give(*busy(0))
    play.expect(Close(0, reuse=True), Head(503, ANY), Send(ANY), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_the_next_round_begins_with_who_is_worth_it_by_then():
    play = waiting(plan(targets=2, retries=1, chance=0.0, asking=Careful((1,), (0, 1)))).give(*busy(0))
    play.expect(Close(0, reuse=True), Open(1, 1)).give(UpstreamOpened(1), *busy(1)).expect(Close(1, reuse=True))
    play.after(0).expect(Open(2, 1))
