"""The official SDKs survive metadata in the stream, and those that keep unknown fields show it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from client_fleet import node_command
from gateway_process import clean_environment
from sim_thread import sim_thread

from penstock.sim import Sim, words
from penstock.testing.process import ServeProcess

anthropic = pytest.importorskip("anthropic")
cohere = pytest.importorskip("cohere")
genai = pytest.importorskip("google.genai")
ollama = pytest.importorskip("ollama")
openai = pytest.importorskip("openai")

TOKENS = 12
TEXT = "".join(words.take(words.by_word(words.PARAGRAPH), TOKENS))
ASKED = {"x-penstock-metadata": "live"}
WIRES = ("openai-chat", "openai-responses", "anthropic-messages", "gemini", "cohere-chat", "ollama-chat")
HELLO: Any = [{"role": "user", "content": "Hello"}]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def sim() -> Iterator[Sim]:
    with sim_thread() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(sim: Sim, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServeProcess]:
    base = {wire: sim.base_url if wire.startswith("openai") else sim.origin for wire in WIRES}
    settings = {
        "providers": {wire: {"wire": wire, "base_url": base[wire]} for wire in WIRES},
        "defaults": {"metadata_every": 3, "tags": {"policy": "eu-1"}, "deadlines": {"between_tokens": "5s"}},
        "routes": {wire: {"targets": [f"{wire}/sim?tokens={TOKENS}&first=0&gap=1ms"]} for wire in WIRES},
    }
    async with ServeProcess(settings, tmp_path_factory.mktemp("gateway")) as process:
        yield process
        assert not process.errors


def notes(events: list[Any]) -> list[dict[str, Any]]:
    """What an SDK shows of ours."""
    extras = [getattr(event, "model_extra", None) or {} for event in events]
    return [extra["penstock"] for extra in extras if "penstock" in extra]


def right(told: list[dict[str, Any]], wire: str) -> None:
    assert [note["final"] for note in told] == [False] * (len(told) - 1) + [True]
    assert len(told) >= 3
    last = told[-1]
    assert last["token_events"] == TOKENS
    assert last["tags"] == {"policy": "eu-1"}
    assert last["target"].startswith(f"{wire}/sim?")
    assert last["receipt"].startswith("sha256:")


def origin(gateway: ServeProcess) -> str:
    return f"http://127.0.0.1:{gateway.port}"


async def test_openai_chat(gateway: ServeProcess) -> None:
    async with openai.AsyncOpenAI(base_url=origin(gateway) + "/v1", api_key="any", default_headers=ASKED) as client:
        stream = await client.chat.completions.create(model="openai-chat", messages=HELLO, stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
        right(notes(chunks), "openai-chat")
        async with client.chat.completions.stream(model="openai-chat", messages=HELLO) as helper:
            async for _ in helper:
                pass
            assert (await helper.get_final_completion()).choices[0].message.content == TEXT
        whole = await client.chat.completions.create(model="openai-chat", messages=HELLO)
        assert whole.choices[0].message.content == TEXT
        assert whole.model_extra["penstock"]["final"] is True


async def test_openai_responses(gateway: ServeProcess) -> None:
    async with openai.AsyncOpenAI(base_url=origin(gateway) + "/v1", api_key="any", default_headers=ASKED) as client:
        events = [event async for event in await client.responses.create(model=WIRES[1], input="Hi", stream=True)]
        assert events[-1].response.output_text == TEXT
        right(notes(events), WIRES[1])
        async with client.responses.stream(model=WIRES[1], input="Hi") as helper:
            async for _ in helper:
                pass
            assert (await helper.get_final_response()).output_text == TEXT
        whole = await client.responses.create(model=WIRES[1], input="Hi")
        assert whole.output_text == TEXT
        assert whole.model_extra["penstock"]["final"] is True


async def test_anthropic_messages(gateway: ServeProcess) -> None:
    asked: Any = {"model": WIRES[2], "messages": HELLO, "max_tokens": 99}
    async with anthropic.AsyncAnthropic(base_url=origin(gateway), api_key="any", default_headers=ASKED) as client:
        events = [event async for event in await client.messages.create(**asked, stream=True)]
        right(notes(events), WIRES[2])
        async with client.messages.stream(**asked) as helper:
            message = await helper.get_final_message()
        assert message.content[0].text == TEXT
        whole = await client.messages.create(**asked)
        assert whole.content[0].text == TEXT
        assert whole.model_extra["penstock"]["final"] is True


async def test_cohere_chat(gateway: ServeProcess) -> None:
    more: Any = {"model": WIRES[4], "messages": HELLO, "request_options": {"additional_headers": ASKED}}
    async with cohere.AsyncClientV2(api_key="any", base_url=origin(gateway)) as client:
        events = [event async for event in client.chat_stream(**more)]
        deltas = [event.delta.message.content.text for event in events if event.type == "content-delta"]
        assert "".join(deltas) == TEXT
        right(notes(events), WIRES[4])
        whole = await client.chat(**more)
        assert whole.message.content[0].text == TEXT


async def test_gemini(gateway: ServeProcess) -> None:
    options = genai.types.HttpOptions(base_url=origin(gateway), headers=ASKED)
    client = genai.Client(api_key="any", http_options=options)
    try:
        stream = await client.aio.models.generate_content_stream(model="gemini", contents="Hi")
        assert "".join([chunk.text or "" async for chunk in stream]) == TEXT
        whole = await client.aio.models.generate_content(model="gemini", contents="Hi")
        assert whole.text == TEXT
    finally:
        await client.aio.aclose()
        client.close()


async def test_ollama(gateway: ServeProcess) -> None:
    client = ollama.AsyncClient(host=origin(gateway), headers=ASKED)
    try:
        parts = [part async for part in await client.chat(model=WIRES[5], messages=HELLO, stream=True)]
        assert "".join(part.message.content for part in parts) == TEXT
        whole = await client.chat(model=WIRES[5], messages=HELLO)
        assert whole.message.content == TEXT
    finally:
        close: Callable[[], Any] = client._client.aclose
        await close()


async def test_the_node_sdks(gateway: ServeProcess, tmp_path: Path) -> None:
    command = [*node_command("metadata.mjs", tmp_path), origin(gateway)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=clean_environment()
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-4000:]
    reports = [json.loads(line) for line in out.splitlines()]
    assert len(reports) == 9
    for report in reports:
        assert report["error"] is None, report
        assert set(report["texts"]) == {TEXT}, report
    told = {report["name"]: report["told"] for report in reports}
    shows = {"anthropic", *(f"openai-{major} {wire}" for major in (6, 7) for wire in ("chat", "responses"))}
    assert {name for name, count in told.items() if count >= 3} == shows
