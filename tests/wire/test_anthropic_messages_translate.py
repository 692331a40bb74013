"""Requests of anthropic-messages from and to no wire's words, and what is refused by its name."""

from __future__ import annotations

import pytest

from penstock.errors import BadRequest
from penstock.testing.messages import request
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
from penstock.wire.openai_chat_translate import request_body as chat_body

CACHE = {"type": "ephemeral"}
CHAT_IMAGE = {"type": "image_url", "image_url": {"url": "https://e.org/a.png"}}


def read(**fields) -> Conversation:
    return conversation(request(**{"messages": [{"role": "user", "content": "Hi"}], **fields}))


# -- from a client ----------------------------------------------------------------------------------------------------


def test_everything_that_can_be_carried():
    got = read(
        system=[{"type": "text", "text": "Be brief.", "cache_control": CACHE}, {"type": "text", "text": "Be kind."}],
        max_tokens=50,
        temperature=0.5,
        top_p=1,
        top_k=40,
        stop_sequences=["END"],
        metadata={"user_id": "u1"},
        thinking={"type": "enabled", "budget_tokens": 2048},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        tools=[
            {
                "name": "level",
                "description": "Of the water.",
                "input_schema": {"type": "object"},
                "cache_control": CACHE,
                "strict": True,
            },
            {"type": "custom", "name": "flow", "input_schema": {"type": "object"}, "eager_input_streaming": True},
        ],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        cache_control=CACHE,
        service_tier="auto",
    )
    assert got.system == ("Be brief.", "Be kind.")
    assert (got.max_tokens, got.temperature, got.top_p, got.top_k) == (50, 0.5, 1, 40)
    assert (got.stop, got.user, got.thinking_budget, got.effort) == (("END",), "u1", 2048, "low")
    assert got.format == Format({"type": "object"}, strict=True)
    assert got.tools == (
        Tool("level", "Of the water.", {"type": "object"}, strict=True),
        Tool("flow", None, {"type": "object"}),
    )
    assert got.tool_choice == ToolChoice("required") and got.parallel_tools is False


def test_turns():
    got = read(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Look", "cache_control": CACHE}, _image("base64")]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "thinking", "thinking": "unsigned", "signature": ""},
                    {"type": "redacted_thinking", "data": "d"},
                    {"type": "text", "text": "I look.", "citations": [{"type": "char_location"}]},
                    {"type": "tool_use", "id": "t1", "name": "level", "input": {"gate": 1}},
                    {"type": "tool_use", "id": "t2", "name": "flow", "input": {}, "thought_signature": "g"},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "high"},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "content": [{"type": "text", "text": "low"}, _image("url")],
                        "is_error": True,
                    },
                    {"type": "tool_result", "tool_use_id": "t1"},
                ],
            },
            {"role": "user", "content": "And?"},
        ]
    )
    inline, linked = ImagePart(data="AAAA", media_type="image/png"), ImagePart(url="https://e.org/a.png")
    assert got.messages == (
        Message("user", (TextPart("Look"), inline)),
        Message(
            "assistant",
            (
                ThinkingPart("Hm", "s"),
                ThinkingPart("unsigned"),
                ThinkingPart(signature="d", redacted=True),
                TextPart("I look."),
                ToolCallPart("t1", "level", '{"gate":1}'),
                ToolCallPart("t2", "flow", "{}", "g"),
            ),
        ),
        Message(
            "user",
            (
                ToolResultPart("t1", (TextPart("high"),), name="level"),
                ToolResultPart("t2", (TextPart("low"), linked), is_error=True, name="flow"),
                ToolResultPart("t1", (), name="level"),
                TextPart("And?"),
            ),
        ),
    )


def _image(kind):
    source = {"type": "url", "url": "https://e.org/a.png"}
    if kind == "base64":
        source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    return {"type": "image", "source": source}


@pytest.mark.parametrize(
    ("raw", "choice"),
    [
        ({"type": "auto"}, ToolChoice("auto")),
        ({"type": "any"}, ToolChoice("required")),
        ({"type": "tool", "name": "f"}, ToolChoice("named", "f")),
        ({"type": "none"}, ToolChoice("none")),
        (None, None),
    ],
)
def test_tool_choices(raw, choice):
    got = read(tool_choice=raw)
    assert got.tool_choice == choice and got.parallel_tools is None


@pytest.mark.parametrize("thinking", [{"type": "disabled"}, {"type": "adaptive", "display": "summarized"}, None])
def test_thinking_that_is_as_without(thinking):
    assert read(thinking=thinking).thinking_budget is None


def _turn(*blocks, role="user"):
    return {"messages": [{"role": role, "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"container": "c1"}, "container"),
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"context_management": {"edits": []}}, "context_management"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"speed": "fast"}, "speed"),
        ({"n": 2}, "n"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1, "display": "omitted"}}, "thinking.display"),
        ({"thinking": {"type": "between_tools"}}, "thinking.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"metadata": {"tenant": "t"}}, "metadata.tenant"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
        ({"output_config": {"task_budget": {}}}, "output_config.task_budget"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools.0.type"),
        ({"tools": [{"name": "f", "input_schema": {}, "input_examples": [{}]}]}, "tools.0.input_examples"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": ["f"]}, "tools.0"),
        ({"system": [{"type": "image"}]}, "system.0.type"),
        ({"stop_sequences": [1]}, "stop_sequences.0"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "x", "name": "n"}]}, "messages.0.name"),
        (_turn({"type": "document", "source": {}}), "messages.0.content.0.type"),
        (_turn({"type": "text", "text": "x", "x": 1}), "messages.0.content.0.x"),
        (_turn({"type": "image", "source": {"type": "file", "file_id": "f"}}), "messages.0.content.0.source.type"),
        (
            _turn({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "search_result"}]}),
            "messages.0.content.0.content.0.type",
        ),
        (_turn({"type": "server_tool_use", "id": "s"}, role="assistant"), "messages.0.content.0.type"),
        (
            _turn({"type": "tool_use", "id": "t", "name": "f", "caller": {"type": "code"}}, role="assistant"),
            "messages.0.content.0.caller",
        ),
    ],
)
def test_what_cannot_be_carried_is_refused_by_its_name(fields, param):
    with pytest.raises(BadRequest) as refused:
        read(**fields)
    assert refused.value.param == param
    assert param in refused.value.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"top_k": 4}, "top_k"), ({"thinking": {"type": "enabled", "budget_tokens": 9}}, "thinking.budget_tokens")],
)
def test_what_another_wire_has_no_place_for_is_refused_in_the_words_of_this_one(fields, param):
    with pytest.raises(BadRequest) as refused:
        chat_body(read(**fields), "gpt", ask_usage=True)
    assert refused.value.param == param
