"""Bedrock's wires as the gateway sees them: paths, bodies that are no streams, errors, regions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.events import EndMarker, ErrorReport, Finish, Reasoning, ReasoningSeal, Text, ToolArguments, UsageReport
from penstock.request import StreamRequest
from penstock.testing.bedrock import read
from penstock.usage import Usage
from penstock.wire.anthropic_messages_fold import MessagesFold
from penstock.wire.base import Body, clients_of
from penstock.wire.bedrock_errors import bare_name
from penstock.wire.bedrock_invoke import InvokeDecoder
from penstock.wire.bedrock_wires import BedrockConverseUpstream, BedrockInvokeUpstream, region_of
from penstock.wire.openai_chat_wire import OpenAIChatUpstream

CONVERSE, INVOKE = BedrockConverseUpstream(), BedrockInvokeUpstream()
REQUEST = StreamRequest(model="m", stream=True, include_usage=True, body={})


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1%3A0"),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-v1:0",
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.anthropic.claude-v1%3A0",
        ),
        ("a~b_c", "a~b_c"),
    ],
)
def test_paths(model: str, written: str) -> None:
    assert CONVERSE.path(REQUEST, model) == f"/model/{written}/converse-stream"
    assert INVOKE.path(REQUEST, model) == f"/model/{written}/invoke-with-response-stream"


def test_whose_clients_get_the_bytes() -> None:
    assert clients_of(CONVERSE) == {"bedrock-converse"}
    assert clients_of(INVOKE) == {"anthropic-messages"}
    assert clients_of(OpenAIChatUpstream()) == {"openai-chat"}


@pytest.mark.parametrize(
    ("start", "kind", "body"),
    [
        (b"", b"", Body.UNKNOWN),
        (b"\0", b"", Body.STREAM),
        (b"\0\0\0\x94", b"application/json", Body.STREAM),
        (b"{", b"application/vnd.amazon.eventstream", Body.WHOLE),
        (b"<html>", b"text/html", Body.WHOLE),
        (b"\x1f", b"application/vnd.amazon.eventstream", Body.STREAM),
        (b"\n{", b"application/json", Body.WHOLE),
    ],
)
def test_what_a_body_is(start: bytes, kind: bytes, body: Body) -> None:
    assert CONVERSE.sniff(start, kind) is body


@pytest.mark.parametrize(
    ("body", "name", "message", "status"),
    [
        (
            {"message": "no", "__type": "com.amazon.coral.service#ExpiredTokenException"},
            "ExpiredTokenException",
            "no",
            403,
        ),
        ({"Message": "No"}, "", "No", 502),
        ({"__type": "ThrottlingException"}, "ThrottlingException", "the provider reported", 429),
        ({"message": "x", "originalStatusCode": 500}, "", "x", 502),
    ],
)
def test_error_bodies(body: dict[str, Any], name: str, message: str, status: int) -> None:
    report = CONVERSE.error(json.dumps(body).encode())
    assert report is not None and report.message.startswith(message)
    assert (report.type, report.code, report.status) == (name or "server_error", name or None, status)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"x":1}', b'{"message":7}'])
def test_bodies_that_are_no_errors(body: bytes) -> None:
    assert CONVERSE.error(body) is None and INVOKE.error(body) is None
    assert CONVERSE.whole(body) is None and INVOKE.whole(body) is None


def test_names_of_exceptions() -> None:
    assert bare_name("ValidationException:http://internal.amazon.com/coral/") == "ValidationException"
    assert bare_name("com.amazon.coral#ValidationException") == "ValidationException"
    assert bare_name("x") == "x"


def test_a_whole_answer_of_converse() -> None:
    content = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"text": "Hello"},
        {"citationsContent": {"content": [{"text": "cited"}], "citations": [{"title": "t"}]}},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
        {"toolUse": {"toolUseId": "t2", "name": "g", "input": {}}},
    ]
    answer = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7},
        "metrics": {"latencyMs": 1},
    }
    frames = CONVERSE.whole(json.dumps(answer).encode())
    assert isinstance(frames, list)
    seen = read(b"".join(frames))
    kinds = (Text, Reasoning, ReasoningSeal, ToolArguments, Finish, UsageReport, EndMarker)
    assert [event for event in seen.events if isinstance(event, kinds)] == [
        Reasoning("hm"),
        ReasoningSeal("s"),
        Text("Hello"),
        Text("cited"),
        ToolArguments(0, "t1", "f"),
        ToolArguments(0, "", "", '{"a":1}'),
        ToolArguments(1, "t2", "g"),
        ToolArguments(1, "", "", "{}"),
        Finish("tool_use", kind="tool_calls"),
        UsageReport(Usage(input=3, output=4)),
        EndMarker(),
    ]
    assert seen.missing is None


def test_a_whole_message_of_invoke() -> None:
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    frames = INVOKE.whole(json.dumps(message).encode())
    assert isinstance(frames, list)
    seen = read(b"".join(frames), InvokeDecoder())
    fold = MessagesFold()
    fold.feed(seen.bytes)
    assert json.loads(fold.answer()) == message and seen.missing is None


def test_a_whole_error() -> None:
    for wire in (CONVERSE, INVOKE):
        report = wire.whole(b'{"message":"no","__type":"ThrottlingException"}')
        assert isinstance(report, ErrorReport) and report.status == 429


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("bedrock-runtime.eu-central-2.api.aws", "eu-central-2"),
        ("vpce-0a1b-xyz.bedrock-runtime.ap-southeast-4.vpce.amazonaws.com", "ap-southeast-4"),
        ("127.0.0.1", None),
        ("bedrock-runtime.us-east-1.example.com", None),
        ("s3.us-east-1.amazonaws.com", None),
    ],
)
def test_regions(host: str, region: str | None) -> None:
    assert region_of(host) == region
