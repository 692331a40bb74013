"""Requests to a provider of anthropic-messages, written from no wire's words or from a chat client's."""

from __future__ import annotations

import json

import pytest

from penstock.errors import BadRequest
from penstock.testing.messages import request
from penstock.wire.anthropic_messages_request import MAX_TOKENS, request_body
from penstock.wire.anthropic_messages_translate import conversation
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
from penstock.wire.openai_chat_translate import conversation as chat_conversation

CACHE = {"type": "ephemeral"}
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}


def write(**fields):
    asked = Conversation(**{"messages": (Message("user", (TextPart("Hi"),)),), **fields})
    return json.loads(request_body(asked, "claude"))


def _image(kind):
    source = {"type": "url", "url": "https://e.org/a.png"}
    if kind == "base64":
        source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    return {"type": "image", "source": source}


# -- to a provider ----------------------------------------------------------------------------------------------------


def test_a_request_is_written_whole():
    body = write(
        system=("Be brief.",),
        max_tokens=50,
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop=("END",),
        user="u1",
        thinking_budget=2048,
        effort="low",
        format=Format({"type": "object"}, "answer"),
        tools=(Tool("level", "Of the water.", {"type": "object"}, strict=True), Tool("flow")),
        tool_choice=ToolChoice("named", "level"),
        parallel_tools=False,
    )
    assert body == {
        "model": "claude",
        "max_tokens": 50,
        "stream": True,
        "system": "Be brief.",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "tools": [
            {"name": "level", "description": "Of the water.", "input_schema": {"type": "object"}, "strict": True},
            {"name": "flow", "input_schema": {"type": "object", "properties": {}}},
        ],
        "tool_choice": {"type": "tool", "name": "level", "disable_parallel_tool_use": True},
    }


def test_what_this_wire_needs_is_filled_in():
    assert write() == {
        "model": "claude",
        "max_tokens": MAX_TOKENS,
        "stream": True,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    assert write(thinking_budget=2048)["max_tokens"] == MAX_TOKENS + 2048
    assert "thinking" not in write(thinking_budget=0)


def test_turns_are_written():
    body = write(
        system=("one", "two"),
        messages=(
            Message("user", (TextPart("Look"), ImagePart(data="AAAA", media_type="image/png"), TextPart(""))),
            Message(
                "assistant",
                (
                    ThinkingPart("Hm", "s"),
                    ThinkingPart("unsigned"),
                    ThinkingPart(signature="d", redacted=True),
                    TextPart("I look."),
                    ToolCallPart("functions.level:0", "level", '{"gate":1}'),
                ),
            ),
            Message(
                "user",
                (
                    TextPart("And?"),
                    ToolResultPart("functions.level:0", (TextPart("high"),)),
                    ToolResultPart("t2", (TextPart("low"), ImagePart(url="https://e.org/a.png", detail="low")), True),
                ),
            ),
            Message("assistant", (ThinkingPart("unsigned"),)),
        ),
    )
    assert body["system"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Look"}, _image("base64")]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "functions_level_0", "name": "level", "input": {"gate": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "functions_level_0", "content": "high"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "content": [{"type": "text", "text": "low"}, _image("url")],
                    "is_error": True,
                },
                {"type": "text", "text": "And?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("required"), None, {"type": "any"}),
    ],
)
def test_tool_choices_are_written(choice, parallel, written):
    assert write(tools=(Tool("f"),), tool_choice=choice, parallel_tools=parallel).get("tool_choice") == written


def test_an_effort_of_none_is_as_it_is_by_default():
    assert "output_config" not in write(effort="none")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"seed": 1}, "seed"),
        ({"frequency_penalty": 1}, "frequency_penalty"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "minimal"}, "reasoning_effort"),
        ({"messages": [{"role": "assistant", "content": [CHAT_IMAGE]}]}, "messages"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{bad"}}],
                    }
                ]
            },
            "messages",
        ),
    ],
)
def test_a_chat_client_is_refused_in_its_own_words(fields, param):
    asked = request(client="openai-chat", **{"messages": [{"role": "user", "content": "Hi"}], **fields})
    with pytest.raises(BadRequest) as refused:
        request_body(chat_conversation(asked), "claude")
    assert refused.value.param == param


def test_a_chat_client_is_carried():
    asked = request(
        client="openai-chat",
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Level?"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_details": [{"type": "reasoning.text", "text": "Hm", "signature": "s"}],
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "level", "arguments": ""}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "high"},
        ],
        tools=[{"type": "function", "function": {"name": "level", "parameters": {"type": "object"}}}],
        parallel_tool_calls=True,
        max_completion_tokens=7,
        frequency_penalty=0,
        presence_penalty=0.0,
        logit_bias=None,
    )
    body = json.loads(request_body(chat_conversation(asked), "claude"))
    assert body == {
        "model": "claude",
        "max_tokens": 7,
        "stream": True,
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "Level?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "tool_use", "id": "c1", "name": "level", "input": {}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "high"}]},
        ],
        "tools": [{"name": "level", "input_schema": {"type": "object"}}],
    }


def test_an_anthropic_request_comes_back_as_it_was():
    fields = {
        "system": "Be brief.",
        "max_tokens": 50,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look"}, _image("url")]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "tool_use", "id": "t1", "name": "level", "input": {"gate": 1}},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "high"}]},
        ],
        "tools": [{"name": "level", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
        "stop_sequences": ["END"],
        "top_k": 3,
    }
    body = json.loads(request_body(conversation(request(**fields)), "claude"))
    assert body == {**fields, "model": "claude", "stream": True}
