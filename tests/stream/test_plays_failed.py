"""A play for every failure, before the commit and after it, for a client that streams."""

from __future__ import annotations

import pytest
from play_endings import ONE, failed_after, failed_before, the_end, told

from penstock.testing.playbook import (
    ANY,
    DONE,
    Close,
    End,
    Head,
    Open,
    Outcome,
    Play,
    Send,
    Shutdown,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamHead,
    chunk,
    containing,
    error,
    finish,
    plan,
    role,
    streaming,
    waiting,
)

# -- attempts that fail -----------------------------------------------------------------------------------------------


def test_connect_failed():
    (
        Play(plan(**ONE))
        .start()
        .expect(Open(0, 0))
        .at(0.1)
        .give(UpstreamFailed(0, "connection refused"))
        .expect(
            Close(0),
            Head(502, ANY),
            Send(containing(b"connection refused", b'"code":"connect_failed"')),
            End(),
            *the_end(Outcome.CONNECT_FAILED),
        )
    )


def test_connect_failed_in_time():
    (
        Play(plan(**ONE))
        .start()
        .expect(Open(0, 0))
        .wait_until(5)
        .expect(
            Close(0),
            Head(502, ANY),
            Send(containing(b"deadlines.connect")),
            End(),
            *the_end(Outcome.CONNECT_FAILED),
        )
    )


def test_first_token_timeout():
    waiting(plan(**ONE, commit_after=None)).wait_until(22.5).expect(*failed_before(504, Outcome.FIRST_TOKEN_TIMEOUT))


def test_first_token_timeout_in_spite_of_roles_comments_and_empty_deltas():
    play = waiting(plan(**ONE, commit_after=None))
    for instant, quiet in ((3, role()), (6, b": x\n\n"), (9, chunk("")), (14.9, role())):
        play.at(instant).give(UpstreamBytes(0, quiet)).expect()
    play.wait_until(22.5).expect(*failed_before(504, Outcome.FIRST_TOKEN_TIMEOUT))


def test_upstream_error_as_a_status_is_answered_with_that_status_and_body():
    body = b'{"error":{"message":"slow down","type":"rate_limit_error"}}'
    headers = ((b"content-type", b"application/json"), (b"retry-after", b"7"))
    play = waiting(plan(**ONE)).give(UpstreamHead(0, 429, headers), UpstreamBytes(0, body)).expect()
    play.give(UpstreamEnded(0, clean=True))
    play.expect(Close(0, reuse=True), Head(429, ANY), Send(body), End(), *the_end(Outcome.UPSTREAM_ERROR))
    head = play.transcript.head
    assert head is not None and (b"retry-after", b"7") in head.headers


@pytest.mark.parametrize(("body", "quoted"), [(b"<h1>Bad gateway</h1>", b"Bad gateway"), (b"", b"status 503")])
def test_upstream_error_with_a_body_that_is_no_json_is_quoted(body, quoted):
    play = waiting(plan(**ONE)).give(UpstreamHead(0, 503, ()), UpstreamBytes(0, body)).expect()
    play.give(UpstreamEnded(0, clean=True)).expect(
        Close(0, reuse=True),
        Head(503, ANY),
        Send(containing(quoted, b'"code":"upstream_error"')),
        End(),
        *the_end(Outcome.UPSTREAM_ERROR),
    )


def test_upstream_error_in_the_stream_before_a_token_has_the_status_that_it_maps_to():
    (
        waiting(plan(**ONE))
        .give(UpstreamBytes(0, role() + error("full", type="rate_limit_error", code="rate_limit")))
        .expect(
            Close(0),
            Head(429, ANY),
            Send(containing(b'"message":"full"', b'"code":"rate_limit"', b'"outcome":"upstream_error"')),
            End(),
            *the_end(Outcome.UPSTREAM_ERROR),
        )
    )


def test_upstream_error_in_the_stream_after_a_token_is_a_frame_and_no_success_follows():
    (
        streaming(plan())
        .give(UpstreamBytes(0, error("bad") + finish() + DONE))
        .expect(
            Close(0),
            Send(containing(b'"message":"bad"', b'"code":"upstream_error"')),
            End(),
            *the_end(Outcome.UPSTREAM_ERROR),
        )
    )


def test_upstream_error_from_a_document_that_is_no_answer():
    (
        waiting(plan(**ONE))
        .give(UpstreamBytes(0, b"<html>maintenance</html>"), UpstreamEnded(0, clean=True))
        .expect(
            Close(0, reuse=True),
            Head(502, ANY),
            Send(containing(b"in place of a stream")),
            End(),
            *the_end(Outcome.UPSTREAM_ERROR),
        )
    )


def test_upstream_error_of_a_frame_over_the_limit():
    play = streaming(plan(max_frame=200)).give(UpstreamBytes(0, b"data: " + b"x" * 195))
    play.expect(Close(0), Send(containing(b"over 200 bytes")), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_frames_before_one_over_the_limit_are_not_lost_to_it():
    play = streaming(plan(max_frame=200)).give(UpstreamBytes(0, chunk("!") + b"data: " + b"x" * 195))
    play.expect(
        Send(chunk("!")), Close(0), Send(containing(b"over 200 bytes")), End(), *the_end(Outcome.UPSTREAM_ERROR)
    )


def test_upstream_error_of_too_much_before_the_first_token():
    play = waiting(plan(**ONE, max_frame=200)).give(UpstreamBytes(0, role() + role()))
    play.expect(
        Close(0),
        Head(502, ANY),
        Send(containing(b"delivery.max_frame before its first token")),
        End(),
        *the_end(Outcome.UPSTREAM_ERROR),
    )


def test_upstream_error_of_a_malformed_frame_where_that_is_to_fail():
    play = streaming(plan(malformed="fail")).give(UpstreamBytes(0, b"data: {no\n\n" + chunk("!")))
    play.expect(Close(0), Send(containing(b"malformed")), End(), *the_end(Outcome.UPSTREAM_ERROR))


def test_a_malformed_frame_is_left_out_with_a_word_in_its_place():
    (
        streaming(plan())
        .give(UpstreamBytes(0, b"data: {no\n\n" + chunk("!")))
        .expect(Send(containing(b": penstock left out", chunk("!"))))
        .expect_account(malformed=1)
    )


@pytest.mark.parametrize("clean", [True, False])
def test_upstream_cut_after_a_token(clean):
    streaming(plan()).give(UpstreamEnded(0, clean, "reset")).expect(*failed_after(Outcome.UPSTREAM_CUT))


def test_upstream_cut_after_the_finish_when_the_connection_broke():
    play = streaming(plan()).give(UpstreamBytes(0, finish())).expect(Send(finish()))
    play.give(UpstreamEnded(0, clean=False)).expect(*failed_after(Outcome.UPSTREAM_CUT))


def test_upstream_cut_before_a_token():
    waiting(plan(**ONE)).give(UpstreamEnded(0, clean=False)).expect(*failed_before(502, Outcome.UPSTREAM_CUT))


def test_empty_at_a_clean_end():
    play = waiting(plan(**ONE)).give(UpstreamBytes(0, role() + finish())).expect()
    play.give(UpstreamEnded(0, clean=True)).expect(
        Close(0, reuse=True), Head(502, ANY), told(Outcome.EMPTY), End(), *the_end(Outcome.EMPTY)
    )


def test_empty_with_an_end_marker():
    play = waiting(plan(**ONE)).give(UpstreamBytes(0, role() + finish() + DONE))
    play.expect(*failed_before(502, Outcome.EMPTY))


def test_an_empty_answer_for_want_of_room_is_complete():
    body = role() + finish("length") + DONE
    waiting(plan(**ONE)).give(UpstreamBytes(0, body)).expect(Head(200, ANY), Send(body), End())


# -- time -------------------------------------------------------------------------------------------------------------


def test_stalled_between_tokens():
    streaming(plan(keepalive=None)).wait_until(31).expect(*failed_after(Outcome.STALLED))


def test_stalled_in_spite_of_comments_and_empty_deltas():
    play = streaming(plan(keepalive=None))
    for instant in (10, 20, 30):
        play.at(instant).give(UpstreamBytes(0, b": x\n\n" + chunk(""))).expect(Send(ANY))
    play.wait_until(31).expect(*failed_after(Outcome.STALLED))


def test_a_token_pushes_the_deadline_on():
    play = streaming(plan(keepalive=None))
    play.at(30).give(UpstreamBytes(0, chunk("!"))).expect(Send(ANY)).expect_deadline(60)


def test_max_duration_before_a_token_is_a_504():
    play = waiting(plan(total=12, commit_after=None))
    play.wait_until(12).expect(*failed_before(504, Outcome.MAX_DURATION))


def test_max_duration_counts_all_attempts():
    play = Play(plan(total=12, commit_after=None, connect=7)).start().expect(Open(0, 0))
    play.wait_until(7).expect(Close(0), Open(1, 1))
    play.wait_until(12).expect(Close(1), Head(504, ANY), ANY, End(), *the_end(Outcome.MAX_DURATION))


def test_max_duration_while_tokens_flow_is_a_frame():
    play = streaming(plan(total=12, keepalive=None)).at(11).give(UpstreamBytes(0, chunk("!"))).expect(Send(ANY))
    play.wait_until(12).expect(*failed_after(Outcome.MAX_DURATION))


# -- shutdown and crash -----------------------------------------------------------------------------------------------


def test_shutdown_before_the_commit_asks_to_come_again():
    play = waiting(plan()).give(Shutdown()).expect(*failed_before(503, Outcome.SHUTDOWN))
    head = play.transcript.head
    assert head is not None and (b"retry-after", b"1") in head.headers


def test_shutdown_after_the_commit_is_a_frame():
    streaming(plan()).give(Shutdown()).expect(*failed_after(Outcome.SHUTDOWN))


def test_done_after_error_for_clients_that_hang_without_it():
    play = streaming(plan(done_after_error=True)).give(Shutdown())
    play.expect(Close(0), Send(containing(b'"error"', DONE)), End(), *the_end(Outcome.SHUTDOWN))
