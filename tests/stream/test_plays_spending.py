"""Plays about a key's budget that runs out while a stream flows."""

from __future__ import annotations

import msgspec

from penstock.policy.silence import Silence, SilenceRules
from penstock.stream.spending import SPENT
from penstock.stream.summary import Summary
from penstock.testing.playbook import (
    ANY,
    DONE,
    SSE,
    AllowanceAnswered,
    ClientBlocked,
    ClientDrained,
    ClientLeft,
    Close,
    Done,
    End,
    Outcome,
    Pause,
    Play,
    Record,
    Resume,
    Send,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    containing,
    finish,
    plan,
    role,
    streaming,
    usage,
)


class Tokens:
    """An allowance of so many token events, of which others use some too."""

    def __init__(self, count: int):
        self.left = count
        self.known = True
        """Where others are asked, they have answered."""

    def lasts(self, account: Summary) -> bool | None:
        return account.token_events < self.left or (False if self.known else None)


def within(count: int, **options: object) -> Play:
    allowance = Tokens(count)
    play = streaming(msgspec.structs.replace(plan(**options), allowance=allowance))  # type: ignore[arg-type]
    play.allowance = allowance  # type: ignore[attr-defined]
    return play


SPENT_ENDING = (
    Close(0),
    Send(containing(b'"finish_reason":"length"', DONE)),
    End(),
    Record(ANY),
    Done(Outcome.BUDGET_EXCEEDED),
)


def test_the_chunk_that_spends_the_budget_is_the_last():
    play = within(3)
    play.at(2).give(UpstreamBytes(0, chunk("b"))).expect(Send(chunk("b")))
    play.at(3).give(UpstreamBytes(0, chunk("c"))).expect(Send(chunk("c")), *SPENT_ENDING)
    play.expect_account(outcome=Outcome.BUDGET_EXCEEDED, reason=SPENT, token_events=3)


def test_what_others_spend_ends_it_too():
    play = within(100)
    play.allowance.left = 0
    play.at(2).give(UpstreamBytes(0, chunk("b"))).expect(Send(chunk("b")), *SPENT_ENDING)


def test_before_its_first_token_it_goes_on():
    play = Play(msgspec.structs.replace(plan(), allowance=Tokens(0)))
    play.start().passing_over().give(UpstreamOpened(0), UpstreamHead(0, 200, SSE), UpstreamBytes(0, role())).expect()


def test_an_answer_that_is_whole_stays_whole():
    play = within(3)
    whole = chunk("b") + chunk("c") + finish() + DONE
    play.at(2).give(UpstreamBytes(0, whole)).expect(Send(whole), End())
    play.give(UpstreamEnded(0, True)).expect(Close(0, True), Record(ANY), Done(Outcome.COMPLETED))


def test_the_usage_that_is_known_is_delivered():
    play = within(3, include_usage=True)
    play.at(2).give(UpstreamBytes(0, usage(9, 2))).expect(Send(usage(9, 2)))
    play.at(3).give(UpstreamBytes(0, chunk("b") + chunk("c")))
    assert b'"completion_tokens":2' in play.transcript.body


def test_a_folded_answer_is_whole_json_with_a_length_finish():
    play = within(3, stream=False)
    play.at(2).give(UpstreamBytes(0, chunk("b") + chunk("c")))
    body = play.transcript.body
    assert b'"finish_reason":"length"' in body
    play.expect_account(outcome=Outcome.BUDGET_EXCEEDED, client_status=200)


def test_a_provider_that_breaks_off_in_the_same_input_changes_nothing():
    play = within(2)
    play.at(2).give(UpstreamBytes(0, chunk("b") + b"data: " + b"x" * 100)).expect(Send(chunk("b")), *SPENT_ENDING)
    play.give(UpstreamEnded(0, False)).expect()


def test_a_frame_that_is_too_large_behind_it_ends_nothing_twice():
    play = within(2, max_frame=2048)
    play.at(2).give(UpstreamBytes(0, chunk("b") + b"data: " + b"x" * 4096)).expect(Send(chunk("b")), *SPENT_ENDING)


def test_the_client_is_told_where_its_key_stands_and_not_where_the_gateways_does():
    told = ((b"x-ratelimit-remaining-requests", b"59"),)
    play = Play(msgspec.structs.replace(plan(), told=told)).start().passing_over().give(UpstreamOpened(0))
    play.give(UpstreamHead(0, 200, (*SSE, (b"x-ratelimit-remaining-requests", b"9"), (b"x-request-id", b"r"))))
    play.give(UpstreamBytes(0, chunk("Hi"))).passing_over()
    assert play.transcript.head is not None
    headers = [field for field in play.transcript.head.headers if field[0].startswith(b"x-r")]
    assert headers == [*told, (b"x-request-id", b"r")]


def waiting(**options: object) -> Play:
    """A play in which others must be asked whether there may be a third chunk."""
    play = within(2, **options)
    play.allowance.known = False  # type: ignore[attr-defined]
    return play.at(2).give(UpstreamBytes(0, chunk("b"))).expect(Send(chunk("b")), Pause(0))


def test_nothing_is_read_until_it_is_known_whether_it_may_be_paid():
    play = waiting()
    play.allowance.left = 9
    play.at(2.1).give(AllowanceAnswered()).expect(Resume(0))
    play.give(UpstreamBytes(0, chunk("c"))).expect(Send(chunk("c")))


def test_there_was_no_more():
    play = waiting()
    play.allowance.known = True
    play.at(2.1).give(AllowanceAnswered()).expect(*SPENT_ENDING)


def test_it_waits_for_another_answer_where_that_one_said_nothing():
    play = waiting().at(2.1).give(AllowanceAnswered()).expect()
    play.allowance.left = 9
    play.at(2.2).give(AllowanceAnswered()).expect(Resume(0))


def test_the_provider_is_not_blamed_for_that_silence():
    play = waiting(between_tokens=5.0, keepalive=None)
    play.expect_deadline(600.0)
    play.allowance.left = 9
    play.at(100).give(AllowanceAnswered()).expect(Resume(0)).expect_deadline(105.0)


def test_a_client_that_reads_again_does_not_end_the_waiting():
    play = waiting().give(ClientBlocked()).expect().give(ClientDrained()).expect()
    play.allowance.left = 9
    play.give(AllowanceAnswered()).expect(Resume(0))


def test_an_answer_does_not_unblock_the_client():
    play = waiting().give(ClientBlocked()).expect()
    play.allowance.left = 9
    play.give(AllowanceAnswered()).expect().give(ClientDrained()).expect(Resume(0))


def test_who_leaves_while_it_waits_has_left():
    waiting().give(ClientLeft()).expect(Close(0), Record(ANY), Done(Outcome.CLIENT_CLOSED))


def test_an_answer_that_nobody_waits_for_changes_nothing():
    within(9).at(2).give(AllowanceAnswered()).expect()


def test_a_drain_ends_where_the_budget_does():
    play = within(3, on_disconnect="drain").give(ClientLeft()).expect()
    play.at(2).give(UpstreamBytes(0, chunk("b"))).expect()
    play.give(UpstreamBytes(0, chunk("c"))).expect(Close(0), Record(ANY), Done(Outcome.CLIENT_CLOSED))


def test_what_came_all_the_same_is_read_frame_by_frame():
    play = waiting().give(UpstreamBytes(0, chunk("c") + chunk("d") + chunk("e"))).expect()
    play.allowance.left = 4
    play.at(2.1).give(AllowanceAnswered()).expect(Send(chunk("c")), Send(chunk("d")))
    play.allowance.known = True
    play.at(2.2).give(AllowanceAnswered()).expect(*SPENT_ENDING)
    play.expect_account(token_events=4)


def test_an_answer_that_was_whole_meanwhile_stays_whole():
    rest = chunk("c") + finish() + DONE
    play = waiting().give(UpstreamBytes(0, rest), UpstreamEnded(0, True)).expect()
    play.allowance.left = 9
    play.at(2.1).give(AllowanceAnswered())
    play.expect(
        Send(chunk("c")), Send(finish()), Send(DONE), End(), Close(0, True), Record(ANY), Done(Outcome.COMPLETED)
    )


def test_whose_silences_are_learnt_waits_too():
    play = waiting(silences=(Silence(SilenceRules()),)).give(UpstreamBytes(0, chunk("c"))).expect()
    play.allowance.left = 9
    play.at(2.1).give(AllowanceAnswered()).expect(Send(chunk("c")), Resume(0))
