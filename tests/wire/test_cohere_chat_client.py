"""cohere-chat (v2), client side: requests, what Penstock says itself, the fold; and requests to its providers."""

from __future__ import annotations

import json

import pytest

from penstock.errors import BadRequest, Fault
from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.stream.commands import End, Send
from penstock.stream.inputs import Stop
from penstock.testing.corpus import examples
from penstock.testing.messages import plan
from penstock.testing.run import Meanwhile, Opens, Responds, Sends, run, script
from penstock.wire.cohere_chat import event_frame
from penstock.wire.cohere_chat_client import CohereClient, read_request, upstream_body
from penstock.wire.cohere_chat_fold import CohereFold
from penstock.wire.cohere_chat_translate import request_body
from penstock.wire.cohere_chat_wire import CohereClientWire
from penstock.wire.conversation import (
    Conversation,
    Format,
    ImagePart,
    Message,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)
from penstock.wire.registry import CLIENT_WIRES

WIRES = {"client": "cohere-chat", "upstream": "cohere-chat"}
COMPLETED = [example for example in examples("cohere-chat") if example.outcome == "completed"]


def payloads(body):
    return [payload for frame in SSEFramer().feed(body) if (payload := parse(frame).data) is not None]


@pytest.mark.parametrize(("said", "stream"), [("", False), ("null", False), ("true", True), ("false", False)])
def test_stream_is_false_unless_it_is_said_to_be_true(said, stream):
    body = b'{"model":"m"' + (f',"stream":{said}'.encode() if said else b"") + b"}"
    assert read_request(body).stream is stream


@pytest.mark.parametrize(
    ("body", "param"),
    [(b"{", None), (b"[]", None), (b"{}", "model"), (b'{"model":"m","stream":1}', "stream")],
)
def test_a_request_that_cannot_be_read(body, param):
    with pytest.raises(BadRequest) as raised:
        read_request(body)
    assert raised.value.param == param


def test_the_provider_gets_the_client_s_own_body():
    request = read_request(b'{"model":"m","messages":[],"documents":[{"id":"d"}],"p":0.90}')
    assert b'"p":0.90' in upstream_body(request, "other")
    assert json.loads(upstream_body(request, "other")) == {
        "model": "other", "messages": [], "documents": [{"id": "d"}], "p": 0.9, "stream": True,
    }  # fmt: skip


def test_other_providers_do_not_serve_its_clients():
    wire, request = CohereClientWire(), read_request(b'{"model":"m"}')
    assert wire.serves("/v2/chat") and not wire.serves("/v1/chat")
    for refused in (lambda: wire.conversation(request), wire.session(request, "st_1").writer):
        with pytest.raises(BadRequest) as raised:
            refused()
        assert (raised.value.code, raised.value.status, raised.value.param) == ("unsupported_wire", 400, "model")
        assert "cohere-chat" in raised.value.message
    body = json.loads(wire.refusal(raised.value, "st_1"))
    assert (body["code"], body["stream"]) == ("unsupported_wire", "st_1") and body["message"]


def test_keepalives_are_comments():
    steps = [(0.1, Opens()), (0.1, Responds())]
    transcript = run(plan(commit_after=1.0, keepalive=1.0, first_token=3.6, **WIRES), [steps])
    assert transcript.account.keepalives == 5
    assert transcript.body.startswith(b": keep-alive\n\n" * 5)


def test_a_late_error_is_a_last_event_and_a_cut():
    steps = [(0.1, Opens()), (0.1, Responds())]
    transcript = run(plan(commit_after=1.0, first_token=5.0, **WIRES), [steps])
    last = json.loads(payloads(transcript.body)[-1])
    assert (last["delta"]["code"], last["delta"]["status"]) == ("first_token_timeout", 504)
    kinds = [type(command) for command in transcript.commands]
    assert kinds[kinds.index(End) - 1] is Send and End(cut=True) in transcript.commands


def test_a_provider_s_own_words_are_kept():
    fault = Fault("no", "c", "INVALID_TOOL_GENERATION", 422, outcome="upstream_error", fields={"hint": "h"})
    client = CohereClient(read_request(b'{"model":"m"}'), "st_1")
    frame = client.error_frame(fault)
    assert frame.startswith(b"event: message-end\ndata: {") and frame.endswith(b"}\n\n")
    body = json.loads(payloads(frame)[0])
    zero = {"input_tokens": 0, "output_tokens": 0}
    assert body == {
        "type": "message-end",
        "id": "st_1",
        "delta": {
            "finish_reason": "ERROR", "error": "no", "usage": {"billed_units": zero, "tokens": zero},
            "error_type": "INVALID_TOOL_GENERATION", "code": "c", "outcome": "upstream_error", "status": 422,
            "stream": "st_1", "hint": "h",
        },
    }  # fmt: skip
    body = json.loads(client.error_body(fault))
    assert (body["message"], body["id"], body["code"], body["stream"]) == ("no", "st_1", "c", "st_1")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("begun", [True, False])
def test_a_stop_finishes_the_answer(stream, begun):
    data = event_frame({"type": "message-start", "id": "m-1", "delta": {"message": {"role": "assistant"}}})
    data += event_frame(
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}}
    )
    data += event_frame({"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}})
    steps = [(0.1, Opens()), (0.1, Responds()), *([(0.1, Sends(data))] if begun else []), (0.5, Meanwhile(Stop()))]
    transcript = run(plan(stream=stream, **WIRES), [steps])
    assert transcript.outcome is Outcome.STOPPED and End() in transcript.commands
    if stream:
        *events, done = payloads(transcript.body)
        kinds = [json.loads(event)["type"] for event in events]
        assert done == b"[DONE]" and kinds[0] == "message-start" and kinds[-1] == "message-end"
        assert kinds.count("content-start") == kinds.count("content-end") == int(begun)
    else:
        answer = json.loads(transcript.body)
        assert answer["finish_reason"] == "COMPLETE"
        assert answer["message"].get("content", []) == ([{"type": "text", "text": "Hi"}] if begun else [])


@pytest.mark.parametrize("example", COMPLETED, ids=lambda example: example.file)
def test_the_folded_answer_is_what_it_would_have_been(example):
    transcript = run(plan(stream=False, **WIRES), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    answer = json.loads(transcript.body)
    message = answer["message"]
    content = message.get("content", [])
    assert "".join(part["text"] for part in content if part["type"] == "text") == example.text
    thought = "".join(part["thinking"] for part in content if part["type"] == "thinking")
    assert thought + message.get("tool_plan", "") == example.reasoning
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())]
    assert calls == example.tools
    assert answer["id"] == "m-1" and answer["finish_reason"] and message["role"] == "assistant"
    assert "usage" in answer
    if example.file == "unknown.sse":
        assert answer["x_unknown"] == 1
    if example.file == "logprobs.sse":
        assert answer["logprobs"] == [{"token_ids": [9], "text": "Yes.", "logprobs": [-0.1]}]
    if example.file == "citations.sse":
        assert [cited["text"] for cited in message["citations"]] == ["weir"]


def test_the_fold_of_nothing():
    assert json.loads(CohereFold().answer()) == {
        "id": "",
        "message": {"role": "assistant"},
        "finish_reason": "COMPLETE",
    }


# -- requests to its providers ----------------------------------------------------------------------------------------


def user(*parts):
    return Conversation(messages=(Message("user", parts or (TextPart("Hello"),)),))


def sent(said):
    body = json.loads(request_body(said, "served"))
    assert (body.pop("model"), body.pop("stream")) == ("served", True)
    return body


def test_nothing_more_than_was_said():
    assert sent(user()) == {"messages": [{"role": "user", "content": "Hello"}]}


def test_all_that_has_a_place():
    said = user()
    said.system = ("Be brief.", "Be kind.")
    said.max_tokens, said.temperature, said.top_p, said.top_k, said.seed = 50, 0.5, 0.9, 40, 7
    said.frequency_penalty, said.presence_penalty, said.stop = 0.1, 0.2, ("a",)
    said.format, said.thinking_budget, said.user, said.parallel_tools = Format({"type": "object"}, "n"), 99, "u", True
    said.tools, said.tool_choice = (
        (Tool("f", "d", {"type": "object"}, True), Tool("g", strict=True)),
        ToolChoice("required"),
    )
    assert sent(said) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
        ],
        "max_tokens": 50, "temperature": 0.5, "p": 0.9, "k": 40, "seed": 7, "frequency_penalty": 0.1,
        "presence_penalty": 0.2, "stop_sequences": ["a"],
        "response_format": {"type": "json_object", "json_schema": {"type": "object"}},
        "thinking": {"type": "enabled", "token_budget": 99},
        "tools": [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}},
            {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
        ],
        "strict_tools": True,
        "tool_choice": "REQUIRED",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "name", "written"),
    [
        ({"format": Format()}, "response_format", {"type": "json_object"}),
        ({"effort": "none"}, "thinking", {"type": "disabled"}),
        ({"effort": "high"}, "thinking", {"type": "enabled"}),
        ({"thinking_budget": 0}, "thinking", {"type": "disabled"}),
        ({"tool_choice": ToolChoice("none"), "tools": (Tool("f"),)}, "tool_choice", "NONE"),
        ({"tool_choice": ToolChoice("auto"), "tools": (Tool("f"),)}, "tool_choice", None),
    ],
)
def test_in_its_words(fields, name, written):
    assert sent(Conversation(messages=user().messages, **fields)).get(name) == written


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": ToolChoice("named", "f"), "tools": (Tool("f"),)}, "tool_choice"),
        ({"parallel_tools": False, "tools": (Tool("f"),)}, "parallel_tools"),
        ({"tools": (Tool("f", strict=True), Tool("g"))}, "tools"),
        ({"effort": "medium"}, "effort"),
        ({"messages": (Message("assistant", (ImagePart(data="x"),)),)}, "messages"),
        ({"messages": (Message("user", (ToolResultPart("c", (ImagePart(data="x"),)),)),)}, "messages"),
    ],
)
def test_what_has_no_place_is_refused(fields, param):
    with pytest.raises(BadRequest) as raised:
        request_body(Conversation(**{"messages": user().messages, **fields}), "m")
    assert (raised.value.param, raised.value.code) == (param, "unsupported_field")


def test_turns_are_written():
    said = user(
        TextPart("Look"), ImagePart(data="eA==", media_type="image/png"), ImagePart(url="https://x/y", detail="low")
    )
    said.messages += (
        Message("assistant", (ThinkingPart("I will."), ToolCallPart("c", "f", '{"a":1}'))),
        Message("user", (ToolResultPart("c", (TextPart("one"), TextPart("!"))), TextPart("Go on"))),
        Message("assistant", (ThinkingPart("hm", "sealed"), TextPart("Done."))),
        Message("user", (TextPart("And?"),)),
        Message("assistant", (TextPart("No."),)),
    )
    assert sent(said)["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}},
                {"type": "image_url", "image_url": {"url": "https://x/y", "detail": "low"}},
            ],
        },
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            "tool_plan": "I will.",
        },
        {"role": "tool", "tool_call_id": "c", "content": "one!"},
        {"role": "user", "content": "Go on"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Done."}]},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "No."},
    ]


def test_a_messages_client_s_request_arrives():
    wire = next(wire for wire in CLIENT_WIRES if wire.name == "anthropic-messages")
    body = {
        "model": "m", "max_tokens": 9, "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "one"}]},
        ],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "any"}, "stop_sequences": ["x"], "top_k": 3,
    }  # fmt: skip
    written = sent(wire.conversation(wire.read("", "", json.dumps(body).encode())))
    assert [message["role"] for message in written["messages"]] == ["system", "user", "assistant", "tool"]
    assert (written["tool_choice"], written["k"], written["stop_sequences"]) == ("REQUIRED", 3, ["x"])
