"""Errors inside a stream: seen in every dialect, and never taken back by what follows."""

from __future__ import annotations

import pytest

from penstock.events import ErrorReport, Start, Text
from penstock.stream.faults import http_error
from penstock.testing import frames
from penstock.testing.frames import DONE, chunk, finish, frame
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.openai_chat_wire import OpenAIChatUpstream
from penstock.wire.openai_responses_wire import OpenAIResponsesUpstream


def events(*several: bytes, **options: bool) -> list[object]:
    """The events of some frames, without the Start."""
    decoder = ChatDecoder(**options)
    return [event for one in several for event in decoder.decode(one)[1] if not isinstance(event, Start)]


ERRORS = {
    "OpenAI": (frames.error("bad", code="server_error"), ErrorReport("bad", "server_error", "server_error", 502)),
    "OpenRouter, with choices": (
        frame(
            {
                "error": {"code": 503, "message": "bad", "metadata": {}},
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            }
        ),
        ErrorReport("bad", "server_error", "503", 503),
    ),
    "Groq, in x_groq": (frame({"choices": [], "x_groq": {"error": "bad"}}), ErrorReport("bad")),
    "xAI, flat": (frame({"code": "rate_limit", "error": "bad"}), ErrorReport("bad", "server_error", "rate_limit", 429)),
    "TGI": (
        frame({"error": {"message": "bad", "http_status_code": 422}}),
        ErrorReport("bad", "server_error", None, 422),
    ),
    "TGI of old": (frame({"error": "bad", "error_type": "overloaded"}), ErrorReport("bad", "overloaded", None, 503)),
    "vLLM": (
        frame({"error": {"message": "bad", "type": "BadRequestError", "code": 400}}),
        ErrorReport("bad", "BadRequestError", "400", 400),
    ),
    "llama.cpp, a field with the error": (
        b'error: {"code":500,"message":"bad","type":"server_error"}\n\n',
        ErrorReport("bad", "server_error", "500", 500),
    ),
    "a field with an error in it": (b'error: {"error":{"message":"bad"}}\n\n', ErrorReport("bad")),
    "a field with a detail": (b'error: {"detail":"bad"}\n\n', ErrorReport("bad")),
    "a field with words": (b"error: bad\n\n", ErrorReport("bad")),
    "bare JSON": (b'{"error":{"message":"bad","code":429}}\n\n', ErrorReport("bad", "server_error", "429", 429)),
    "bare JSON over lines": (b'{\n"error": {"message": "bad"}\n}\n\n', ErrorReport("bad")),
    "with an event name": (b"event: error\n" + frames.error("bad"), ErrorReport("bad")),
    "a quota": (frames.error("bad", type="insufficient_quota"), ErrorReport("bad", "insufficient_quota", None, 429)),
    "without words": (
        frame({"error": {"type": "x"}}),
        ErrorReport("the provider reported an error without a message", "x"),
    ),
}


@pytest.mark.parametrize("dialect", ERRORS)
def test_an_error_is_seen_in_every_dialect(dialect):
    one, wanted = ERRORS[dialect]
    (report,) = events(one)
    assert isinstance(report, ErrorReport)
    assert (report.message, report.type, report.code, report.status) == (
        wanted.message,
        wanted.type,
        wanted.code,
        wanted.status,
    )


@pytest.mark.parametrize("dialect", ERRORS)
def test_nothing_after_an_error_makes_the_answer_complete(dialect):
    decoder = ChatDecoder()
    for one in (chunk("a"), ERRORS[dialect][0], finish(), DONE):
        decoder.decode(one)
    assert decoder.incomplete(clean=True) == "the provider reported an error"


def test_an_error_that_is_null_or_empty_is_none():
    for nothing in (None, {}, "", False):
        assert events(chunk("a", error=nothing)) == [Text("a")]


def test_an_error_keeps_the_providers_own_fields():
    (report,) = events(frames.error("bad", type="t", code=7))
    assert report.fields == {"message": "bad", "type": "t", "param": None, "code": 7}


def test_the_body_of_an_http_error_may_be_the_error_itself():
    vllm = OpenAIChatUpstream().error(b'{"object":"error","message":"too long","type":"BadRequestError","code":400}')
    assert vllm is not None
    assert (vllm.message, vllm.type, vllm.code, vllm.status) == ("too long", "BadRequestError", "400", 400)
    fastapi = OpenAIResponsesUpstream().error(b'{"detail":"no such path"}')
    assert fastapi is not None and fastapi.message == "no such path"
    assert OpenAIChatUpstream().error(b'{"detail":[{"loc":["body"]}]}') is None


def test_an_http_error_of_a_shape_that_nobody_knows_is_quoted():
    failure = http_error(422, (), b'{"detail":[{"loc":["body"]}]}', None, verbatim=False)
    assert failure.body is None
    assert failure.fault.message == 'the provider answered with status 422: {"detail":[{"loc":["body"]}]}'
