"""Anthropic's official SDK through the gateway, to a provider of its own wire and to one of openai-chat; and OpenAI's
SDK to a provider of Anthropic's wire. All sides are real processes or real libraries, and the sockets are real."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from gateway_process import GatewayProcess
from sim_thread import sim_thread

anthropic = pytest.importorskip("anthropic")
openai = pytest.importorskip("openai")

from penstock.sim import words  # noqa: E402

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [{"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}]
CHAT_TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The origins of a gateway for each provider wire."""
    with sim_thread() as provider, ExitStack() as running:
        common = {
            "deadlines": {"first_token": "3s", "between_tokens": "600ms"},
            "delivery": {"commit_after": "100ms", "keepalive": "100ms"},
        }
        providers = {
            "anthropic-messages": {
                "wire": "anthropic-messages",
                "base_url": provider.origin,
                "api_key": "sk-ant-secret",
            },
            "openai-chat": {"wire": "openai-chat", "base_url": provider.base_url},
        }
        origins = {}
        for name, settings in providers.items():
            document = {
                "providers": {"p": settings},
                "defaults": common,
                "routes": {"*": {"targets": ["p/*"]}},
                "telemetry": {"log": "json"},
            }
            process = GatewayProcess(json.dumps(document), tmp_path_factory.mktemp(name))
            origins[name] = running.enter_context(process).origin
        yield origins


@pytest.fixture(params=["anthropic-messages", "openai-chat"])
def client(request: pytest.FixtureRequest, gateways: dict[str, str]) -> Iterator[Any]:
    """Anthropic's SDK, whatever the provider speaks."""
    with anthropic.Anthropic(base_url=gateways[request.param], api_key="any", max_retries=0) as client:
        client.provider = request.param
        yield client


@pytest.fixture
def chat(gateways: dict[str, str]) -> Iterator[Any]:
    """OpenAI's SDK, to a provider of Anthropic's wire."""
    with openai.OpenAI(base_url=gateways["anthropic-messages"] + "/v1", api_key="any", max_retries=0) as client:
        yield client


def ask(client: Any, options: str, **fields: Any) -> Any:
    return client.messages.stream(model=model(options), max_tokens=500, messages=HELLO, **fields)


def model(options: str) -> str:
    return f"sim?gap=1ms&first=10ms&{options}".rstrip("&")


# -- Anthropic's SDK --------------------------------------------------------------------------------------------------


def test_a_plain_answer(client: Any) -> None:
    with ask(client, "") as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == words.PARAGRAPH == message.content[0].text
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0 and message.usage.output_tokens == len(words.by_word(words.PARAGRAPH))


def test_raw_events(client: Any) -> None:
    stream = client.messages.create(model=model("tokens=3"), max_tokens=50, messages=HELLO, stream=True)
    kinds = [event.type for event in stream]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert stream.response.headers["x-penstock-stream"].startswith("st_")


def test_an_answer_that_is_not_streamed(client: Any) -> None:
    message = client.messages.create(model=model("reasoning=5&tool=1"), max_tokens=500, messages=HELLO, tools=TOOLS)
    assert [block.type for block in message.content] == ["thinking", "tool_use"]
    assert message.content[1].input == json.loads(words.ARGUMENTS)
    assert message.stop_reason == "tool_use" and message.usage.output_tokens > 0


def test_tools_and_the_turn_after(client: Any) -> None:
    with ask(client, "tool=2&tokens=4", tools=TOOLS, tool_choice={"type": "auto"}) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use"]
    assert [block.input for block in message.content[1:]] == [json.loads(words.ARGUMENTS)] * 2
    assert message.stop_reason == "tool_use"
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "12 degrees"}
        for block in message.content
        if block.type == "tool_use"
    ]
    again = client.messages.create(
        model=model("tokens=4"),
        max_tokens=50,
        tools=TOOLS,
        system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        messages=[*HELLO, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}],
    )
    assert again.content[0].text


def test_reasoning(client: Any) -> None:
    with ask(client, "reasoning=12&tokens=5") as stream:
        deltas = [event.thinking for event in stream if event.type == "thinking"]
        message = stream.get_final_message()
    assert "".join(deltas) == message.content[0].thinking == "".join(words.by_word(words.THOUGHT.lstrip())[:12])
    assert bool(message.content[0].signature) is (client.provider == "anthropic-messages")
    assert message.content[1].type == "text"
    assert message.usage.output_tokens == 17


def test_an_image(client: Any) -> None:
    data = base64.b64encode(b"not really").decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    message = client.messages.create(
        model=model("tokens=3"), max_tokens=9, messages=[{"role": "user", "content": content}]
    )
    assert message.content[0].text


@pytest.mark.parametrize("options", ["first=900ms&tokens=3", "gap=350ms&tokens=3", "ping=50ms&gap=120ms&tokens=4"])
def test_keepalives_are_harmless(client: Any, options: str) -> None:
    with client.messages.stream(model=f"sim?{options}", max_tokens=9, messages=HELLO) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn" and message.content[0].text


@pytest.mark.parametrize("options", ["crlf=1&tokens=9", "split=1&tokens=9", "cr=1&tokens=9", "pad=300&tokens=9"])
def test_framings(client: Any, options: str) -> None:
    with ask(client, options) as stream:
        assert stream.get_final_message().content[0].text == "".join(words.by_word(words.PARAGRAPH)[:9])


@pytest.mark.parametrize(
    ("options", "code", "kind"),
    [
        ("error_at=5", "upstream_error", "api_error"),
        ("cut_at=5", "upstream_cut", "api_error"),
        ("reset_at=5", "upstream_cut", "api_error"),
        ("stall_at=5", "stalled", "timeout_error"),
        ("cut_at=2&tool=1", "upstream_cut", "api_error"),
    ],
)
def test_a_failure_in_the_middle_is_raised(client: Any, options: str, code: str, kind: str) -> None:
    got: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as raised, ask(client, options, tools=TOOLS) as stream:
        # What came before it raises stays.
        got.extend(event.type for event in stream)
    assert "text" in got or "input_json" in got
    error = raised.value.body["error"]
    assert error["type"] == kind and code in (error["code"], error.get("outcome")) and error["stream"].startswith("st_")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "BadRequestError"), (401, "AuthenticationError"), (429, "RateLimitError"), (529, "OverloadedError")],
)
def test_a_failure_before_the_first_token_is_a_status(client: Any, status: int, kind: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(model=model(f"status={status}"), max_tokens=9, messages=HELLO, stream=True)
    assert raised.value.status_code == status and type(raised.value).__name__ in (kind, "InternalServerError")
    assert raised.value.body["type"] == "error" and raised.value.body["error"]["message"]


@pytest.mark.parametrize("options", ["cut_at=5", "error_at=5", "stall_at=5", "empty=1"])
def test_a_failed_answer_that_is_not_streamed_is_an_error(client: Any, options: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(model=model(options), max_tokens=9, messages=HELLO)
    assert raised.value.status_code >= 500


def test_no_end_marker_and_no_usage(client: Any) -> None:
    with ask(client, "done=no&tokens=3") as stream:
        assert stream.get_final_message().stop_reason == "end_turn"
    with ask(client, "usage=no&tokens=3") as stream:
        assert stream.get_final_message().usage.output_tokens == 0


def test_a_request_that_cannot_be_carried_names_its_field(gateways: dict[str, str]) -> None:
    client = anthropic.Anthropic(base_url=gateways["openai-chat"], api_key="any", max_retries=0)
    with client, pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(model=model(""), max_tokens=9, messages=HELLO, extra_body={"top_k": 4})
    assert raised.value.body["error"]["param"] == "top_k"
    assert raised.value.body["error"]["type"] == "invalid_request_error"


async def test_the_asynchronous_client(gateways: dict[str, str]) -> None:
    async with anthropic.AsyncAnthropic(base_url=gateways["anthropic-messages"], api_key="any") as client:
        async with client.messages.stream(model=model("tokens=5"), max_tokens=9, messages=HELLO) as stream:
            message = await stream.get_final_message()
        beta = await client.beta.messages.create(
            model=model("tokens=5"), max_tokens=9, messages=HELLO, betas=["output-128k-2025-02-19"]
        )
    assert message.content[0].text == beta.content[0].text


# -- OpenAI's SDK, to a provider of Anthropic's wire ------------------------------------------------------------------


def test_chat_a_plain_answer(chat: Any) -> None:
    stream = chat.chat.completions.create(
        model=model(""), messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == words.PARAGRAPH
    assert chunks[-1].usage.completion_tokens == len(words.by_word(words.PARAGRAPH))
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


def test_chat_reasoning_tools_and_the_turn_after(chat: Any) -> None:
    with chat.chat.completions.stream(
        model=model("tool=2&reasoning=6"), messages=HELLO, tools=CHAT_TOOLS, max_completion_tokens=99
    ) as stream:
        events = [event for event in stream if event.type == "chunk"]
        answer = stream.get_final_completion()
    message = answer.choices[0].message
    assert [json.loads(call.function.arguments) for call in message.tool_calls] == [json.loads(words.ARGUMENTS)] * 2
    assert answer.choices[0].finish_reason == "tool_calls"
    thoughts = [
        getattr(event.chunk.choices[0].delta, "reasoning_content", None) for event in events if event.chunk.choices
    ]
    assert "".join(filter(None, thoughts))
    turns = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [call.to_dict() for call in message.tool_calls]},
        *({"role": "tool", "tool_call_id": call.id, "content": "12"} for call in message.tool_calls),
    ]
    whole = chat.chat.completions.create(model=model("tokens=3"), messages=turns, tools=CHAT_TOOLS)
    assert whole.choices[0].message.content and whole.usage.total_tokens


@pytest.mark.parametrize(
    ("options", "code"),
    [("error_at=5", "upstream_error"), ("cut_at=5", "upstream_cut"), ("stall_at=5", "stalled")],
)
def test_chat_a_failure_in_the_middle_is_raised(chat: Any, options: str, code: str) -> None:
    with pytest.raises(openai.APIError) as raised:
        list(chat.chat.completions.create(model=model(options), messages=HELLO, stream=True))
    assert raised.value.code == code


def test_chat_keepalives_are_harmless(chat: Any) -> None:
    stream = chat.chat.completions.create(model="sim?first=900ms&ping=50ms&tokens=3", messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_chat_a_failure_before_the_first_token_is_a_status(chat: Any) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        chat.chat.completions.create(model=model("status=429&retry_after=7"), messages=HELLO, stream=True)
    assert raised.value.type == "rate_limit_error" and raised.value.response.headers["retry-after"] == "7"


def test_chat_a_request_that_cannot_be_carried_names_its_field(chat: Any) -> None:
    for field, value in {"n": 2, "logprobs": True, "seed": 1, "logit_bias": {"1": 1}, "modalities": ["audio"]}.items():
        with pytest.raises(openai.BadRequestError) as raised:
            chat.chat.completions.create(model=model(""), messages=HELLO, **{field: value})
        assert raised.value.param == field
