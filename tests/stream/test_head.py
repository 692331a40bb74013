"""The head of the client's answer, and what must never be in it."""

from __future__ import annotations

from penstock.stream.head import header, passed_on, scrubbed
from penstock.testing.playbook import (
    ANY,
    JSON,
    SSE,
    Head,
    Send,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    chunk,
    error,
    plan,
    waiting,
)

SECRET = b"sk-secret"


def test_the_providers_own_headers_go_on():
    kept = ((b"x-request-id", b"r1"), (b"x-ratelimit-remaining-tokens", b"9"), (b"openai-version", b"1"))
    assert passed_on(kept, ()) == kept


def test_headers_of_the_hop_the_body_and_the_site_do_not():
    dropped = (b"connection", b"transfer-encoding", b"content-length", b"content-encoding", b"content-type", b"server")
    dropped += (b"set-cookie", b"cache-control", b"strict-transport-security", b"x-accel-buffering", b"date")
    dropped += (b"access-control-allow-origin", b"x-penstock-stream")
    assert passed_on(tuple((name, b"x") for name in dropped), ()) == ()


def test_a_stream_has_the_headers_that_keep_it_one():
    play = waiting(plan()).give(UpstreamBytes(0, chunk("Hi"))).expect(Head(200, ANY), Send(ANY))
    head = play.transcript.head
    assert head is not None
    headers = dict(head.headers)
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-cache, no-transform"
    assert headers[b"x-accel-buffering"] == b"no"
    assert headers[b"x-penstock-stream"] == b"st_play"
    assert headers[b"x-penstock-target"] == b"p0/m"
    assert {b"content-length", b"content-encoding", b"connection"}.isdisjoint(headers)


def test_a_credential_that_the_provider_echoes_reaches_nobody():
    for happened in (
        (UpstreamHead(0, 401, JSON), UpstreamBytes(0, b'{"error":{"message":"bad key sk-secret"}}')),
        (UpstreamHead(0, 500, ((b"x-debug", SECRET),)), UpstreamBytes(0, b"<p>sk-secret</p>")),
        (UpstreamHead(0, 200, SSE), UpstreamBytes(0, error("bad key sk-secret"))),
    ):
        play = waiting(plan(targets=1, secrets=(SECRET,))).give(*happened, UpstreamEnded(0, clean=True)).passing_over()
        head = play.transcript.head
        assert play.transcript.over
        assert head is not None
        assert b"***" in play.body
        assert SECRET not in play.body
        assert not any(SECRET in value for _, value in head.headers)


def test_a_credential_is_replaced_wherever_it_stands():
    assert scrubbed(b"a sk-secret b sk-secret", (SECRET,)) == b"a *** b ***"


def test_a_header_is_found_by_its_name():
    assert header(((b"a", b"1"), (b"b", b"2"), (b"b", b"3")), b"b") == b"2"
    assert header((), b"b") is None
