"""Cohere's own SDK through the gateway, and OpenAI's SDK at Cohere (v2 and v1) and at text-generation-inference.

The SDKs of the test environment drive every case; the routes say which provider answers and how.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from sdk_scenarios import BROKEN, DEFAULTS, WHOLE, routes, text
from sim_thread import sim_thread

from penstock.sim import Sim, words
from penstock.testing.process import ServeProcess

cohere = pytest.importorskip("cohere")
openai = pytest.importorskip("openai")

PROVIDERS = {"cohere": "cohere-chat", "v1": "cohere-v1", "tgi": "tgi"}
HELLO: Any = [{"role": "user", "content": "Hello"}]
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "Tells it.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name in ("get_weather", "get_time")
]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with sim_thread() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServeProcess]:
    settings = {
        "providers": {
            **{name: {"wire": wire, "base_url": sim.origin} for name, wire in PROVIDERS.items()},
            "chat": {"wire": "openai-chat", "base_url": sim.base_url},
        },
        "defaults": DEFAULTS,
        "routes": routes(PROVIDERS) | {"elsewhere": {"targets": ["chat/sim"]}},
    }
    async with ServeProcess(settings, tmp_path_factory.mktemp("gateway")) as process:
        yield process
        assert not process.errors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(gateway: ServeProcess) -> AsyncIterator[Any]:
    url = f"http://127.0.0.1:{gateway.port}"
    async with cohere.AsyncClientV2(api_key="any", base_url=url) as client:
        yield client


async def events(client: Any, model: str, **more: Any) -> list[Any]:
    return [event async for event in client.chat_stream(model=model, messages=HELLO, **more)]


def said(found: list[Any], kind: str = "text") -> str:
    pieces = [event.delta.message.content for event in found if event.type == "content-delta"]
    return "".join(getattr(piece, kind, None) or "" for piece in pieces)


async def read_on(stream: Any, found: list[Any]) -> None:
    async for event in stream:
        found.append(event)  # noqa: PERF401 - what came before an error is wanted


async def account(gateway: ServeProcess, route: str) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while not (found := [record for record in gateway.records if record["route"] == route]):
            await asyncio.sleep(0.01)
    return found[-1]


@pytest.mark.parametrize(("name", "tokens"), WHOLE.items())
async def test_an_answer_arrives_whole(client: Any, gateway: ServeProcess, name: str, tokens: int) -> None:
    found = await events(client, f"cohere-{name}")
    assert said(found) == text(tokens)
    assert (found[0].type, found[-1].type) == ("message-start", "message-end")
    assert found[-1].delta.finish_reason == "COMPLETE"
    assert found[-1].delta.usage.tokens.output_tokens == tokens
    record = await account(gateway, f"cohere-{name}")
    assert record["outcome"] == "completed"
    if name == "slow":
        assert record["keepalives"] >= 5


async def test_characters_that_end_lines_for_python_do_not(client: Any) -> None:
    assert said(await events(client, "cohere-lines")) == "a\u2028b\x85c\u2029d"


async def test_an_answer_that_is_not_streamed(client: Any) -> None:
    whole = await client.chat(model="cohere-plain", messages=HELLO)
    assert (whole.message.content[0].text, whole.finish_reason) == (text(20), "COMPLETE")
    assert whole.usage.tokens.output_tokens == 20 and whole.id
    assert (await client.chat(model="cohere-length", messages=HELLO)).finish_reason == "MAX_TOKENS"


async def test_tools_and_reasoning(client: Any) -> None:
    found = await events(client, "cohere-tools", tools=TOOLS)
    starts = [event.delta.message.tool_calls for event in found if event.type == "tool-call-start"]
    assert [call.function.name for call in starts] == ["get_weather", "get_time"]
    assert found[-1].delta.finish_reason == "TOOL_CALL"
    whole = await client.chat(model="cohere-tools", messages=HELLO, tools=TOOLS)
    assert [json.loads(call.function.arguments) for call in whole.message.tool_calls] == [
        json.loads(words.ARGUMENTS)
    ] * 2
    found = await events(client, "cohere-reasoning")
    assert said(found, "thinking") and said(found) == text(5)
    whole = await client.chat(model="cohere-reasoning", messages=HELLO)
    assert [part.type for part in whole.message.content] == ["thinking", "text"]


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_raises(client: Any, gateway: ServeProcess, name: str) -> None:
    """The SDK gives out the last event with its error, and raises on the cut behind it: on nothing else."""
    found: list[Any] = []
    with pytest.raises(Exception) as raised:
        await read_on(client.chat_stream(model=f"cohere-{name}", messages=HELLO), found)
    # It is httpx's, which the SDK has under one of two names.
    assert type(raised.value).__name__ == "RemoteProtocolError"
    assert said(found) == text(5)
    last = found[-1].delta
    assert (found[-1].type, last.finish_reason) == ("message-end", "ERROR") and last.error
    assert last.code == BROKEN[name] and last.stream.startswith("st_")
    assert (await account(gateway, f"cohere-{name}"))["outcome"] == BROKEN[name]
    with pytest.raises(cohere.core.api_error.ApiError) as failed:
        await client.chat(model=f"cohere-{name}", messages=HELLO, request_options={"max_retries": 0})
    assert failed.value.status_code in (502, 504) and failed.value.body["message"]


async def test_a_clean_end_behind_an_error_where_it_is_wanted(client: Any) -> None:
    found = await events(client, "cohere-clean-error")
    assert (found[-1].type, found[-1].delta.finish_reason) == ("message-end", "ERROR")


@pytest.mark.parametrize(("name", "status"), [("429", 429), ("error-first", 502)])
async def test_an_error_before_the_answer_has_its_status(client: Any, name: str, status: int) -> None:
    with pytest.raises(cohere.core.api_error.ApiError) as raised:
        await events(client, f"cohere-{name}", request_options={"max_retries": 0})
    assert raised.value.status_code == status and "simulated provider" in raised.value.body["message"]


async def test_other_providers_do_not_serve_its_clients(client: Any) -> None:
    with pytest.raises(cohere.core.api_error.ApiError) as raised:
        await events(client, "elsewhere", request_options={"max_retries": 0})
    assert (raised.value.status_code, raised.value.body["code"]) == (400, "unsupported_wire")


# -- OpenAI's SDK at these providers ----------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chat(gateway: ServeProcess) -> AsyncIterator[Any]:
    url = f"http://127.0.0.1:{gateway.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(("name", "tokens"), [("plain", 20), ("crumbs", 10), ("malformed", 10), ("document", 10)])
async def test_openai_here(chat: Any, provider: str, name: str, tokens: int) -> None:
    stream = await chat.chat.completions.create(
        model=f"{provider}-{name}", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text(tokens)
    assert chunks[-1].usage.completion_tokens == tokens and chunks[-1].usage.prompt_tokens >= 1
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"]
    whole = await chat.chat.completions.create(model=f"{provider}-{name}", messages=HELLO)
    assert whole.choices[0].message.content == text(tokens)
    whole = await chat.chat.completions.create(model=f"{provider}-length", messages=HELLO)
    assert whole.choices[0].finish_reason == "length"


@pytest.mark.parametrize("provider", ["cohere", "v1"])
async def test_openai_here_with_tools(chat: Any, provider: str) -> None:
    async with chat.chat.completions.stream(model=f"{provider}-tools", messages=HELLO, tools=TOOLS) as stream:
        choice = (await stream.get_final_completion()).choices[0]
    calls = choice.message.tool_calls
    assert choice.finish_reason == "tool_calls" and [call.function.name for call in calls] == [
        "get_weather",
        "get_time",
    ]
    assert len({call.id for call in calls}) == 2 and all(call.id for call in calls)
    turn = {
        "role": "assistant",
        "tool_calls": [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.function.name, "arguments": call.function.arguments},
            }
            for call in calls
        ],
    }
    results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in calls]
    again = await chat.chat.completions.create(
        model=f"{provider}-plain", messages=[*HELLO, turn, *results], tools=TOOLS
    )
    assert again.choices[0].message.content == text(20)
    reasoned = await chat.chat.completions.create(model=f"{provider}-reasoning", messages=HELLO)
    assert reasoned.choices[0].message.reasoning_content and reasoned.choices[0].message.content == text(5)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("name", BROKEN)
async def test_openai_at_a_broken_provider_raises(chat: Any, provider: str, name: str) -> None:
    with pytest.raises(openai.APIError):
        async for _ in await chat.chat.completions.create(model=f"{provider}-{name}", messages=HELLO, stream=True):
            pass


async def test_what_text_generation_has_no_place_for_is_refused_by_name(chat: Any) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await chat.chat.completions.create(model="tgi-plain", messages=HELLO, tools=TOOLS)
    assert raised.value.param == "tools"
