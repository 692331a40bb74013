"""D6. An error in the words of each client wire: the official SDKs raise, and their exceptions say what it was."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anthropic
import httpx
import openai
import pytest
from wire_clients import HELLO
from wire_providers import PROVIDERS, SAID, Provider

from penstock.testing import frames
from penstock.testing.rig import MODEL, LiveGateway, Rig
from penstock.testing.steps import cut, eof, hdr, raw, role, tok, words
from penstock.testing.upstream import Step

cohere = pytest.importorskip("cohere")
genai = pytest.importorskip("google.genai")
ollama = pytest.importorskip("ollama")

Ask = Callable[[LiveGateway, list[str]], Awaitable[None]]


def origin(gateway: LiveGateway) -> str:
    """Where the gateway is, without a path."""
    return gateway.base_url.removesuffix("/v1")


async def ask_chat(gateway: LiveGateway, texts: list[str]) -> None:
    """openai-python, chat."""
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
        messages: Any = HELLO
        async for chunk in await client.chat.completions.create(model=MODEL, stream=True, messages=messages):
            texts += [choice.delta.content or "" for choice in chunk.choices]


async def ask_responses(gateway: LiveGateway, texts: list[str]) -> None:
    """openai-python, responses."""
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
        async for event in await client.responses.create(model=MODEL, stream=True, input="Hello"):
            texts += [event.delta] if event.type == "response.output_text.delta" else []


async def ask_messages(gateway: LiveGateway, texts: list[str]) -> None:
    """anthropic-python."""
    async with anthropic.AsyncAnthropic(base_url=origin(gateway), api_key="any", max_retries=0) as client:
        messages: Any = HELLO
        async with client.messages.stream(model=MODEL, max_tokens=100, messages=messages) as stream:
            async for text in stream.text_stream:
                texts.append(text)  # noqa: PERF401 - what came before an error is wanted


async def ask_gemini(gateway: LiveGateway, texts: list[str]) -> None:
    """google-genai."""
    client = genai.Client(api_key="any", http_options=genai.types.HttpOptions(base_url=origin(gateway)))
    try:
        stream: AsyncIterator[Any] = await client.aio.models.generate_content_stream(model=MODEL, contents="Hello")
        async for chunk in stream:
            texts.append(chunk.text or "")  # noqa: PERF401
    finally:
        await client.aio.aclose()
        client.close()


async def ask_cohere(gateway: LiveGateway, texts: list[str]) -> None:
    """cohere-python."""
    async with httpx.AsyncClient() as http:
        client = cohere.AsyncClientV2(api_key="any", base_url=origin(gateway), httpx_client=http)
        async for event in client.chat_stream(model=MODEL, messages=HELLO, request_options={"max_retries": 0}):
            if event.type == "content-delta":
                texts.append(event.delta.message.content.text)  # noqa: PERF401


async def ask_ollama(gateway: LiveGateway, texts: list[str]) -> None:
    """ollama-python."""
    client = ollama.AsyncClient(host=origin(gateway))
    try:
        async for part in await client.chat(model=MODEL, messages=HELLO, stream=True):
            texts.append(part.message.content or "")  # noqa: PERF401
    finally:
        await client._client.aclose()


ASK: dict[str, Ask] = {
    "openai-chat": ask_chat,
    "openai-responses": ask_responses,
    "anthropic-messages": ask_messages,
    "gemini": ask_gemini,
    "cohere-chat": ask_cohere,
    "ollama-chat": ask_ollama,
}
CLIENT = pytest.mark.parametrize("client", ASK)
CHAT_ERROR = frames.error(SAID, type="overloaded_error", code="busy")


def script(client: str, *last: Step, words: bool = True) -> list[Step]:
    """A provider of the client's own wire."""
    if client == "openai-chat":
        return [hdr(), role(), *([tok(3)] if words else []), *last]
    provider = PROVIDERS[client]
    return [*(provider.begin() if words else [provider.head()]), *last]


def error_of(client: str) -> Step:
    """Its error in the stream."""
    return raw(CHAT_ERROR if client == "openai-chat" else PROVIDERS[client].error)


async def raised(client: str, gateway: LiveGateway, text: str) -> Exception:
    """What the SDK raises behind a text."""
    texts: list[str] = []
    with pytest.raises(Exception) as caught:
        await ASK[client](gateway, texts)
    assert "".join(texts) == text
    return caught.value


def assert_says(client: str, error: Any, *, message: str, type: str, code: str) -> None:
    """The exception has the words, and the type and the code where the SDK has a place for them."""
    if client == "cohere-chat":
        # No SDK of Cohere's raises on an error inside a stream: it is the broken connection behind it that does.
        assert "peer closed connection" in str(error) or isinstance(error, httpx.HTTPError)
        return
    assert message in str(error)
    if client in ("openai-chat", "openai-responses"):
        assert isinstance(error, openai.APIError)
        assert (error.type, error.code) == (type, code)
    elif client == "anthropic-messages":
        assert isinstance(error, anthropic.APIStatusError)
        body: Any = error.body
        assert (body["error"]["type"], body["error"]["code"]) == (type, code)
    elif client == "gemini":
        assert isinstance(error, genai.errors.ServerError)
        assert error.details["error"]["details"][0]["reason"] == code.upper()
    else:
        assert isinstance(error, ollama.ResponseError)


@CLIENT
@pytest.mark.parametrize("last", [cut(), eof()], ids=["cut", "eof"])
async def test_D6_the_sdk_raises_on_a_cut(rig: Rig, client: str, last: Step) -> None:
    gateway = await rig.gateway(await rig.upstream(script(client, last)), wire=client)
    error = await raised(client, gateway, words(3))
    kind = "api_error" if client == "anthropic-messages" else "server_error"
    assert_says(client, error, message="before the answer was finished", type=kind, code="upstream_cut")
    assert (await gateway.record())["outcome"] == "upstream_cut"


def native(client: str) -> tuple[str, str]:
    """Type and code of each provider's error."""
    own: dict[str, tuple[str, str]] = {
        "openai-chat": ("overloaded_error", "busy"),
        "openai-responses": ("server_error", "rate_limit_exceeded"),
        "anthropic-messages": ("overloaded_error", "upstream_error"),
    }
    return own.get(client, ("", "upstream_error"))


@CLIENT
async def test_D6_the_sdk_raises_on_the_providers_error(rig: Rig, client: str) -> None:
    gateway = await rig.gateway(await rig.upstream(script(client, error_of(client), eof())), wire=client)
    error = await raised(client, gateway, words(3))
    kind, code = native(client)
    assert_says(client, error, message=SAID, type=kind, code=code)
    assert (await gateway.record())["outcome"] == "upstream_error"


TRANSLATED = ("openai-responses", "anthropic-messages", "ollama-chat")


@pytest.mark.parametrize("client", TRANSLATED)
async def test_D6_the_sdk_raises_on_an_error_of_another_wire(rig: Rig, client: str) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), role(), tok(3), raw(CHAT_ERROR), eof()]))
    error = await raised(client, gateway, words(3))
    assert_says(client, error, message=SAID, type="overloaded_error", code="busy")


def status_of(error: Any) -> int:
    """The HTTP status that an SDK's exception carries."""
    return int(getattr(error, "status_code", None) or error.code)


@CLIENT
async def test_D6_an_error_before_the_stream_is_a_status(rig: Rig, client: str) -> None:
    script_of_one = script(client, error_of(client), eof(), words=False)
    gateway = await rig.gateway(await rig.upstream(script_of_one), wire=client)
    error: Any = await raised(client, gateway, "")
    wanted: Provider | None = PROVIDERS.get(client)
    assert status_of(error) == (503 if wanted is None else wanted.status)
    assert SAID in str(error)


@CLIENT
async def test_D6_an_unknown_model_is_a_404_in_every_wire(rig: Rig, client: str, monkeypatch: Any) -> None:
    gateway = await rig.gateway(await rig.upstream(script(client)), wire=client)
    monkeypatch.setattr("test_D_dialects.MODEL", "nobody")
    error = await raised(client, gateway, "")
    assert status_of(error) == 404
    assert "nobody" in str(error)
