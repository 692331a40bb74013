"""The openai-chat client side: requests as they are read, and everything that Penstock itself says."""

from __future__ import annotations

import pytest

from penstock.errors import BadRequest, Fault
from penstock.framing.sse import SSEFramer, parse
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.openai_chat_client import ChatClient, read_request, upstream_body
from penstock.wire.openai_errors import bad_request_body

PLAIN = b'{"model":"gpt","stream":true,"messages":[{"role":"user","content":"hi"}]}'


def client(body: bytes = PLAIN) -> ChatClient:
    return ChatClient(read_request(body), "st_1")


def data(frame: bytes):
    return json.loads(parse(frame).data or b"")


# -- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_is_read():
    request = read_request(PLAIN)
    assert (request.model, request.stream, request.include_usage) == ("gpt", True, False)


@pytest.mark.parametrize("stream", ["", ',"stream":false', ',"stream":null'])
def test_a_request_that_does_not_ask_for_a_stream_gets_none(stream):
    assert read_request(b'{"model":"gpt"%s}' % stream.encode()).stream is False


def test_usage_is_asked_for_in_the_options():
    options = b'{"model":"gpt","stream":true,"stream_options":{"include_usage":%s}}'
    assert read_request(options % b"true").include_usage is True
    assert read_request(options % b"false").include_usage is False


REFUSED = {
    b"": ("invalid_json", None),
    b"{": ("invalid_json", None),
    b"[]": ("invalid_json", None),
    b"\xff": ("invalid_json", None),
    b"{}": ("invalid_request", "model"),
    b'{"model":""}': ("invalid_request", "model"),
    b'{"model":7}': ("invalid_request", "model"),
    b'{"model":"m","stream":"yes"}': ("invalid_request", "stream"),
    b'{"model":"m","stream":true,"stream_options":7}': ("invalid_request", "stream_options"),
    b'{"model":"m","stream_options":{"include_usage":true}}': ("invalid_request", "stream_options"),
}


@pytest.mark.parametrize("body", REFUSED)
def test_a_request_that_cannot_be_served_is_refused_with_the_field_to_mend(body):
    with pytest.raises(BadRequest) as caught:
        read_request(body)
    assert (caught.value.code, caught.value.param) == REFUSED[body]
    told = json.loads(bad_request_body(caught.value, "st_1"))["error"]
    assert (told["type"], told["param"], told["stream"]) == ("invalid_request_error", REFUSED[body][1], "st_1")
    assert told["message"]


def test_an_upstream_body_has_every_field_as_it_came_but_for_three():
    asked = read_request(b'{"model":"gpt","stream":true,"temperature":1.50,"new":{"b":1,"a":2}}')
    body = upstream_body(asked, "gpt-4o", ask_usage=True)
    assert b'"temperature":1.50' in body
    assert b'"new":{"b":1,"a":2}' in body
    assert json.loads(body) == {
        "model": "gpt-4o",
        "stream": True,
        "temperature": 1.5,
        "new": {"b": 1, "a": 2},
        "stream_options": {"include_usage": True},
    }


def test_a_provider_that_takes_no_options_gets_none():
    assert "stream_options" not in json.loads(upstream_body(read_request(PLAIN), "m", ask_usage=False))


def test_the_clients_own_options_stay():
    asked = read_request(
        b'{"model":"g","stream":true,"stream_options":{"include_usage":false,"include_obfuscation":false}}'
    )
    options = json.loads(upstream_body(asked, "m", ask_usage=True))["stream_options"]
    assert options == {"include_usage": True, "include_obfuscation": False}
    hers = read_request(b'{"model":"g","stream":true,"stream_options":{"include_usage":true}}')
    assert json.loads(upstream_body(hers, "m", ask_usage=False))["stream_options"] == {"include_usage": True}


def test_a_folded_request_is_streamed_upstream():
    assert json.loads(upstream_body(read_request(b'{"model":"g"}'), "m", ask_usage=True))["stream"] is True


# -- what Penstock says -----------------------------------------------------------------------------------------------


def test_keepalives_and_gaps_are_comments():
    for block in (client().keepalive(), client().skipped()):
        assert parse(block).comment and parse(block).data is None
        assert block.endswith(b"\n\n")


def test_an_error_frame_is_one_on_which_clients_raise():
    told = data(client().error_frame(Fault("gone", "stalled", "timeout_error", 504, outcome="stalled")))
    assert told == {
        "error": {
            "message": "gone",
            "type": "timeout_error",
            "param": None,
            "code": "stalled",
            "status": 504,
            "stream": "st_1",
        }
    }


def test_a_providers_own_error_keeps_its_fields_and_the_outcome_beside_them():
    fault = Fault("full", "429", "rate_limit_error", 429, outcome="upstream_error", fields={"metadata": {"a": 1}})
    told = json.loads(client().error_body(fault))["error"]
    assert (told["metadata"], told["code"], told["outcome"]) == ({"a": 1}, "429", "upstream_error")


def frames_of(stopped: bytes) -> list[bytes]:
    return SSEFramer().feed(stopped)


def test_a_stop_finishes_the_answer_as_the_provider_would_have():
    finish, done = frames_of(client().stop_frames("c1", "m", Usage(9, 2)))
    assert data(finish)["choices"][0]["finish_reason"] == "stop"
    assert (data(finish)["id"], data(finish)["model"]) == ("c1", "m")
    assert done == b"data: [DONE]\n\n"


def test_a_stop_tells_usage_to_who_asked():
    asking = client(b'{"model":"gpt","stream":true,"stream_options":{"include_usage":true}}')
    _, usage, _ = frames_of(asking.stop_frames("", "", Usage(input=5, output=2, reasoning=3, cache_read=4)))
    assert data(usage)["choices"] == []
    told = data(usage)["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (9, 5, 14)
    assert told["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert (data(usage)["id"], data(usage)["model"]) == ("st_1", "gpt")
    assert len(frames_of(asking.stop_frames("", "", None))) == 2
