"""Ollama's own SDK through the gateway, at providers of this wire and of openai-chat; and OpenAI's SDK at Ollama.

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

ollama = pytest.importorskip("ollama")
openai = pytest.importorskip("openai")

PROVIDERS = {"ollama": "ollama-chat", "chat": "openai-chat"}
HELLO = [{"role": "user", "content": "Hello"}]
TOOLS: Any = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
    for name in ("get_weather", "get_time")
]

pytestmark = pytest.mark.asyncio(loop_scope="module")
both = pytest.mark.parametrize("provider", PROVIDERS)


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with sim_thread() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServeProcess]:
    settings = {
        "providers": {
            "ollama": {"wire": "ollama-chat", "base_url": sim.origin},
            "chat": {"wire": "openai-chat", "base_url": sim.base_url},
        },
        "defaults": DEFAULTS,
        "routes": routes(PROVIDERS),
    }
    async with ServeProcess(settings, tmp_path_factory.mktemp("gateway")) as process:
        yield process
        assert not process.errors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(gateway: ServeProcess) -> AsyncIterator[Any]:
    client = ollama.AsyncClient(host=f"http://127.0.0.1:{gateway.port}")
    yield client
    await client._client.aclose()


async def parts(client: Any, model: str, **more: Any) -> list[Any]:
    return [part async for part in await client.chat(model=model, messages=HELLO, stream=True, **more)]


def said(found: list[Any]) -> str:
    return "".join(part.message.content or "" for part in found)


async def read_on(stream: Any, found: list[Any]) -> None:
    async for part in stream:
        found.append(part)  # noqa: PERF401 - what came before an error is wanted


async def outcome(gateway: ServeProcess, route: str) -> str:
    async with asyncio.timeout(5):
        while not (found := [record for record in gateway.records if record["route"] == route]):
            await asyncio.sleep(0.01)
    return str(found[-1]["outcome"])


@both
@pytest.mark.parametrize(("name", "tokens"), WHOLE.items())
async def test_an_answer_arrives_whole(
    client: Any, gateway: ServeProcess, provider: str, name: str, tokens: int
) -> None:
    found = await parts(client, f"{provider}-{name}")
    assert said(found) == text(tokens)
    assert [part.done for part in found] == [False] * (len(found) - 1) + [True]
    assert found[-1].done_reason == "stop"
    assert found[-1].eval_count == tokens and found[-1].prompt_eval_count >= 1
    assert await outcome(gateway, f"{provider}-{name}") == "completed"


@both
async def test_characters_that_end_lines_for_python_do_not(client: Any, provider: str) -> None:
    assert said(await parts(client, f"{provider}-lines")) == "a\u2028b\x85c\u2029d"


@both
async def test_an_answer_that_is_not_streamed(client: Any, provider: str) -> None:
    whole = await client.chat(model=f"{provider}-plain", messages=HELLO)
    assert (whole.message.content, whole.done, whole.done_reason) == (text(20), True, "stop")
    assert whole.eval_count == 20 and whole.message.role == "assistant"


@both
async def test_length_is_said(client: Any, provider: str) -> None:
    assert (await parts(client, f"{provider}-length"))[-1].done_reason == "length"
    assert (await client.chat(model=f"{provider}-length", messages=HELLO)).done_reason == "length"


@both
async def test_tools_and_the_turn_after_them(client: Any, provider: str) -> None:
    found = await parts(client, f"{provider}-tools", tools=TOOLS)
    calls = [call for part in found for call in part.message.tool_calls or ()]
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert [dict(call.function.arguments) for call in calls] == [json.loads(words.ARGUMENTS)] * 2
    whole = await client.chat(model=f"{provider}-tools", messages=HELLO, tools=TOOLS)
    assert [call.function.name for call in whole.message.tool_calls] == ["get_weather", "get_time"]
    results = [{"role": "tool", "tool_name": call.function.name, "content": "fine"} for call in calls]
    again = await client.chat(model=f"{provider}-plain", messages=[*HELLO, whole.message, *results], tools=TOOLS)
    assert again.message.content == text(20)


@both
async def test_reasoning(client: Any, provider: str) -> None:
    found = await parts(client, f"{provider}-reasoning", think=True)
    thought = "".join(part.message.thinking or "" for part in found)
    assert thought and said(found) == text(5)
    whole = await client.chat(model=f"{provider}-reasoning", messages=HELLO, think=True)
    assert whole.message.thinking == thought and whole.message.content == text(5)


@both
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_raises(client: Any, gateway: ServeProcess, provider: str, name: str) -> None:
    found: list[Any] = []
    with pytest.raises(ollama.ResponseError) as raised:
        await read_on(await client.chat(model=f"{provider}-{name}", messages=HELLO, stream=True), found)
    assert raised.value.error and said(found) == text(5)
    assert not any(part.done for part in found)
    assert await outcome(gateway, f"{provider}-{name}") == BROKEN[name]
    with pytest.raises(ollama.ResponseError) as raised:
        await client.chat(model=f"{provider}-{name}", messages=HELLO)
    assert raised.value.status_code in (502, 504)


@both
@pytest.mark.parametrize(("name", "status"), [("429", 429), ("error-first", 502)])
async def test_an_error_before_the_answer_has_its_status(client: Any, provider: str, name: str, status: int) -> None:
    with pytest.raises(ollama.ResponseError) as raised:
        await parts(client, f"{provider}-{name}")
    assert raised.value.status_code in (status, 500)
    assert "simulated provider" in raised.value.error


async def test_what_cannot_be_carried_is_refused_by_name(client: Any) -> None:
    with pytest.raises(ollama.ResponseError) as raised:
        await parts(client, "chat-plain", options={"mirostat": 2})
    assert raised.value.status_code == 400 and "options.mirostat" in raised.value.error
    assert said(await parts(client, "chat-plain", options={"num_ctx": 8192, "temperature": 0}, keep_alive="5m"))


async def test_an_unknown_model(client: Any) -> None:
    with pytest.raises(ollama.ResponseError) as raised:
        await parts(client, "nothing")
    assert raised.value.status_code == 404 and "nothing" in raised.value.error


# -- OpenAI's SDK at Ollama -------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chat(gateway: ServeProcess) -> AsyncIterator[Any]:
    url = f"http://127.0.0.1:{gateway.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


async def test_openai_at_ollama(chat: Any) -> None:
    stream = await chat.chat.completions.create(
        model="ollama-plain", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text(20)
    assert chunks[-1].usage.completion_tokens == 20
    whole = await chat.chat.completions.create(model="ollama-reasoning", messages=HELLO)
    assert whole.choices[0].message.content == text(5) and whole.choices[0].message.reasoning_content


async def test_openai_at_ollama_with_tools(chat: Any) -> None:
    async with chat.chat.completions.stream(model="ollama-tools", messages=HELLO, tools=TOOLS) as stream:
        completion = await stream.get_final_completion()
    message, reason = completion.choices[0].message, completion.choices[0].finish_reason
    assert reason == "tool_calls"
    assert [call.function.name for call in message.tool_calls] == ["get_weather", "get_time"]
    assert len({call.id for call in message.tool_calls}) == 2 and all(call.id for call in message.tool_calls)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in message.tool_calls]
    turn = message.model_dump(exclude_none=True)
    turn.pop("parsed", None)
    for call in turn["tool_calls"]:
        call["function"].pop("parsed_arguments", None)
    again = await chat.chat.completions.create(model="ollama-plain", messages=[*HELLO, turn, *results], tools=TOOLS)
    assert again.choices[0].message.content == text(20)


@pytest.mark.parametrize("name", BROKEN)
async def test_openai_at_a_broken_ollama_raises(chat: Any, name: str) -> None:
    with pytest.raises(openai.APIError):
        async for _ in await chat.chat.completions.create(model=f"ollama-{name}", messages=HELLO, stream=True):
            pass
