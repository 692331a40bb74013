"""Requests without streaming."""

from __future__ import annotations

import json

import pytest

from penstock.wire import unstreamed

PATHS = [
    ("/chat/completions", "/chat/completions"),
    ("/v1beta/models/m:streamGenerateContent?alt=sse", "/v1beta/models/m:generateContent"),
    ("/v1beta/models/m:streamGenerateContent?alt=sse&x=1", "/v1beta/models/m:generateContent?x=1"),
    ("/model/a%3A0/converse-stream", "/model/a%3A0/converse"),
    ("/model/a/invoke-with-response-stream", "/model/a/invoke"),
    ("/generate_stream", "/generate"),
    ("/deployments/d/chat/completions?api-version=1", "/deployments/d/chat/completions?api-version=1"),
]


@pytest.mark.parametrize(("streamed", "whole"), PATHS)
def test_paths(streamed: str, whole: str) -> None:
    assert unstreamed.path(streamed) == whole
    assert unstreamed.path(whole) == whole


def test_the_body_is_the_same_but_for_streaming() -> None:
    body = b'{"model":"m","stream":true,"stream_options":{"include_usage":true},"seed":1e400}'
    assert unstreamed.body(body) == b'{"model":"m","stream":false,"seed":1e400}'
    assert json.loads(unstreamed.body(b'{"contents":[]}')) == {"contents": []}


def test_headers() -> None:
    fields = [("content-type", "application/json"), ("accept", "text/event-stream")]
    assert unstreamed.headers(fields) == [("content-type", "application/json"), ("accept", "application/json")]
