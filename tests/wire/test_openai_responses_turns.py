"""Requests and answers of openai-responses from wire to wire and back, and on the turn after."""

from __future__ import annotations

import json
from typing import Any

from test_openai_responses_translate import HISTORY, read, sent

from penstock.events import Finish, Reasoning, ReasoningSeal, Text, ToolArguments
from penstock.wire import openai_chat_client, openai_chat_translate
from penstock.wire.conversation import TextPart, ThinkingPart, ToolCallPart
from penstock.wire.openai_responses_client import ResponsesClient, read_request
from penstock.wire.openai_responses_fold import ResponsesFold
from penstock.wire.openai_responses_request import request_body
from penstock.wire.openai_responses_translate import conversation


def test_a_chat_request_becomes_one_of_this_wire():
    asked = {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]},
            {
                "role": "assistant",
                "content": None,
                "reasoning_details": [{"type": "reasoning.encrypted", "data": "s"}],
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "7"},
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "max_completion_tokens": 9,
        "reasoning_effort": "high",
        "response_format": {"type": "json_object"},
    }
    told = openai_chat_translate.conversation(openai_chat_client.read_request(json.dumps(asked).encode()))
    body = sent(told)
    assert body["instructions"] == "Be brief."
    assert [item["type"] for item in body["input"]] == ["message", "reasoning", "function_call", "function_call_output"]
    assert body["input"][0]["content"][0]["image_url"] == "data:image/png;base64,AA"
    assert body["input"][1] == {"type": "reasoning", "summary": [], "encrypted_content": "s"}
    assert (body["max_output_tokens"], body["text"], body["reasoning"]) == (
        9,
        {"format": {"type": "json_object"}},
        {"effort": "high"},
    )


def test_a_request_of_this_wire_becomes_one_of_chat():
    told = read(
        instructions="Be brief.", input=HISTORY[1:2] + HISTORY[4:7], max_output_tokens=9, reasoning={"effort": "low"}
    )
    body = json.loads(openai_chat_translate.request_body(told, "m", ask_usage=True))
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "level", "arguments": "{}"}
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (9, "low")


def test_a_request_comes_back_the_same():
    told = read(
        input=HISTORY,
        tools=[{"type": "function", "name": "f", "strict": False, "parameters": {"type": "object"}}],
        top_p=0.5,
    )
    again = conversation(read_request(request_body(told, "m")))
    assert again.tools == told.tools and again.top_p == told.top_p
    assert again.system == told.system and len(again.messages) == len(told.messages)


def test_what_an_answer_said_comes_back_on_the_next_turn_as_it_was():
    """F10: the output of a translated answer, sent back as it is, gives the very signatures."""
    writer = ResponsesClient(read_request(b'{"model":"m","input":"Hi"}'), "s1").writer()
    events = (
        Reasoning("Think"),
        Reasoning("ing\n"),
        ReasoningSeal("c2ln"),
        ReasoningSeal("ZGF0YQ==", redacted=True),
        ReasoningSeal("bare"),
        Text("Yes"),
        ToolArguments(0, "c", "f", "{}", signature="g"),
        Finish("tool_calls", kind="tool_calls"),
    )
    output = fold_of(writer.write(events) + writer.end())["output"]
    told = read(input=[*output, {"type": "function_call_output", "call_id": "c", "output": "7"}])
    assert told.messages[0].parts == (
        ThinkingPart("Thinking\n", "c2ln"),
        ThinkingPart(signature="ZGF0YQ==", redacted=True),
        ThinkingPart("", "bare"),
        TextPart("Yes"),
        ToolCallPart("c", "f", "{}", "g"),
    )


def fold_of(body: bytes) -> dict[str, Any]:
    fold = ResponsesFold()
    fold.feed(body)
    return json.loads(fold.answer())
