"""Plays of streams that end well, or because the client or an operator wants it."""

from __future__ import annotations

from play_endings import ONE, the_end

from penstock.testing.playbook import (
    ANY,
    DONE,
    SSE,
    ClientLeft,
    Close,
    End,
    Head,
    Open,
    Outcome,
    Play,
    Send,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    answer,
    chunk,
    containing,
    finish,
    plan,
    role,
    streaming,
    usage,
    waiting,
)

# -- completed --------------------------------------------------------------------------------------------------------


def test_completed_a_whole_answer_in_pieces():
    (
        Play(plan(**ONE))
        .start()
        .expect(Open(0, 0))
        .at(0.1)
        .give(UpstreamOpened(0))
        .expect()
        .at(0.2)
        .give(UpstreamHead(0, 200, SSE))
        .expect()
        .at(0.3)
        .give(UpstreamBytes(0, role()))
        .expect()
        .at(0.5)
        .give(UpstreamBytes(0, chunk("Hi")))
        .expect(Head(200, ANY), Send(role() + chunk("Hi")))
        .at(0.6)
        .give(UpstreamBytes(0, chunk("!")[:20]))
        .expect()
        .give(UpstreamBytes(0, chunk("!")[20:]))
        .expect(Send(chunk("!")))
        .at(0.7)
        .give(UpstreamBytes(0, finish() + DONE))
        .expect(Send(finish() + DONE), End())
        .at(0.8)
        .give(UpstreamEnded(0, clean=True))
        .expect(Close(0, reuse=True), *the_end(Outcome.COMPLETED))
        .expect_account(outcome=Outcome.COMPLETED, committed=True, first_token=0.5, duration=0.8, token_events=2)
        .expect_account(finish="stop", client_status=200, warnings=[], frames_in=5)
    )


def test_completed_all_at_once():
    play = waiting(plan(**ONE)).give(UpstreamBytes(0, answer("Hi")))
    play.expect(Head(200, ANY), Send(answer("Hi")), End())


def test_completed_without_the_end_marker_at_a_clean_end():
    (
        streaming(plan(**ONE))
        .give(UpstreamBytes(0, finish()), UpstreamEnded(0, clean=True))
        .expect(Send(finish()), End(), Close(0, reuse=True), *the_end(Outcome.COMPLETED))
        .expect_account(warnings=["no_end_marker"])
    )


def test_completed_when_only_the_end_marker_never_comes():
    (
        streaming(plan(**ONE, keepalive=None))
        .at(2)
        .give(UpstreamBytes(0, finish()))
        .expect(Send(finish()))
        .wait_until(31)
        .expect(End(), Close(0), *the_end(Outcome.COMPLETED))
        .expect_account(warnings=["no_end_marker"])
    )


def test_completed_in_a_last_block_without_its_blank_line():
    (
        streaming(plan(**ONE))
        .give(UpstreamBytes(0, finish()[:-1]))
        .expect()
        .give(UpstreamEnded(0, clean=True))
        .expect(Send(finish()), End(), Close(0, reuse=True), *the_end(Outcome.COMPLETED))
    )


def test_completed_from_one_document_in_place_of_a_stream():
    whole = b'{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    whole += b'"content":"Hi"},"finish_reason":"stop"}]}'
    (
        waiting(plan(**ONE))
        .give(UpstreamBytes(0, whole))
        .expect()
        .give(UpstreamEnded(0, clean=True))
        .expect(
            Head(200, ANY),
            Send(containing(b'"delta":{"role":"assistant","content":"Hi"}', b'"finish_reason":"stop"', DONE)),
            End(),
            Close(0, reuse=True),
            *the_end(Outcome.COMPLETED),
        )
    )


# -- the client goes --------------------------------------------------------------------------------------------------


def test_client_closed_while_connecting():
    (
        Play(plan())
        .start()
        .expect(Open(0, 0))
        .at(0.1)
        .give(ClientLeft())
        .expect(Close(0), *the_end(Outcome.CLIENT_CLOSED))
        .expect_account(committed=False, client_status=None)
    )


def test_client_closed_while_waiting_for_a_token():
    waiting(plan()).at(5).give(ClientLeft()).expect(Close(0), *the_end(Outcome.CLIENT_CLOSED))


def test_client_closed_after_an_early_head():
    (
        waiting(plan())
        .wait_until(10)
        .expect(Head(200, ANY), Send(b": keep-alive\n\n"))
        .give(ClientLeft())
        .expect(Close(0), *the_end(Outcome.CLIENT_CLOSED))
    )


def test_client_closed_while_streaming():
    (
        streaming(plan())
        .at(2)
        .give(ClientLeft())
        .expect(Close(0), *the_end(Outcome.CLIENT_CLOSED))
        .expect_account(committed=True)
    )


def test_a_client_that_leaves_on_the_finish_has_its_answer_and_usage_may_still_come():
    (
        streaming(plan(**ONE))
        .at(2)
        .give(UpstreamBytes(0, finish()))
        .expect(Send(finish()))
        .give(ClientLeft())
        .expect()
        .at(2.5)
        .give(UpstreamBytes(0, usage(9, 2) + DONE))
        .expect()
        .give(UpstreamEnded(0, clean=True))
        .expect(Close(0, reuse=True), *the_end(Outcome.COMPLETED))
    )


def test_a_client_that_leaves_after_its_end_changes_nothing():
    (
        streaming(plan(**ONE))
        .give(UpstreamBytes(0, finish() + DONE))
        .expect(Send(finish() + DONE), End())
        .give(ClientLeft())
        .expect()
        .wait_until(2.0)
        .expect(Close(0), *the_end(Outcome.COMPLETED))
    )


# -- stopped ----------------------------------------------------------------------------------------------------------


def test_stopped_before_the_commit_is_an_empty_finished_answer():
    (
        waiting(plan())
        .at(2)
        .give(Stop())
        .expect(
            Close(0),
            Head(200, ANY),
            Send(containing(b'"finish_reason":"stop"', DONE)),
            End(),
            *the_end(Outcome.STOPPED),
        )
    )


def test_stopped_after_the_commit_keeps_the_answers_identity_and_tells_usage():
    (
        streaming(plan(include_usage=True))
        .give(UpstreamBytes(0, chunk("!", usage={"prompt_tokens": 9, "completion_tokens": 2})))
        .expect(Send(ANY))
        .at(2)
        .give(Stop())
        .expect(
            Close(0),
            Send(containing(b'"id":"c1"', b'"model":"m"', b'"prompt_tokens":9', DONE)),
            End(),
            *the_end(Outcome.STOPPED),
        )
    )


def test_a_stop_after_the_end_changes_nothing():
    play = streaming(plan(**ONE)).give(UpstreamBytes(0, finish() + DONE)).expect(Send(ANY), End())
    play.give(Stop()).expect().wait_until(2.0).expect(Close(0), *the_end(Outcome.COMPLETED))
