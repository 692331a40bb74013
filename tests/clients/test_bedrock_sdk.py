"""botocore's own client on the simulated provider's Bedrock; and the SDKs of OpenAI and Anthropic through the gateway
to it. All sides are real processes or real libraries, the sockets are real, and requests are signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from gateway_process import GatewayProcess
from sim_thread import sim_thread

openai = pytest.importorskip("openai")
botocore_session = pytest.importorskip("botocore.session")

from penstock.sim import words  # noqa: E402

HELLO = [{"role": "user", "content": "Hello"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
COUNT = len(words.by_word(words.PARAGRAPH))
KEYS = {"region": "us-east-1", "aws_access_key_id": "AKIDEXAMPLE123", "aws_secret_access_key": "wJalrXUtnFEMI"}


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The origin of a simulated provider."""
    with sim_thread() as running:
        yield running.origin


@pytest.fixture(scope="module")
def gateway(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with a route for each wire."""
    document = {
        "providers": {
            "converse": {"wire": "bedrock-converse", "base_url": provider, **KEYS},
            "invoke": {"wire": "bedrock-invoke", "base_url": provider, "api_key": "bedrock-api-key-123"},
        },
        "defaults": {
            "deadlines": {"first_token": "3s", "between_tokens": "600ms"},
            "delivery": {"commit_after": "100ms", "keepalive": "100ms"},
        },
        "routes": {
            f"{wire}?{options}": {"targets": [f"{wire}/sim?gap=1ms&{'' if 'first=' in options else FIRST}{options}"]}
            for wire in ("converse", "invoke")
            for options in OPTIONS
        },
        "telemetry": {"log": "json"},
    }
    with GatewayProcess(json.dumps(document), tmp_path_factory.mktemp("bedrock")) as running:
        yield running


FIRST = "first=10ms&"
WORLD = "text=Gr%C3%BC%C3%9Fe%20%E6%9D%B1%E4%BA%AC%20%F0%9F%8E%88"
OPTIONS = (
    "tokens=30",
    "seed=1",
    "tool=2",
    "reasoning=5",
    "error_at=5",
    "error_at=0",
    "cut_at=5",
    "reset_at=5",
    "drop_at=5",
    "stall_at=5",
    "status=429",
    "split=7",
    "first=500ms&tokens=3",
    "pad=400",
    "finish=length",
    "finish=content_filter",
    "malformed_at=3",
    "json=1",
    WORLD,
)


# -- botocore on the simulated provider -----------------------------------------------------------------------------


@pytest.fixture
def aws(provider: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """botocore's client for Bedrock."""
    from botocore.config import Config

    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    client = botocore_session.Session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=provider,
        aws_access_key_id="AKIDEXAMPLE123",
        aws_secret_access_key="wJalrXUtnFEMI",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def converse(client: Any, options: str, **fields: Any) -> list[dict[str, Any]]:
    asked = [{"role": "user", "content": [{"text": "Hello"}]}]
    answer = client.converse_stream(modelId=f"sim?gap=0s&first=0s&{options}", messages=asked, **fields)
    with closing(answer["stream"]) as stream:
        return list(stream)


def test_botocore_reads_converse_stream(aws: Any) -> None:
    events = converse(aws, "reasoning=3&tool=1&tokens=4")
    assert next(iter(events[0])) == "messageStart" and next(iter(events[-1])) == "metadata"
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    text = "".join(delta.get("text", "") for delta in deltas)
    assert text == "".join(words.by_word(words.PARAGRAPH)[:4])
    assert [delta["reasoningContent"]["signature"] for delta in deltas if "signature" in str(delta)]
    arguments = "".join(delta["toolUse"]["input"] for delta in deltas if "toolUse" in delta)
    assert json.loads(arguments)
    usage = events[-1]["metadata"]["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]


def test_botocore_raises_on_an_exception_in_the_stream(aws: Any) -> None:
    from botocore.exceptions import EventStreamError

    with pytest.raises(EventStreamError, match="internalServerException"):
        converse(aws, "error_at=3")


def test_botocore_reads_padding(aws: Any) -> None:
    assert len(converse(aws, "pad=300&split=7&tokens=3")) == 7


def test_botocore_reads_invoke(aws: Any) -> None:
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": HELLO}
    answer = aws.invoke_model_with_response_stream(modelId="sim?gap=0s&first=0s&tokens=2", body=json.dumps(body))
    events = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 2


def test_botocore_reads_whole_answers_and_errors(aws: Any) -> None:
    asked = [{"role": "user", "content": [{"text": "Hello"}]}]
    whole = aws.converse(modelId="sim?gap=0s&first=0s&tokens=2", messages=asked)
    assert whole["output"]["message"]["content"][0]["text"] and whole["stopReason"] == "end_turn"
    with pytest.raises(aws.exceptions.ThrottlingException):
        converse(aws, "status=429")
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.converse_stream(modelId="nothing", messages=asked)
    with pytest.raises(aws.exceptions.ValidationException):
        converse(aws, "status=400")


# -- OpenAI's SDK through the gateway -------------------------------------------------------------------------------


@pytest.fixture
def chat(gateway: GatewayProcess) -> Iterator[Any]:
    with openai.OpenAI(base_url=gateway.base_url, api_key="any", max_retries=0, timeout=10) as client:
        yield client


wires = pytest.mark.parametrize("wire", ["converse", "invoke"])


def chunks(chat: Any, model: str, **fields: Any) -> list[Any]:
    options = {"include_usage": True}
    return list(
        chat.chat.completions.create(model=model, stream=True, messages=HELLO, stream_options=options, **fields)
    )


def said(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


@wires
@pytest.mark.parametrize("options", ["tokens=30", "split=7", "pad=400", "first=500ms&tokens=3", "seed=1"])
def test_openai_streams(chat: Any, wire: str, options: str) -> None:
    got = chunks(chat, f"{wire}?{options}")
    text = said(got)
    assert text
    if "seed" not in options:
        assert words.PARAGRAPH.startswith(text)
    assert got[-1].usage.completion_tokens > 0 and got[-1].usage.prompt_tokens > 0
    assert [choice.finish_reason for chunk in got for choice in chunk.choices if choice.finish_reason] == ["stop"]


@wires
def test_openai_text_of_the_world(chat: Any, wire: str) -> None:
    assert said(chunks(chat, f"{wire}?{WORLD}")) == "Grüße 東京 🎈"


@wires
def test_openai_whole_answers(chat: Any, wire: str) -> None:
    for options in ("tokens=30", "json=1"):
        answer = chat.chat.completions.create(model=f"{wire}?{options}", messages=HELLO)
        assert words.PARAGRAPH.startswith(answer.choices[0].message.content)
        assert answer.usage.completion_tokens > 0 and answer.choices[0].finish_reason == "stop"


@wires
def test_openai_tools(chat: Any, wire: str) -> None:
    got = chunks(chat, f"{wire}?tool=2", tools=TOOLS)
    calls: dict[int, str] = {}
    names = []
    for chunk in got:
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or ():
                calls[call.index] = calls.get(call.index, "") + (call.function.arguments or "")
                names += [call.function.name] if call.function.name else []
    assert names == ["get_weather"] * 2 and all(json.loads(arguments) for arguments in calls.values())
    assert [choice.finish_reason for chunk in got for choice in chunk.choices if choice.finish_reason] == ["tool_calls"]


@wires
def test_openai_reasoning(chat: Any, wire: str) -> None:
    got = chunks(chat, f"{wire}?reasoning=5")
    deltas = [choice.delta for chunk in got for choice in chunk.choices]
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    seals = [seal["signature"] for delta in deltas for seal in getattr(delta, "reasoning_details", None) or ()]
    assert thought and seals and said(got) == words.PARAGRAPH


@wires
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ("error_at=5", "internalServerException"),
        ("cut_at=5", "upstream_cut"),
        ("drop_at=5", "upstream_cut"),
        ("reset_at=5", "upstream_cut"),
        ("stall_at=5", "stalled"),
    ],
)
def test_openai_broken_streams_are_never_silent(chat: Any, wire: str, options: str, code: str) -> None:
    stream = chat.chat.completions.create(model=f"{wire}?{options}", stream=True, messages=HELLO)
    with closing(stream), pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == code
    with pytest.raises(openai.APIStatusError) as whole:
        chat.chat.completions.create(model=f"{wire}?{options}", messages=HELLO)
    assert whole.value.code == code


@wires
def test_openai_errors_before_a_token_have_a_status(chat: Any, wire: str) -> None:
    with pytest.raises(openai.RateLimitError) as limited:
        chunks(chat, f"{wire}?status=429")
    assert limited.value.code == "ThrottlingException"
    with pytest.raises(openai.InternalServerError) as broken:
        chunks(chat, f"{wire}?error_at=0")
    assert broken.value.code == "internalServerException"


@wires
@pytest.mark.parametrize(
    ("options", "reason"), [("finish=length", "length"), ("finish=content_filter", "content_filter")]
)
def test_openai_finishes(chat: Any, wire: str, options: str, reason: str) -> None:
    got = chunks(chat, f"{wire}?{options}")
    assert [choice.finish_reason for chunk in got for choice in chunk.choices if choice.finish_reason] == [reason]


@wires
def test_openai_malformed_frames_are_left_out(chat: Any, wire: str) -> None:
    assert said(chunks(chat, f"{wire}?malformed_at=3")) == words.PARAGRAPH


def test_openai_is_told_what_converse_cannot_carry(chat: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        chat.chat.completions.create(model="converse?tokens=30", messages=HELLO, seed=7)
    assert caught.value.param == "seed"


# -- Anthropic's SDK through the gateway ----------------------------------------------------------------------------


@pytest.fixture
def claude(gateway: GatewayProcess) -> Iterator[Any]:
    anthropic = pytest.importorskip("anthropic")
    with anthropic.Anthropic(base_url=gateway.origin, api_key="any", max_retries=0, timeout=10) as client:
        yield client


def message(claude: Any, model: str, **fields: Any) -> Any:
    with claude.messages.stream(model=model, max_tokens=500, messages=HELLO, **fields) as stream:
        return stream.get_final_message()


@wires
@pytest.mark.parametrize("options", ["tokens=30", "split=7", "first=500ms&tokens=3"])
def test_anthropic_streams(claude: Any, wire: str, options: str) -> None:
    got = message(claude, f"{wire}?{options}")
    assert words.PARAGRAPH.startswith(got.content[0].text) and got.stop_reason == "end_turn"
    assert got.usage.output_tokens > 0 and got.usage.input_tokens > 0
    whole = claude.messages.create(model=f"{wire}?{options}", max_tokens=500, messages=HELLO)
    assert whole.content[0].text == got.content[0].text and whole.usage.output_tokens == got.usage.output_tokens


@wires
def test_anthropic_tools_and_thinking(claude: Any, wire: str) -> None:
    tools = [{"name": "get_weather", "description": "d", "input_schema": {"type": "object", "properties": {}}}]
    got = message(claude, f"{wire}?tool=2", tools=tools)
    assert [block.type for block in got.content] == ["tool_use", "tool_use"] and got.stop_reason == "tool_use"
    assert all(block.input for block in got.content)
    thought = message(claude, f"{wire}?reasoning=5")
    assert [block.type for block in thought.content] == ["thinking", "text"] and thought.content[0].signature


@wires
@pytest.mark.parametrize("options", ["error_at=5", "cut_at=5", "reset_at=5", "stall_at=5"])
def test_anthropic_broken_streams_are_never_silent(claude: Any, wire: str, options: str) -> None:
    anthropic = pytest.importorskip("anthropic")
    with pytest.raises(anthropic.APIStatusError) as caught:
        message(claude, f"{wire}?{options}")
    assert caught.value.body["error"]["type"] in ("api_error", "timeout_error")


@wires
def test_anthropic_errors_before_a_token_have_a_status(claude: Any, wire: str) -> None:
    anthropic = pytest.importorskip("anthropic")
    with pytest.raises(anthropic.RateLimitError) as caught:
        message(claude, f"{wire}?status=429")
    assert caught.value.body["error"]["provider_type"] == "ThrottlingException"


def test_invokes_metrics_reach_an_anthropic_client(claude: Any) -> None:
    raw = claude.messages.create(model="invoke?tokens=30", max_tokens=9, messages=HELLO, stream=True)
    last = list(raw)[-1]
    assert last.type == "message_stop"
    assert last.model_dump()["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == 30
