"""OpenAI's own SDK on the Responses wire through the gateway, at providers of this wire and of openai-chat.

The SDK of the test environment drives every case; the routes say which provider answers and how.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
import pytest_asyncio
from sdk_scenarios import BROKEN, DEFAULTS, WHOLE, routes, text
from sim_thread import sim_thread

from penstock.sim import Sim, words
from penstock.testing.process import ServeProcess

WIRES = ("responses", "chat")
TOOLS: Any = [
    {"type": "function", "name": name, "parameters": {"type": "object", "properties": {}}, "strict": False}
    for name in ("get_weather", "get_time")
]


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def provider() -> Iterator[Sim]:
    with sim_thread() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(provider: Sim, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServeProcess]:
    settings = {
        "providers": {wire: {"wire": f"openai-{wire}", "base_url": provider.base_url} for wire in WIRES},
        "defaults": DEFAULTS,
        "routes": routes(WIRES),
    }
    async with ServeProcess(settings, tmp_path_factory.mktemp("gateway")) as process:
        yield process
        assert not process.errors


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(gateway: ServeProcess) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{gateway.port}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
        yield client


async def account(gateway: ServeProcess, route: str) -> dict[str, Any]:
    """The gateway's account of the last stream of a route."""
    async with asyncio.timeout(5):
        while not (found := [record for record in gateway.records if record["route"] == route]):
            await asyncio.sleep(0.01)
    return found[-1]


async def events(client: openai.AsyncOpenAI, model: str, **more: Any) -> list[Any]:
    stream = await client.responses.create(model=model, input="Hello", stream=True, **more)
    return [event async for event in stream]


async def read_on(stream: Any, found: list[Any]) -> None:
    async for event in stream:
        found.append(event)  # noqa: PERF401 - what came before an error is wanted


def said(found: list[Any]) -> str:
    return "".join(event.delta for event in found if event.type == "response.output_text.delta")


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("name", "tokens"), WHOLE.items())
async def test_an_answer_arrives_whole(
    client: openai.AsyncOpenAI, gateway: ServeProcess, wire: str, name: str, tokens: int
) -> None:
    found = await events(client, f"{wire}-{name}")
    response = found[-1].response
    assert [event.sequence_number for event in found] == list(range(len(found)))
    assert (found[0].type, found[-1].type) == ("response.created", "response.completed")
    assert said(found) == response.output_text == text(tokens)
    assert response.usage.output_tokens == tokens
    assert response.usage.total_tokens == response.usage.input_tokens + tokens
    record = await account(gateway, f"{wire}-{name}")
    assert record["outcome"] == "completed"
    if name == "slow":
        assert record["keepalives"] >= 5


@pytest.mark.parametrize("wire", WIRES)
async def test_the_helper_ends_with_the_whole(client: openai.AsyncOpenAI, wire: str) -> None:
    async with client.responses.stream(model=f"{wire}-plain", input="Hello") as stream:
        kinds = {event.type async for event in stream}
        response = await stream.get_final_response()
    assert {"response.output_text.delta", "response.output_text.done", "response.output_item.done"} <= kinds
    assert response.output_text == text(20) and response.status == "completed"


@pytest.mark.parametrize("wire", WIRES)
async def test_an_answer_that_is_not_streamed(client: openai.AsyncOpenAI, wire: str) -> None:
    response = await client.responses.create(model=f"{wire}-plain", input="Hello")
    assert (response.output_text, response.status) == (text(20), "completed")
    assert response.usage is not None and response.usage.output_tokens == 20


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize(("name", "reason"), [("length", "max_output_tokens"), ("filter", "content_filter")])
async def test_an_answer_that_was_cut_short_says_so(
    client: openai.AsyncOpenAI, wire: str, name: str, reason: str
) -> None:
    last = (await events(client, f"{wire}-{name}"))[-1]
    assert (last.type, last.response.status) == ("response.incomplete", "incomplete")
    assert last.response.incomplete_details.reason == reason
    whole = await client.responses.create(model=f"{wire}-{name}", input="Hello")
    assert whole.status == "incomplete" and whole.output_text == text(5)


@pytest.mark.parametrize("wire", WIRES)
async def test_tools_and_the_turn_after_them(client: openai.AsyncOpenAI, wire: str) -> None:
    async with client.responses.stream(model=f"{wire}-tools", input="Hello", tools=TOOLS) as stream:
        done = [event async for event in stream if event.type == "response.function_call_arguments.done"]
        response = await stream.get_final_response()
    calls = [item for item in response.output if item.type == "function_call"]
    assert [call.name for call in calls] == ["get_weather", "get_time"]
    assert len(done) == 2 and len({call.call_id for call in calls}) == 2
    assert [json.loads(call.arguments) for call in calls] == [json.loads(words.ARGUMENTS)] * 2
    results: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "fine"} for call in calls]
    history = [
        {"role": "user", "content": "Hello"},
        *(item.model_dump(exclude_none=True) for item in response.output),
        *results,
    ]
    again = await client.responses.create(model=f"{wire}-plain", input=history, tools=TOOLS)
    assert again.output_text == text(20)


@pytest.mark.parametrize("wire", WIRES)
async def test_reasoning_and_the_turn_after_it(client: openai.AsyncOpenAI, wire: str) -> None:
    found = await events(client, f"{wire}-reasoning")
    thought = "".join(event.delta for event in found if event.type == "response.reasoning_summary_text.delta")
    assert thought == "".join(words.take(words.by_word(words.THOUGHT.lstrip()), 5))
    response = found[-1].response
    assert [item.type for item in response.output] == ["reasoning", "message"]
    assert response.output[0].summary[0].text == thought
    assert response.usage.output_tokens_details.reasoning_tokens == 5
    history = [{"role": "user", "content": "Hello"}, *(item.model_dump(exclude_none=True) for item in response.output)]
    again = await client.responses.create(model=f"{wire}-plain", input=[*history, {"role": "user", "content": "And?"}])
    assert again.output_text == text(20)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_raises(client: openai.AsyncOpenAI, gateway: ServeProcess, wire: str, name: str) -> None:
    stream = await client.responses.create(model=f"{wire}-{name}", input="Hello", stream=True)
    found: list[Any] = []
    with pytest.raises(openai.APIError) as caught:
        await read_on(stream, found)
    assert said(found) == text(5)
    assert not [event for event in found if event.type in ("response.completed", "response.incomplete")]
    provider = {"responses": "server_error"}.get(wire) if name == "error" else None
    assert caught.value.code == (provider or BROKEN[name])
    assert (await account(gateway, f"{wire}-{name}"))["outcome"] == BROKEN[name]
    with pytest.raises(openai.APIError):
        async with client.responses.stream(model=f"{wire}-{name}", input="Hello") as helper:
            await helper.get_final_response()


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("name", [*BROKEN, "error-first"])
async def test_a_broken_answer_that_is_not_streamed_has_a_status(
    client: openai.AsyncOpenAI, wire: str, name: str
) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        await client.responses.create(model=f"{wire}-{name}", input="Hello")
    assert caught.value.status_code == (504 if name == "stall" else 502)


@pytest.mark.parametrize("wire", WIRES)
async def test_an_error_before_any_output_has_a_status(client: openai.AsyncOpenAI, wire: str) -> None:
    with pytest.raises(openai.InternalServerError):
        await events(client, f"{wire}-error-first")
    with pytest.raises(openai.RateLimitError) as caught:
        await events(client, f"{wire}-429")
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.APIError) as late:
        await events(client, f"{wire}-late-429")
    assert not isinstance(late.value, openai.APIStatusError)
    assert late.value.code == "rate_limit_exceeded"


async def test_a_chat_client_at_a_provider_of_this_wire(client: openai.AsyncOpenAI) -> None:
    ask: Any = {
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    chunks = [chunk async for chunk in await client.chat.completions.create(model="responses-plain", **ask)]
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(deltas) == text(20)
    assert chunks[-2].choices[0].finish_reason == "stop" and chunks[-1].usage.completion_tokens == 20
    tools: Any = [
        {"type": "function", "function": {"name": tool["name"], "parameters": tool["parameters"], "strict": True}}
        for tool in TOOLS
    ]
    async with client.chat.completions.stream(model="responses-tools", messages=ask["messages"], tools=tools) as stream:
        whole = await stream.get_final_completion()
    calls = whole.choices[0].message.tool_calls
    assert whole.choices[0].finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments) for call in calls] == [json.loads(words.ARGUMENTS)] * 2
    with pytest.raises(openai.APIError):
        async for _ in await client.chat.completions.create(model="responses-error", **ask):
            pass


async def test_what_no_provider_holds_is_not_found(client: openai.AsyncOpenAI) -> None:
    for ask in (
        client.responses.retrieve("resp_1"),
        client.responses.retrieve("resp_1", stream=True, starting_after=3),
        client.responses.cancel("resp_1"),
        client.responses.delete("resp_1"),
    ):
        # In the provider's own words.
        with pytest.raises(openai.NotFoundError, match="/v1/responses/resp_1"):
            await ask
