"""Plays for a client that wants its answer whole: the same deadlines, failover and outcomes."""

from __future__ import annotations

import json

import msgspec
from play_endings import the_end, told

from penstock.stream.commands import Seal
from penstock.stream.plan import Resumable
from penstock.testing.playbook import (
    ANY,
    DONE,
    SSE,
    ClientBlocked,
    ClientLeft,
    Close,
    End,
    Head,
    Open,
    Outcome,
    Pause,
    Play,
    Send,
    Shutdown,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    answer,
    chunk,
    containing,
    error,
    finish,
    plan,
    streaming,
    usage,
    waiting,
)


def folded(**policies: object):
    return plan(stream=False, **policies)


def test_nothing_is_said_until_the_answer_is_whole():
    play = streaming(folded()).at(3).give(UpstreamBytes(0, chunk("!"))).expect().at(25).expect()
    play.give(UpstreamBytes(0, finish() + usage(9, 2) + DONE)).expect(
        Head(200, ANY), Send(containing(b'"content":"Hi!"', b'"prompt_tokens":9')), End()
    )
    play.give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True), *the_end(Outcome.COMPLETED))
    head = play.transcript.head
    assert head is not None
    headers = dict(head.headers)
    assert headers[b"content-type"] == b"application/json"
    assert headers[b"content-length"] == b"%d" % len(play.body)
    assert (headers[b"x-penstock-target"], headers[b"x-penstock-attempts"]) == (b"p0/m", b"1")
    assert json.loads(play.body)["object"] == "chat.completion"
    play.expect_account(committed=True, first_token=1.0, client_status=200)


def test_no_early_head_and_no_keepalives():
    waiting(folded(first_token=60)).at(59).expect()


def test_a_failure_after_tokens_still_goes_on_to_the_next_target():
    play = streaming(folded()).give(UpstreamEnded(0, clean=False)).expect(Close(0), Open(1, 1))
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, answer("Whole")))
    play.expect(Head(200, ANY), Send(containing(b'"content":"Whole"')), End())
    assert b"Hi" not in play.body


def test_the_last_failure_is_a_status():
    play = streaming(folded(targets=1)).give(UpstreamEnded(0, clean=False))
    play.expect(Close(0), Head(502, ANY), told(Outcome.UPSTREAM_CUT), End(), *the_end(Outcome.UPSTREAM_CUT))


def test_an_error_in_the_stream_is_a_status():
    play = streaming(folded(targets=1)).give(UpstreamBytes(0, error("full", code="rate_limit")))
    play.expect(
        Close(0), Head(429, ANY), Send(containing(b'"message":"full"')), End(), *the_end(Outcome.UPSTREAM_ERROR)
    )


def test_a_stall_is_a_504_and_no_failover():
    play = streaming(folded()).wait_until(31)
    play.expect(Close(0), Head(504, ANY), told(Outcome.STALLED), End(), *the_end(Outcome.STALLED))


def test_first_token_timeout_goes_on():
    waiting(folded()).wait_until(15).expect(Close(0), Open(1, 1))


def test_max_duration_is_a_504():
    play = streaming(folded(total=20)).wait_until(20)
    play.expect(Close(0), Head(504, ANY), told(Outcome.MAX_DURATION), End(), *the_end(Outcome.MAX_DURATION))


def test_a_client_that_leaves_closes_the_upstream_even_on_the_finish():
    play = streaming(folded()).give(UpstreamBytes(0, finish())).expect()
    play.give(ClientLeft()).expect(Close(0), *the_end(Outcome.CLIENT_CLOSED))


def test_a_stop_gives_what_there_is():
    play = streaming(folded()).at(2).give(Stop())
    play.expect(
        Close(0),
        Head(200, ANY),
        Send(containing(b'"content":"Hi"', b'"finish_reason":"stop"')),
        End(),
        *the_end(Outcome.STOPPED),
    )


def test_a_stop_before_any_token_gives_an_empty_answer():
    play = Play(folded()).start().expect(Open(0, 0)).give(Stop())
    play.expect(Close(0), Head(200, ANY), Send(containing(b'"content":""')), End(), *the_end(Outcome.STOPPED))


def test_shutdown_is_a_503():
    play = streaming(folded()).give(Shutdown())
    play.expect(Close(0), Head(503, ANY), told(Outcome.SHUTDOWN), End(), *the_end(Outcome.SHUTDOWN))


def test_a_client_that_has_got_nothing_is_not_blocked():
    streaming(folded()).give(ClientBlocked()).expect()


# -- with a heartbeat ---------------------------------------------------------------------------------------------


def beating(**policies: object):
    """Heartbeats were sent: the 200 is out."""
    return streaming(folded(heartbeat=10, **policies)).wait_until(10).expect(Head(200, ANY), Send(b" "))


def test_a_heartbeat_is_white_space_in_front_of_the_answer():
    play = beating().give(UpstreamBytes(0, chunk("!"))).expect()
    play.wait_until(20).expect(Send(b" "))
    play.give(UpstreamBytes(0, finish() + usage(9, 2) + DONE)).expect(Send(containing(b'"content":"Hi!"')), End())
    play.give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True), *the_end(Outcome.COMPLETED))
    assert play.transcript.head is not None
    headers = dict(play.transcript.head.headers)
    assert headers[b"content-type"] == b"application/json" and b"content-length" not in headers
    assert play.body.startswith(b"  {") and json.loads(play.body)["object"] == "chat.completion"
    play.expect_account(committed=True, client_status=200, keepalives=2)


def test_behind_a_heartbeat_an_error_is_a_body_that_is_cut():
    play = beating(targets=1).give(UpstreamEnded(0, clean=False))
    play.expect(Close(0), told(Outcome.UPSTREAM_CUT), End(cut=True), *the_end(Outcome.UPSTREAM_CUT))
    assert json.loads(play.body)["error"]["code"] == "upstream_cut"


def test_failover_stays_possible_behind_a_heartbeat():
    play = beating().give(UpstreamEnded(0, clean=False)).expect(Close(0), Open(1, 1))
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, answer("Whole")))
    play.expect(Send(containing(b'"content":"Whole"')), End())


def test_a_stop_behind_a_heartbeat_gives_the_answer_so_far():
    play = beating().give(Stop())
    play.expect(Close(0), Send(containing(b'"content":"Hi"')), End(), *the_end(Outcome.STOPPED))


def test_a_client_that_leaves_between_heartbeats():
    beating().give(ClientLeft()).expect(Close(0), *the_end(Outcome.CLIENT_CLOSED))


def test_the_journal_of_a_blocked_client_is_sealed_with_the_error():
    asked = msgspec.structs.replace(folded(heartbeat=10, targets=1), resumable=Resumable())
    play = streaming(asked).wait_until(10).expect(Head(200, ANY), Send(b" ")).give(ClientBlocked()).expect(Pause(0))
    play.give(Shutdown())
    (seal,) = [command for command in play.transcript.commands if isinstance(command, Seal)]
    assert seal.status == 503 and seal.body is not None and b"shutdown" in seal.body
    assert play.body == b" "
