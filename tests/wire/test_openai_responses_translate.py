"""openai-responses requests: into no wire's words and out of them, and what is refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.errors import BadRequest
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
from penstock.wire.openai_responses_client import read_request
from penstock.wire.openai_responses_request import request_body
from penstock.wire.openai_responses_translate import conversation

USER = Message("user", (TextPart("Hi"),))


def read(**fields: Any) -> Conversation:
    return conversation(read_request(json.dumps({"model": "m", "input": "Hi", **fields}).encode()))


def sent(told: Conversation, model: str = "m") -> dict[str, Any]:
    return json.loads(request_body(told, model))


# -- from a client ----------------------------------------------------------------------------------------------------


def test_a_text_is_a_turn():
    assert read().messages == (USER,)


def test_every_field():
    told = read(
        instructions="Be brief.",
        tools=[{"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}],
        tool_choice={"type": "function", "name": "f"},
        parallel_tool_calls=False,
        max_output_tokens=64,
        temperature=0.5,
        top_p=1,
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
        reasoning={"effort": "low", "summary": "auto"},
        user="u",
    )
    assert told.system == ("Be brief.",)
    assert told.tools == (Tool("f", "d", {"type": "object"}, True),)
    assert told.tool_choice == ToolChoice("named", "f")
    assert (told.parallel_tools, told.max_tokens, told.temperature, told.top_p) == (False, 64, 0.5, 1)
    assert told.format == Format({"type": "object"}, "n", True)
    assert (told.effort, told.user) == ("low", "u")


NEUTRAL = {
    "store": False,
    "background": False,
    "truncation": "disabled",
    "service_tier": "auto",
    "include": ["reasoning.encrypted_content"],
    "top_logprobs": 0,
    "stream_options": {"include_obfuscation": False},
    "metadata": {"a": "b"},
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "previous_response_id": None,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "reasoning": {"effort": None, "summary": None},
    "tools": [],
    "conversation": None,
    "stream": True,
}


@pytest.mark.parametrize("field", NEUTRAL)
def test_what_says_nothing_to_another_wire_stays_behind(field):
    assert read(**{field: NEUTRAL[field]}) == read()


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "store": ({"store": True}, "store"),
    "background": ({"background": True}, "background"),
    "previous_response_id": ({"previous_response_id": "r"}, "previous_response_id"),
    "conversation": ({"conversation": "c"}, "conversation"),
    "prompt": ({"prompt": {"id": "p"}}, "prompt"),
    "truncation": ({"truncation": "auto"}, "truncation"),
    "include": ({"include": ["message.output_text.logprobs"]}, "include"),
    "logprobs": ({"top_logprobs": 3}, "top_logprobs"),
    "max_tool_calls": ({"max_tool_calls": 3}, "max_tool_calls"),
    "verbosity": ({"text": {"verbosity": "low"}}, "text.verbosity"),
    "an unknown field": ({"x_unknown": 1}, "x_unknown"),
    "a field of reasoning": ({"reasoning": {"context": "all"}}, "reasoning.context"),
    "a tool that the provider runs": ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
    "a field of a tool": ({"tools": [{"type": "function", "name": "f", "x": 1}]}, "tools.0.x"),
    "a choice of such a tool": ({"tool_choice": {"type": "file_search"}}, "tool_choice"),
    "a choice that is none": ({"tool_choice": "any"}, "tool_choice"),
    "a format": ({"text": {"format": {"type": "grammar"}}}, "text.format"),
    "a reference": ({"input": [{"type": "item_reference", "id": "i"}]}, "input.0.type"),
    "an item of such a tool": ({"input": [{"type": "web_search_call", "id": "i"}]}, "input.0.type"),
    "a file": ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0.type"),
    "audio": ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input.0.content.0.type"),
    "an image that is a file": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input.0.content.0.file_id",
    ),
    "an unknown field of an item": ({"input": [{"role": "user", "content": "Hi", "x": 1}]}, "input.0.x"),
    "a role": ({"input": [{"role": "critic", "content": "Hi"}]}, "input.0.role"),
    "a late instruction": (
        {"input": [{"role": "user", "content": "Hi"}, {"role": "developer", "content": "Hm"}]},
        "input.1.role",
    ),
    "no input": ({"input": None}, "input"),
    "an input that is none": ({"input": 7}, "input"),
    "an item that is none": ({"input": ["Hi"]}, "input.0"),
    "a limit that is none": ({"max_output_tokens": "9"}, "max_output_tokens"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_carried_is_refused_by_name(case):
    fields, param = REFUSED[case]
    with pytest.raises(BadRequest) as caught:
        read(**fields)
    assert caught.value.param == param and caught.value.status == 400


HISTORY = [
    {"role": "developer", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "Level?"},
            {"type": "input_image", "image_url": "https://x/y", "detail": "low"},
        ],
    },
    {
        "type": "reasoning",
        "id": "rs",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "sig",
        "status": None,
    },
    {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "redacted:data"},
    {
        "type": "message",
        "id": "msg",
        "role": "assistant",
        "status": "completed",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}],
    },
    {
        "type": "function_call",
        "id": "fc",
        "call_id": "c1",
        "name": "level",
        "arguments": "",
        "status": "completed",
        "extra_content": {"google": {"thought_signature": "g"}},
    },
    {"type": "function_call_output", "call_id": "c1", "output": "7 m"},
    {
        "type": "function_call_output",
        "call_id": "c1",
        "output": [
            {"type": "input_text", "text": "and"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA"},
        ],
    },
    {"role": "user", "content": "Thanks."},
]


def test_a_history():
    told = read(input=HISTORY)
    assert told.system == ("Be brief.",)
    assert told.messages == (
        Message("user", (TextPart("Level?"), ImagePart(url="https://x/y", detail="low"))),
        Message(
            "assistant",
            (
                ThinkingPart("hm", "sig"),
                ThinkingPart(signature="data", redacted=True),
                TextPart("I look."),
                ToolCallPart("c1", "level", "{}", "g"),
            ),
        ),
        Message(
            "user",
            (
                ToolResultPart("c1", (TextPart("7 m"),), name="level"),
                ToolResultPart("c1", (TextPart("and"), ImagePart(data="AA", media_type="image/png")), name="level"),
                TextPart("Thanks."),
            ),
        ),
    )


# -- to a provider ----------------------------------------------------------------------------------------------------


def test_the_least_request():
    assert sent(Conversation(messages=(USER,))) == {
        "model": "m",
        "input": [{"type": "message", "role": "user", "content": "Hi"}],
        "stream": True,
        "store": False,
    }


def test_every_field_is_sent():
    body = sent(
        Conversation(
            system=("a", "b"),
            messages=(USER,),
            tools=(Tool("f", "d", {"type": "object"}), Tool("g", strict=True)),
            tool_choice=ToolChoice("named", "f"),
            parallel_tools=True,
            max_tokens=64,
            temperature=0.5,
            top_p=0.9,
            format=Format({"type": "object"}, "n", False),
            effort="low",
            user="u",
        )
    )
    assert body["instructions"] == "a\n\nb"
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False},
        {"type": "function", "name": "g", "parameters": {"type": "object", "properties": {}}, "strict": True},
    ]
    assert body["tool_choice"] == {"type": "function", "name": "f"}
    assert (body["parallel_tool_calls"], body["max_output_tokens"]) == (True, 64)
    assert (body["temperature"], body["top_p"], body["user"]) == (0.5, 0.9, "u")
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": False}
    }
    assert body["reasoning"] == {"effort": "low"} and body["include"] == ["reasoning.encrypted_content"]


def test_a_history_comes_back_as_it_was():
    items = sent(read(input=HISTORY))["input"]
    assert items == [
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Level?"},
                {"type": "input_image", "image_url": "https://x/y", "detail": "low"},
            ],
        },
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "sig"},
        {"type": "reasoning", "summary": [], "encrypted_content": "data"},
        {"type": "message", "role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": "c1", "name": "level", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "7 m"},
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [
                {"type": "input_text", "text": "and"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "auto"},
            ],
        },
        {"type": "message", "role": "user", "content": "Thanks."},
    ]


def test_reasoning_without_a_seal_stays_behind():
    told = Conversation(messages=(USER, Message("assistant", (ThinkingPart("hm"), TextPart("Yes"))), USER))
    assert [item.get("role") for item in sent(told)["input"]] == ["user", "assistant", "user"]


SEALED = {
    "gpt-5-mini": True,
    "openai/gpt-5.2": True,
    "o4-mini": True,
    "gpt-5-chat-latest": False,
    "gpt-4o": False,
    "gpt-4.1-mini": False,
    "llama": False,
}


@pytest.mark.parametrize("model", SEALED)
def test_sealed_reasoning_is_asked_for_where_models_give_it(model):
    told = Conversation(messages=(USER,))
    assert ("include" in sent(told, model)) is SEALED[model]


def test_sealed_reasoning_is_asked_for_where_there_was_some():
    told = Conversation(messages=(USER, Message("assistant", (ThinkingPart(signature="s", redacted=True),)), USER))
    assert sent(told, "llama")["include"] == ["reasoning.encrypted_content"]


WITHOUT_A_PLACE: dict[str, Any] = {
    "stop": ("x",),
    "seed": 7,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "top_k": 5,
    "thinking_budget": 1000,
}


@pytest.mark.parametrize("field", WITHOUT_A_PLACE)
def test_what_this_wire_has_no_place_for_is_refused_by_the_clients_name(field):
    told = Conversation(messages=(USER,), names={field: f"the_{field}"}, **{field: WITHOUT_A_PLACE[field]})
    with pytest.raises(BadRequest) as caught:
        request_body(told, "m")
    assert caught.value.param == f"the_{field}"
