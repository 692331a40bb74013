"""What Penstock says on anthropic-messages: requests read, errors told, keep-alives, stops; and whole streams."""

from __future__ import annotations

import json

import pytest

from penstock.errors import BadRequest, Fault
from penstock.outcome import Outcome
from penstock.stream.commands import Open
from penstock.stream.inputs import Stop
from penstock.testing import frames as chat
from penstock.testing.messages import (
    PING,
    STOP,
    answer,
    closed,
    delta,
    finish,
    frame,
    opened,
    plan,
    read,
    request,
    start,
    text,
)
from penstock.testing.run import Ends, Meanwhile, Opens, Responds, Sends, run, script
from penstock.usage import Usage
from penstock.wire.anthropic_errors import error_type
from penstock.wire.anthropic_messages_client import MessagesClient, read_request
from penstock.wire.anthropic_messages_wire import VERSION, AnthropicMessagesClient, AnthropicMessagesUpstream

WIRE, CLIENT = AnthropicMessagesUpstream(), AnthropicMessagesClient()


def session() -> MessagesClient:
    return MessagesClient(request(), "st_1")


def told(fault: Fault) -> dict:
    body = session().error_body(fault)
    framed = session().error_frame(fault)
    assert framed == b"event: error\ndata: " + body + b"\n\n"
    return json.loads(body)


# -- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_keeps_every_field():
    body = b'{"model":"claude","max_tokens":5,"stream":true,"messages":[{"x":1.0}],"x_unknown":{"y":[1,2]}}'
    asked = read_request(body)
    assert asked.model == "claude" and asked.stream and asked.include_usage
    sent = WIRE.body(asked, "claude-sonnet", ask_usage=True)
    assert sent == body.replace(b'"claude"', b'"claude-sonnet"')
    quiet = read_request(b'{"model":"claude","messages":[]}')
    assert not quiet.stream
    assert json.loads(WIRE.body(quiet, "c", ask_usage=False)) == {"model": "c", "messages": [], "stream": True}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "model"),
        (b'{"model": 1}', "model"),
        (b'{"model": ""}', "model"),
        (b'{"model": "c", "stream": "false"}', "stream"),
    ],
)
def test_a_request_that_cannot_be_read(body, param):
    with pytest.raises(BadRequest) as refused:
        read_request(body)
    assert refused.value.param == param
    said = json.loads(CLIENT.refusal(refused.value, "st_1"))
    assert said["type"] == "error" and said["request_id"] == said["error"]["stream"] == "st_1"
    assert said["error"]["type"] == "invalid_request_error" and said["error"].get("param") == param


def test_headers_and_paths():
    asked = request()
    assert CLIENT.serves("/v1/messages") and not CLIENT.serves("/v1/messages/count_tokens")
    assert WIRE.path(asked, "c") == "/v1/messages"
    assert WIRE.credentials("key") == [("x-api-key", "key")]
    assert dict(WIRE.headers(asked))["anthropic-version"] == VERSION
    assert WIRE.passed_headers == {b"anthropic-version", b"anthropic-beta"}


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (408, "timeout_error"),
        (409, "conflict_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (499, "api_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
        (0, "api_error"),
    ],
)
def test_the_words_for_errors(status, word):
    assert error_type(status) == word
    assert told(Fault("It broke.", "stalled", "server_error", status))["error"]["type"] == word


def test_an_error_of_penstock():
    assert told(Fault("It broke.", "stalled", "timeout_error", 504, outcome="stalled")) == {
        "type": "error",
        "error": {"type": "timeout_error", "message": "It broke.", "code": "stalled", "status": 504, "stream": "st_1"},
        "request_id": "st_1",
    }


def test_the_provider_keeps_its_own_words():
    fields = {"type": "overloaded_error", "message": "Overloaded", "x": 1, "request_id": "req_1"}
    fault = Fault("Overloaded", "upstream_error", "overloaded_error", 529, outcome="upstream_error", fields=fields)
    body = told(fault)
    assert body["request_id"] == "req_1"
    assert body["error"]["type"] == "overloaded_error" and body["error"]["x"] == 1
    foreign = told(Fault("boom", "1211", "invalid_value", 400, "tools", "upstream_error", {"code": "1211"}))["error"]
    assert foreign["type"] == "invalid_request_error" and foreign["provider_type"] == "invalid_value"
    assert foreign["code"] == "1211" and foreign["param"] == "tools" and foreign["outcome"] == "upstream_error"


def test_the_body_of_an_http_error_is_read():
    said = WIRE.error(b'{"type":"error","error":{"type":"not_found_error","message":"model: x"},"request_id":null}')
    assert said is not None and (said.message, said.type, said.status) == ("model: x", "not_found_error", 404)
    said = WIRE.error(b'[{"error":{"code":429,"message":"out","status":"RESOURCE_EXHAUSTED"}}]')
    assert said is not None and (said.message, said.status) == ("out", 429)
    assert WIRE.error(b"upstream connect error") is None


# -- what Penstock writes into streams --------------------------------------------------------------------------------


def test_keepalive_and_end_marker():
    assert session().keepalive() == PING
    assert session().end_marker() == b""
    assert session().skipped().startswith(b": ") and session().skipped().endswith(b"\n\n")


def test_an_answer_that_was_stopped_before_it_began():
    said = read(session().stop_frames("", "", Usage(input=4)))
    assert said.blocks == [] and said.delta["stop_reason"] == "end_turn"
    assert (said.message["id"], said.message["model"]) == ("msg_st_1", "claude")
    assert said.message["usage"]["input_tokens"] == 4


# -- whole streams ----------------------------------------------------------------------------------------------------


def stopped_at(client: str, upstream: str, *pieces: bytes, **policies):
    steps = [(0.1, Opens()), (0.1, Responds()), *((0.1, Sends(piece)) for piece in pieces), (0.1, Meanwhile(Stop()))]
    return run(plan(client=client, upstream=upstream, **policies), [steps])


def test_a_stop_in_the_middle():
    transcript = stopped_at("anthropic-messages", "anthropic-messages", start() + opened() + text("Hel"))
    assert transcript.outcome is Outcome.STOPPED
    said = read(transcript.body)
    assert said.joined("text", "text") == "Hel" and said.delta["stop_reason"] == "end_turn"


def test_a_stop_before_the_first_token():
    assert read(stopped_at("anthropic-messages", "anthropic-messages", start()).body).blocks == []
    assert read(stopped_at("anthropic-messages", "openai-chat", chat.role()).body).blocks == []


def test_a_stop_of_another_wires_answer():
    said = read(stopped_at("anthropic-messages", "openai-chat", chat.role() + chat.chunk("Hel")).body)
    assert said.joined("text", "text") == "Hel" and said.delta["stop_reason"] == "end_turn"
    body = stopped_at("openai-chat", "anthropic-messages", start() + opened() + text("Hel")).body
    assert body.endswith(b"data: [DONE]\n\n") and b'"finish_reason":"stop"' in body


def test_a_stopped_answer_that_is_folded():
    body = json.loads(
        stopped_at("anthropic-messages", "anthropic-messages", start() + opened() + text("a"), stream=False).body
    )
    assert body["content"] == [{"type": "text", "text": "a"}] and body["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("upstream", "begin"),
    [
        ("anthropic-messages", start() + opened() + text("Hel")),
        ("openai-chat", chat.role() + chat.chunk("Hel")),
    ],
)
@pytest.mark.parametrize("ending", ["cut", "stall", "error"])
def test_a_failure_after_the_commit_is_told_in_the_stream(upstream, begin, ending):
    error = frame("error", error={"type": "overloaded_error", "message": "Overloaded"})
    error = error if upstream == "anthropic-messages" else chat.error("Overloaded", type="overloaded_error")
    last = {"cut": [(0.1, Ends())], "stall": [], "error": [(0.1, Sends(error))]}[ending]
    steps = [(0.1, Opens()), (0.1, Responds()), (0.1, Sends(begin)), *last]
    transcript = run(plan(upstream=upstream), [steps])
    said = read(transcript.body, whole=False)
    assert said.joined("text", "text") == "Hel" and not said.ended and not said.delta
    wanted = {"cut": "upstream_cut", "stall": "stalled", "error": "upstream_error"}[ending]
    assert transcript.outcome == wanted
    assert wanted in (said.error["error"]["code"], said.error["error"].get("outcome"))
    assert (
        said.error["error"]["type"]
        == {"cut": "api_error", "stall": "timeout_error", "error": "overloaded_error"}[ending]
    )


def test_a_failure_before_the_commit_is_a_status():
    broken = start() + frame("error", error={"type": "overloaded_error", "message": "Overloaded"}, request_id="req_1")
    transcript = run(plan(), [script(broken)])
    assert transcript.head.status == 529
    body = json.loads(transcript.body)
    assert body["type"] == "error" and body["error"]["type"] == "overloaded_error" and body["request_id"] == "req_1"


def test_an_http_error_of_the_same_wire_goes_on_as_it_is():
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow"},"request_id":"req_1"}'
    steps = [(0.1, Opens()), (0.1, Responds(429, chat.JSON)), (0.1, Sends(body)), (0.0, Ends())]
    transcript = run(plan(), [steps])
    assert (transcript.head.status, transcript.body) == (429, body)
    transcript = run(plan(client="openai-chat", upstream="anthropic-messages"), [steps])
    error = json.loads(transcript.body)["error"]
    assert transcript.head.status == 429 and error["type"] == "rate_limit_error" and error["message"] == "Slow"


def test_keepalives_stand_between_frames():
    steps = [(0.1, Opens()), (0.1, Responds()), (20.0, Sends(start() + opened())), (20.0, Sends(text("a")))]
    steps += [(20.0, Sends(closed() + finish() + STOP)), (0.0, Ends())]
    transcript = run(plan(first_token=100.0, commit_after=5.0, keepalive=5.0), [steps])
    assert transcript.outcome is Outcome.COMPLETED and transcript.body.count(PING) > 4
    assert read(transcript.body).joined("text", "text") == "a"


@pytest.mark.parametrize("upstream", ["anthropic-messages", "openai-chat"])
def test_a_finished_answer_whose_end_marker_never_comes_still_has_its_end(upstream):
    whole = answer("Hi")[: -len(STOP)] if upstream == "anthropic-messages" else chat.chunk("Hi") + chat.finish()
    transcript = run(plan(upstream=upstream), [[(0.1, Opens()), (0.1, Responds()), (0.1, Sends(whole))]])
    assert transcript.outcome is Outcome.COMPLETED
    assert read(transcript.body).joined("text", "text") == "Hi"


def test_usage_that_comes_after_the_finish_reaches_the_client():
    data = chat.role() + chat.chunk("Hi") + chat.finish() + chat.usage(11, 3) + chat.DONE
    transcript = run(plan(upstream="openai-chat"), [script(data)])
    said = read(transcript.body)
    assert said.usage["input_tokens"] == 11 and said.usage["output_tokens"] == 3
    assert transcript.account.usage == Usage(input=11, output=3)


def test_a_tool_call_of_another_wire():
    data = chat.role() + chat.tool(0, id="call_1", name="level") + chat.tool(0, arguments='{"gate"')
    data += chat.tool(0, arguments=":1}") + chat.finish("tool_calls") + chat.DONE
    said = read(run(plan(upstream="openai-chat"), [script(data)]).body)
    assert said.calls == [("call_1", "level", '{"gate":1}')] and said.delta["stop_reason"] == "tool_use"


def test_a_half_call_is_never_finished():
    half = start() + opened(0, "tool_use", id="t", name="f", input={}) + delta("input_json_delta", partial_json='{"a')
    for client in ("anthropic-messages", "openai-chat"):
        transcript = run(plan(client=client, upstream="anthropic-messages"), [script(half)])
        assert transcript.outcome is Outcome.UPSTREAM_CUT
        assert b"content_block_stop" not in transcript.body and b'finish_reason":"' not in transcript.body
        folded = run(plan(client=client, upstream="anthropic-messages", stream=False), [script(half)])
        assert folded.head.status == 502


def test_a_provider_that_rejects_the_question_for_usage_is_asked_without():
    rejected = b'{"error":{"message":"unknown field stream_options","type":"invalid_request_error"}}'
    refuses = [(0.1, Opens()), (0.1, Responds(400, chat.JSON)), (0.1, Sends(rejected)), (0.0, Ends())]
    transcript = run(plan(upstream="openai-chat"), [refuses, script(chat.answer("Hi"))])
    assert transcript.outcome is Outcome.COMPLETED
    assert [command.ask_usage for command in transcript.commands if isinstance(command, Open)] == [True, False]
