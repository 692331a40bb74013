"""Requests of other wires' clients, as ConverseStream wants them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.errors import BadRequest
from penstock.request import StreamRequest
from penstock.wire.base import ClientWire
from penstock.wire.bedrock_wires import BedrockConverseUpstream, BedrockInvokeUpstream
from penstock.wire.conversation import Conversation, Message, TextPart, ThinkingPart, ToolCallPart, ToolResultPart
from penstock.wire.registry import CLIENT_WIRES

CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
PNG = "iVBORw0KGgo="
HELLO = [{"role": "user", "content": "Hello"}]


def client(name: str) -> ClientWire:
    return next(wire for wire in CLIENT_WIRES if wire.name == name)


def asked(name: str, **fields: Any) -> Conversation:
    wire = client(name)
    body = json.dumps({"model": "m", **fields}).encode()
    request: StreamRequest = wire.read("/v1/chat/completions" if "chat" in name else "/v1/messages", "", body)
    return wire.conversation(request)


def valid(body: dict[str, Any]) -> dict[str, Any]:
    """The body; where botocore is installed, by its own rules."""
    try:
        from botocore.session import Session
        from botocore.validate import ParamValidator
    except ImportError:
        return body
    shape = Session().get_service_model("bedrock-runtime").operation_model("ConverseStream").input_shape
    report = ParamValidator().validate({"modelId": "m", **body}, shape)
    assert not report.has_errors(), report.generate_report()
    return body


def chat(model: str = CLAUDE, **fields: Any) -> dict[str, Any]:
    conversation = asked("openai-chat", **{"messages": HELLO, **fields})
    return valid(json.loads(BedrockConverseUpstream().translate(conversation, model, ask_usage=True)))


def messages(model: str = CLAUDE, **fields: Any) -> dict[str, Any]:
    conversation = asked("anthropic-messages", **{"messages": HELLO, "max_tokens": 9, **fields})
    return valid(json.loads(BedrockConverseUpstream().translate(conversation, model, ask_usage=True)))


def refused(error: BadRequest, field: str) -> None:
    assert (error.status, error.code, error.param) == (400, "unsupported_field", field)
    assert error.message.startswith(field)


def test_a_plain_request() -> None:
    assert chat() == {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}


def test_everything_that_has_a_place() -> None:
    body = chat(
        messages=[{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Really."}, *HELLO],
        max_completion_tokens=50,
        temperature=0.5,
        top_p=0.9,
        stop=["END", "STOP"],
        user="u-1",
        tools=[
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
            },
            {"type": "function", "function": {"name": "g"}},
        ],
        tool_choice="required",
        parallel_tool_calls=True,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        reasoning_effort="low",
    )
    empty = {"type": "object", "properties": {}}
    assert body == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "system": [{"text": "Be brief."}, {"text": "Really."}],
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.5, "topP": 0.9, "stopSequences": ["END", "STOP"]},
        "toolConfig": {
            "tools": [
                {
                    "toolSpec": {
                        "name": "f",
                        "description": "d",
                        "inputSchema": {"json": {"type": "object"}},
                        "strict": True,
                    }
                },
                {"toolSpec": {"name": "g", "inputSchema": {"json": empty}}},
            ],
            "toolChoice": {"any": {}},
        },
        "outputConfig": {
            "effort": "low",
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "n"}},
            },
        },
        "requestMetadata": {"user": "u-1"},
    }


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "f"}}, {"tool": {"name": "f"}}),
    ],
)
def test_the_choice_of_tools(choice: Any, written: dict[str, Any]) -> None:
    assert chat(tools=[TOOL], tool_choice=choice)["toolConfig"]["toolChoice"] == written
    assert "toolChoice" not in chat(tools=[TOOL])["toolConfig"]


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CALLED = [
    *HELLO,
    {"role": "assistant", "content": "Looking.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "call_1", "content": "7"},
]


def test_no_choice_of_tools() -> None:
    assert "toolConfig" not in chat(tools=[TOOL], tool_choice="none")
    with pytest.raises(BadRequest) as caught:
        chat(tools=[TOOL], tool_choice="none", messages=CALLED)
    refused(caught.value, "tool_choice")


def test_calls_and_their_results() -> None:
    assert chat(messages=CALLED, tools=[TOOL])["messages"] == [
        {"role": "user", "content": [{"text": "Hello"}]},
        {
            "role": "assistant",
            "content": [{"text": "Looking."}, {"toolUse": {"toolUseId": "call_1", "name": "f", "input": {"a": 1}}}],
        },
        {"role": "user", "content": [{"toolResult": {"toolUseId": "call_1", "content": [{"text": "7"}]}}]},
    ]


def test_results_stand_first_and_may_hold_images_and_errors() -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "x"}, image]}
    failed = {"type": "tool_result", "tool_use_id": "t2", "content": "no", "is_error": True}
    turn = {"role": "user", "content": [{"type": "text", "text": "and?"}, result, failed]}
    use = [{"type": "tool_use", "id": each, "name": "f", "input": {}} for each in ("t1", "t2")]
    body = messages(messages=[*HELLO, {"role": "assistant", "content": use}, turn])
    assert body["messages"][2]["content"] == [
        {
            "toolResult": {
                "toolUseId": "t1",
                "content": [{"text": "x"}, {"image": {"format": "png", "source": {"bytes": PNG}}}],
            }
        },
        {"toolResult": {"toolUseId": "t2", "content": [{"text": "no"}], "status": "error"}},
        {"text": "and?"},
    ]


def test_images() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{PNG}", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "s3://bucket/a/b.webp"}},
    ]
    assert chat(messages=[{"role": "user", "content": parts}])["messages"][0]["content"] == [
        {"image": {"format": "jpeg", "source": {"bytes": PNG}}},
        {"image": {"format": "webp", "source": {"s3Location": {"uri": "s3://bucket/a/b.webp"}}}},
    ]


@pytest.mark.parametrize("url", ["https://a.example/x.png", "data:image/tiff;base64,AAAA", "s3://bucket/x", "data:x,y"])
def test_images_without_a_place(url: str) -> None:
    part = {"type": "image_url", "image_url": {"url": url}}
    with pytest.raises(BadRequest) as caught:
        chat(messages=[{"role": "user", "content": [part]}])
    refused(caught.value, "messages")


def test_reasoning_of_earlier_turns() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
        {"type": "redacted_thinking", "data": "EtkECkg="},
        {"type": "thinking", "thinking": "unsealed", "signature": ""},
        {"type": "text", "text": "Hi"},
    ]
    body = messages(messages=[*HELLO, {"role": "assistant", "content": content}, *HELLO])
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqQB"}}},
        {"reasoningContent": {"redactedContent": "RXRrRUNrZz0="}},
        {"text": "Hi"},
    ]


def test_turns_alternate_also_where_one_has_nothing_to_carry() -> None:
    conversation = Conversation(
        messages=(
            Message("user", (TextPart("a"),)),
            Message("assistant", (ThinkingPart("unsealed"), TextPart(""))),
            Message("user", (TextPart("b"),)),
        )
    )
    body = json.loads(BedrockConverseUpstream().translate(conversation, CLAUDE, ask_usage=True))
    assert valid(body)["messages"] == [{"role": "user", "content": [{"text": "a"}, {"text": "b"}]}]


def test_ids_are_put_into_the_letters_of_the_wire_on_both_sides() -> None:
    for name, written in (("a|b c", "a_b_c"), ("tooluse_x.y:z-1", "tooluse_x.y:z-1"), ("y" * 65, None)):
        conversation = Conversation(
            messages=(
                Message("user", (TextPart("a"),)),
                Message("assistant", (ToolCallPart(name, "f", "{}"),)),
                Message("user", (ToolResultPart(name, ()),)),
            )
        )
        body = valid(json.loads(BedrockConverseUpstream().translate(conversation, CLAUDE, ask_usage=True)))
        call = body["messages"][1]["content"][0]["toolUse"]["toolUseId"]
        result = body["messages"][2]["content"][0]["toolResult"]
        assert call == result["toolUseId"] and len(call) <= 64 and written in (call, None)
        assert result["content"] == []


def test_what_only_some_models_have() -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    assert messages(top_k=5, thinking=thinking)["additionalModelRequestFields"] == {"top_k": 5, "thinking": thinking}
    assert messages(NOVA, top_k=5)["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 5}}
    assert chat(NOVA, reasoning_effort="low") == {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
    }
    assert "outputConfig" not in chat(reasoning_effort="none")
    with pytest.raises(BadRequest) as caught:
        messages(NOVA, thinking=thinking)
    refused(caught.value, "thinking.budget_tokens")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"seed": 1}, "seed"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"parallel_tool_calls": False, "tools": [TOOL]}, "parallel_tool_calls"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"user": "é"}, "user"),
        ({"user": "x" * 257}, "user"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
    ],
)
def test_what_has_no_place_is_refused_by_the_clients_name(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(BadRequest) as caught:
        chat(**fields)
    refused(caught.value, named)


def test_arguments_that_are_no_object() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "[1]"}}
    with pytest.raises(BadRequest, match="must be a JSON object"):
        chat(messages=[*HELLO, {"role": "assistant", "tool_calls": [call]}])


# -- bedrock-invoke -----------------------------------------------------------------------------------------------


def test_the_body_of_invoke_is_the_anthropic_clients_own() -> None:
    raw = b'{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"Hi \\u00e9"}],"x":{"a": 1}}'
    wire = BedrockInvokeUpstream()
    request = client("anthropic-messages").read("/v1/messages", "", raw)
    assert wire.body(request, CLAUDE, ask_usage=True) == (
        b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":9,'
        b'"messages":[{"role":"user","content":"Hi \\u00e9"}],"x":{"a": 1}}'
    )
    own = client("anthropic-messages").read("/v1/messages", "", b'{"model":"m","anthropic_version":"bedrock-x"}')
    assert wire.body(own, CLAUDE, ask_usage=True) == b'{"anthropic_version":"bedrock-x"}'


def test_betas_of_a_header_are_a_field_of_the_body() -> None:
    wire = BedrockInvokeUpstream()
    request = client("anthropic-messages").read("/v1/messages", "", b'{"model":"m","anthropic_beta":["a"]}')
    headers = ((b"anthropic-beta", b"b, a,,c"), (b"anthropic-beta", b"d"), (b"x", b"y"))
    adopted = wire.adopt(request, headers)
    assert json.loads(wire.body(adopted, CLAUDE, ask_usage=True))["anthropic_beta"] == ["a", "b", "c", "d"]
    assert wire.adopt(request, ((b"x", b"y"),)) is request


def test_other_clients_get_anthropics_body() -> None:
    conversation = asked("openai-chat", messages=HELLO, top_p=0.5)
    body = json.loads(BedrockInvokeUpstream().translate(conversation, CLAUDE, ask_usage=True))
    assert body == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": body["max_tokens"],
        "messages": [{"role": "user", "content": "Hello"}],
        "top_p": 0.5,
    }
