"""ollama-chat requests from and to no wire's words: all that can be carried arrives, the rest is refused by name."""

from __future__ import annotations

import json

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
from penstock.wire.ollama_chat_client import read_request
from penstock.wire.ollama_chat_request import request_body
from penstock.wire.ollama_chat_translate import MACHINE, conversation
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES

PNG = "iVBORw0KGgoAAAANSUhEUg=="
HELLO = [{"role": "user", "content": "Hello"}]
CHAT = next(wire for wire in CLIENT_WIRES if wire.name == "openai-chat")
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}


def read(**fields):
    body = {"model": "m", "messages": HELLO, **fields}
    return conversation(read_request(json.dumps(body).encode()))


def sent(said, **more):
    body = json.loads(request_body(said, "served", **more))
    assert (body.pop("model"), body.pop("stream")) == ("served", True)
    return body


def refused(said, *param):
    with pytest.raises(BadRequest) as raised:
        said() if callable(said) else request_body(said, "m")
    assert (raised.value.param, raised.value.status) == (param[0], 400)
    assert param[0] in raised.value.message
    return raised.value


# -- from a client ----------------------------------------------------------------------------------------------------


def test_options_and_the_rest():
    said = read(
        options={
            "temperature": 0.5, "top_p": 0.9, "top_k": 40, "num_predict": 50, "stop": ["a", "b"], "seed": 7,
            "frequency_penalty": 0.1, "presence_penalty": 0.2,
        },
        format={"type": "object"}, think="high", tools=[TOOL], keep_alive="5m", stream=False,
    )  # fmt: skip
    assert (said.temperature, said.top_p, said.top_k, said.max_tokens) == (0.5, 0.9, 40, 50)
    assert (said.stop, said.seed, said.frequency_penalty, said.presence_penalty) == (("a", "b"), 7, 0.1, 0.2)
    assert (said.format, said.effort) == (Format({"type": "object"}), "high")
    assert said.tools == (Tool("f", "d", {"type": "object"}),)


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"format": "json"}, "format", Format()),
        ({"format": ""}, "format", None),
        ({"think": True}, "effort", "medium"),
        ({"think": False}, "effort", None),
        ({"options": {"stop": "x"}}, "stop", ("x",)),
        ({"options": {"num_predict": -1}}, "max_tokens", None),
        ({"options": {"num_predict": -2}}, "max_tokens", None),
        ({"options": {"presence_penalty": 0}}, "presence_penalty", None),
        ({"options": None, "tools": None, "format": None, "think": None}, "format", None),
    ],
)
def test_its_own_words(fields, name, value):
    assert getattr(read(**fields), name) == value


def test_what_says_nothing_to_another_provider_stays_behind():
    options = dict.fromkeys(MACHINE, 1) | {"repeat_penalty": 1.1, "min_p": 0.0, "mirostat": 0, "repeat_last_n": 64}
    assert read(options=options, keep_alive=-1, truncate=True, logprobs=False) == read()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"x_unknown": 1}, "x_unknown"),
        ({"options": {"mirostat": 2}}, "options.mirostat"),
        ({"options": {"repeat_penalty": 1.5}}, "options.repeat_penalty"),
        ({"options": {"x": 1}}, "options.x"),
        ({"options": {"temperature": "hot"}}, "options.temperature"),
        ({"options": 7}, "options"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"format": "yaml"}, "format"),
        ({"think": "a lot"}, "think"),
        ({"messages": []}, "messages"),
        ({"messages": [7]}, "messages.0"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "judge"}]}, "messages.0.role"),
        ({"messages": [*HELLO, {"role": "system", "content": "x"}]}, "messages.1.role"),
        ({"messages": [{"role": "user", "content": "x", "y": 1}]}, "messages.0.y"),
        ({"messages": [{"role": "user", "images": ["AAAA"]}]}, "messages.0.images.0"),
        ({"messages": [{"role": "user", "images": [7]}]}, "messages.0.images.0"),
        ({"messages": [*HELLO, {"role": "tool", "content": "x"}]}, "messages.1.tool_name"),
        ({"messages": [*HELLO, {"role": "tool", "content": "x", "tool_name": "f"}]}, "messages.1.tool_name"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}]},
            "messages.0.tool_calls.0.function.name",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
            "messages.0.tool_calls.0.function.arguments",
        ),
        ({"tools": [{"type": "code", "function": {"name": "f"}}]}, "tools.0.type"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [{"function": {"name": "f", "x": 1}}]}, "tools.0.function.x"),
    ],
)
def test_the_rest_is_refused_by_name(fields, param):
    refused(lambda: read(**fields), param)


def test_what_a_provider_refuses_has_the_client_s_name():
    chat = UPSTREAM_WIRES["openai-chat"]
    with pytest.raises(BadRequest) as raised:
        chat.translate(read(options={"top_k": 3}), "m", ask_usage=True)
    assert raised.value.param == "options.top_k"


def test_turns():
    said = read(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Look", "images": [PNG, "/9j/x", "R0lGODx", "UklGRx"]},
            {
                "role": "assistant", "content": "I look.", "thinking": "hm",
                "tool_calls": [
                    {"function": {"index": 0, "name": "f", "arguments": {"a": 1}}},
                    {"id": "own", "function": {"name": "g", "arguments": {}}},
                    {"function": {"name": "f"}},
                ],
            },
            {"role": "tool", "tool_name": "f", "content": "one"},
            {"role": "tool", "tool_call_id": "own", "content": "two"},
            {"role": "tool", "content": "three"},
            {"role": "user", "content": "Go on"},
        ]
    )  # fmt: skip
    assert said.system == ("Be brief.", "Be kind.")
    assert said.messages == (
        Message(
            "user",
            (
                TextPart("Look"),
                ImagePart(data=PNG, media_type="image/png"),
                ImagePart(data="/9j/x", media_type="image/jpeg"),
                ImagePart(data="R0lGODx", media_type="image/gif"),
                ImagePart(data="UklGRx", media_type="image/webp"),
            ),
        ),
        Message(
            "assistant",
            (
                ThinkingPart("hm"),
                TextPart("I look."),
                ToolCallPart("call_1", "f", '{"a":1}'),
                ToolCallPart("own", "g", "{}"),
                ToolCallPart("call_3", "f", "{}"),
            ),
        ),
        Message(
            "user",
            (
                ToolResultPart("call_1", (TextPart("one"),), name="f"),
                ToolResultPart("own", (TextPart("two"),), name="g"),
                ToolResultPart("call_3", (TextPart("three"),), name="f"),
                TextPart("Go on"),
            ),
        ),
    )


def test_ids_are_the_same_whenever_the_conversation_is_sent():
    turn = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    result = {"role": "tool", "tool_name": "f", "content": "x"}
    short = read(messages=[*HELLO, turn, result]).messages
    long = read(messages=[*HELLO, turn, result, turn, result]).messages
    assert long[:3] == short
    assert long[3].parts[0].id == long[4].parts[0].call == "call_2"


# -- to a provider ----------------------------------------------------------------------------------------------------


def user(*parts):
    return Conversation(messages=(Message("user", parts or (TextPart("Hello"),)),))


def test_all_that_has_a_place():
    said = user()
    said.system = ("Be brief.", "Be kind.")
    said.max_tokens, said.temperature, said.top_p, said.top_k, said.seed = 50, 0.5, 0.9, 40, 7
    said.frequency_penalty, said.presence_penalty, said.stop = 0.1, 0.2, ("a",)
    said.format, said.effort, said.user, said.parallel_tools = Format({"type": "object"}, "n", True), "low", "u", True
    said.tools, said.tool_choice = (Tool("f", "d", {"type": "object"}, False), Tool("g")), ToolChoice("auto")
    assert sent(said) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello"},
        ],
        "options": {
            "num_predict": 50, "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": 7, "frequency_penalty": 0.1,
            "presence_penalty": 0.2, "stop": ["a"],
        },
        "format": {"type": "object"},
        "think": "low",
        "tools": [
            TOOL,
            {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
        ],
    }  # fmt: skip


def test_nothing_more_than_was_said():
    assert sent(user()) == {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("field", "value", "name", "written"),
    [
        ("format", Format(), "format", "json"),
        ("effort", "none", "think", False),
        ("effort", "minimal", "think", "low"),
        ("effort", "high", "think", "high"),
        ("thinking_budget", 0, "think", False),
    ],
)
def test_in_its_words(field, value, name, written):
    said = user()
    setattr(said, field, value)
    assert sent(said)[name] == written


def test_no_tool_may_be_called_without_tools():
    said = user()
    said.tools, said.tool_choice = (Tool("f"),), ToolChoice("none")
    assert "tools" not in sent(said)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": ToolChoice("required"), "tools": (Tool("f"),)}, "tool_choice"),
        ({"tool_choice": ToolChoice("named", "f"), "tools": (Tool("f"),)}, "tool_choice"),
        ({"parallel_tools": False, "tools": (Tool("f"),)}, "parallel_tools"),
        ({"tools": (Tool("f", strict=True),)}, "tools"),
        ({"effort": "xhigh"}, "effort"),
        ({"thinking_budget": 1024}, "thinking_budget"),
        ({"messages": (Message("user", (ImagePart(url="https://x/y.png"),)),)}, "messages"),
        ({"messages": (Message("assistant", (ToolCallPart("c", "f", "[1]"),)),)}, "messages"),
        ({"messages": (Message("assistant", (ToolCallPart("c", "f", "{"),)),)}, "messages"),
    ],
)
def test_what_has_no_place_is_refused(fields, param):
    refused(Conversation(**{"messages": user().messages, **fields}), param)


def test_turns_are_written():
    said = user(TextPart("Look"), ImagePart(data=PNG, media_type="image/png"))
    said.messages += (
        Message("assistant", (ThinkingPart("hm", "sealed"), TextPart("I look."), ToolCallPart("c", "f", '{"a":1}'))),
        Message("user", (ToolResultPart("c", (TextPart("one"), ImagePart(data=PNG))), TextPart("Go on"))),
    )
    assert sent(said)["messages"] == [
        {"role": "user", "content": "Look", "images": [PNG]},
        {
            "role": "assistant",
            "content": "I look.",
            "thinking": "hm",
            "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "one", "tool_call_id": "c", "tool_name": "f", "images": [PNG]},
        {"role": "user", "content": "Go on"},
    ]


def test_there_and_back_says_the_same():
    said = read(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look", "images": [PNG]},
            {"role": "assistant", "content": "", "thinking": "hm", "tool_calls": [{"function": {"name": "f"}}]},
            {"role": "tool", "tool_name": "f", "content": "one"},
        ],
        options={"num_predict": 9, "stop": ["x"]}, format={"type": "object"}, think="low", tools=[TOOL],
    )  # fmt: skip
    again = read_request(request_body(said, "m"))
    assert conversation(again) == said


def test_a_chat_client_s_request_arrives():
    body = {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "one"},
        ],
        "max_tokens": 9,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "high",
        "user": "u",
    }
    request = CHAT.read("", "", json.dumps(body).encode())
    assert sent(CHAT.conversation(request)) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Look", "images": [PNG]},
            {
                "role": "assistant", "content": "",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}],
            },
            {"role": "tool", "content": "one", "tool_call_id": "c", "tool_name": "f"},
        ],
        "options": {"num_predict": 9},
        "format": "json",
        "think": "high",
    }  # fmt: skip
    body["messages"][1]["content"][1]["image_url"]["url"] = "https://x/y.png"
    request = CHAT.read("", "", json.dumps(body).encode())
    refused(CHAT.conversation(request), "messages")
