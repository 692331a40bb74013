"""Google's official SDK through the gateway to a gemini provider, and OpenAI's SDK to the same. All sides are real
processes or real libraries, and the sockets are real."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_process import GatewayProcess
from sim_thread import sim_thread

genai = pytest.importorskip("google.genai")
openai = pytest.importorskip("openai")

from penstock.sim import words  # noqa: E402

FAST = "first=5ms&gap=2ms"
ROUTES = {
    "plain": [f"sim?tokens=12&{FAST}"],
    "crumbs": [f"sim?tokens=12&split=3&{FAST}"],
    "slow": ["sim?tokens=4&gap=250ms&first=400ms"],
    "thoughts": [f"sim?tokens=5&reasoning=5&{FAST}"],
    "tools": [f"sim?tool=2&reasoning=3&{FAST}"],
    "length": [f"sim?tokens=5&finish=length&{FAST}"],
    "document": [f"sim?tokens=12&json=1&{FAST}"],
    "failover": [f"sim?cut_at=0&{FAST}", f"sim?tokens=12&{FAST}"],
    "error": [f"sim?tokens=10&error_at=5&{FAST}"],
    "cut": [f"sim?tokens=10&cut_at=5&{FAST}"],
    "reset": [f"sim?tokens=10&reset_at=5&{FAST}"],
    "stall": [f"sim?tokens=10&stall_at=5&{FAST}"],
    "bad call": [f"sim?tokens=10&finish=malformed_function_call&{FAST}"],
    "429": ["sim?status=429&retry_after=7"],
    "error first": [f"sim?error_at=0&{FAST}"],
}
BROKEN = {
    "error": (500, "upstream_error"),
    "cut": (502, "upstream_cut"),
    "reset": (502, "upstream_cut"),
    "stall": (504, "stalled"),
    "bad call": (502, "MALFORMED_FUNCTION_CALL"),
}
TEXT = "".join(words.by_word(words.PARAGRAPH)[:12])
NEW = int(genai.__version__.partition(".")[0]) >= 2
"""Older ones take an error frame for an empty chunk; there the broken connection behind it raises."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The gateway's origin."""
    with sim_thread() as provider:
        settings = {
            "providers": {
                "g": {"wire": "gemini", "base_url": provider.origin, "api_key": "AIza-provider"},
                "c": {"wire": "openai-chat", "base_url": provider.base_url},
            },
            "defaults": {
                "deadlines": {"first_token": "3s", "between_tokens": "600ms"},
                "delivery": {"commit_after": "100ms", "keepalive": "100ms"},
            },
            "routes": {
                **{name: {"targets": [f"g/{model}" for model in models]} for name, models in ROUTES.items()},
                "chat": {"targets": [f"c/sim?tokens=5&{FAST}"]},
            },
            "keys": [{"name": "team", "key": "team-key"}],
        }
        with GatewayProcess(json.dumps(settings), tmp_path_factory.mktemp("gateway")) as process:
            yield process.origin


def client(gateway: str, key: str = "team-key") -> Any:
    return genai.Client(api_key=key, http_options=genai.types.HttpOptions(base_url=gateway))


@pytest.fixture(scope="module")
def google(gateway: str) -> Iterator[Any]:
    known = client(gateway)
    yield known
    close(known)


def close(known: Any) -> None:
    """Give its sockets back; older ones cannot."""
    if hasattr(known, "close"):
        known.close()


class Heard:
    """What a client got of a stream."""

    def __init__(self) -> None:
        self.text = self.thoughts = ""
        self.calls: list[Any] = []
        self.finish = self.usage = None
        self.raised: Exception | None = None

    def take(self, chunk: Any) -> None:
        self.usage = chunk.usage_metadata or self.usage
        for candidate in chunk.candidates or ():
            self.finish = candidate.finish_reason or self.finish
            for part in (candidate.content and candidate.content.parts) or ():
                if part.function_call:
                    self.calls.append(part.function_call)
                elif part.thought:
                    self.thoughts += part.text or ""
                else:
                    self.text += part.text or ""


def heard(google: Any, model: str, **config: Any) -> Heard:
    found = Heard()
    try:
        for chunk in google.models.generate_content_stream(
            model=model, contents="Hello", config=genai.types.GenerateContentConfig(**config)
        ):
            found.take(chunk)
    except Exception as error:
        found.raised = error
    return found


@pytest.mark.parametrize("model", ["plain", "crumbs", "document", "failover", "models/plain"])
def test_a_stream_arrives_whole(google, model):
    found = heard(google, model)
    assert found.raised is None
    assert (found.text, found.finish) == (TEXT, genai.types.FinishReason.STOP)
    assert found.usage.candidates_token_count == 12


def test_blank_lines_keep_a_slow_stream_alive_and_mean_nothing(google):
    found = heard(google, "slow")
    assert found.raised is None and found.text == "A river does not"


def test_thoughts_tools_and_length(google):
    found = heard(google, "thoughts")
    assert (found.text, found.thoughts) == ("A river does not hurry,", "First I look at what")
    assert (found.usage.thoughts_token_count, found.usage.candidates_token_count) == (5, 5)
    declared = genai.types.FunctionDeclaration(name="get_weather", parameters={"type": "OBJECT", "properties": {}})
    found = heard(google, "tools", tools=[genai.types.Tool(function_declarations=[declared])])
    assert [(call.name, call.args["city"]) for call in found.calls] == [("get_weather", "Paris")] * 2
    assert heard(google, "length").finish == genai.types.FinishReason.MAX_TOKENS


@pytest.mark.parametrize(("model", "told"), BROKEN.items(), ids=BROKEN)
def test_what_breaks_is_never_silent(google, model, told):
    found = heard(google, model)
    assert found.text and found.raised is not None
    if NEW:
        assert isinstance(found.raised, genai.errors.ServerError)
        assert found.raised.code == told[0]
        assert told[1] in str(found.raised.details)


@pytest.mark.parametrize(("model", "code"), [("429", 429), ("error first", 500), ("nope", 404), ("chat", 400)])
def test_before_the_first_token_it_is_a_status(google, model, code):
    found = heard(google, model)
    assert isinstance(found.raised, genai.errors.APIError)
    assert found.raised.code == code
    if model == "chat":
        assert "gemini providers only" in str(found.raised)


@pytest.mark.parametrize("model", ["plain", "document", "failover"])
def test_a_whole_answer(google, model):
    answer = google.models.generate_content(model=model, contents="Hello")
    assert answer.text == TEXT
    assert answer.candidates[0].finish_reason == genai.types.FinishReason.STOP
    assert answer.usage_metadata.candidates_token_count == 12


@pytest.mark.parametrize(("model", "told"), BROKEN.items(), ids=BROKEN)
def test_half_an_answer_is_no_whole_one(google, model, told):
    with pytest.raises(genai.errors.ServerError) as caught:
        google.models.generate_content(model=model, contents="Hello")
    assert caught.value.code == told[0]


def test_a_key_that_nobody_knows(gateway):
    stranger = client(gateway, "other")
    found = heard(stranger, "plain")
    close(stranger)
    assert isinstance(found.raised, genai.errors.ClientError)
    assert (found.raised.code, found.raised.status) == (401, "UNAUTHENTICATED")


async def test_without_waiting(gateway):
    google = client(gateway)
    text = ""
    async for chunk in await google.aio.models.generate_content_stream(model="slow", contents="Hello"):
        text += chunk.text or ""
    assert text == "A river does not"
    raised = None
    try:
        async for _ in await google.aio.models.generate_content_stream(model="cut", contents="Hello"):
            pass
    except Exception as error:
        raised = error
    assert raised is not None
    if hasattr(google.aio, "aclose"):
        await google.aio.aclose()
    close(google)


# -- OpenAI's SDK at a gemini provider --------------------------------------------------------------------------------

TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]


@pytest.fixture(scope="module")
def chat(gateway: str) -> Iterator[Any]:
    with openai.OpenAI(base_url=gateway + "/v1", api_key="team-key", max_retries=0) as known:
        yield known


def test_openai_clients_are_served_too(chat):
    text = thoughts = ""
    finish = usage = None
    for chunk in chat.chat.completions.create(
        model="thoughts",
        messages=[{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}],
        stream=True,
        stream_options={"include_usage": True},
        reasoning_effort="low",
    ):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            thoughts += getattr(choice.delta, "reasoning_content", None) or ""
            finish = choice.finish_reason or finish
    assert (text, thoughts, finish) == ("A river does not hurry,", "First I look at what", "stop")
    assert (usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens) == (10, 5)


def test_openai_clients_call_tools_and_give_their_results(chat):
    first = chat.chat.completions.create(
        model="tools", messages=[{"role": "user", "content": "Hello"}], tools=TOOLS, tool_choice="required"
    )
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls" and len(message.tool_calls) == 2
    turns = [{"role": "user", "content": "Hello"}, message.model_dump(exclude_none=True)]
    turns += [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in message.tool_calls]
    second = chat.chat.completions.create(model="plain", messages=turns, tools=TOOLS)
    assert second.choices[0].message.content == TEXT


@pytest.mark.parametrize(("model", "told"), BROKEN.items(), ids=BROKEN)
def test_openai_clients_are_told_too(chat, model, told):
    with pytest.raises(openai.APIError) as caught:
        for _ in chat.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Hello"}], stream=True
        ):
            pass
    assert caught.value.code in (told[1], str(told[0]))


def test_openai_clients_are_refused_what_gemini_has_no_place_for(chat):
    with pytest.raises(openai.BadRequestError) as caught:
        chat.chat.completions.create(
            model="plain", messages=[{"role": "user", "content": "Hello"}], logit_bias={"1": 1}
        )
    assert caught.value.param == "logit_bias"
