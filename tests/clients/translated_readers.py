"""What the official SDKs make of a stream: each of them offline, behind a transport that plays bytes to it.

The SDKs validate strictly: a chunk that their own types do not allow is an error here, not a warning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import anthropic
import httpx
import httpx2
import msgspec
import ollama
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

HELLO: Any = [{"role": "user", "content": "Hello"}]


class Call(msgspec.Struct, frozen=True):
    """A tool call. ``id`` is empty where nobody gave one, or the SDK does not show it."""

    id: str
    name: str
    arguments: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """An answer. ``usage`` by the names of its kinds, those alone that the wire has."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: tuple[Call, ...] = ()
    seals: tuple[str, ...] = ()
    finish: str = ""
    usage: dict[str, int] = {}


class _Tape:
    """The body that the next request gets."""

    pieces: tuple[bytes, ...] = ()
    content_type = "text/event-stream"

    def headers(self) -> dict[str, str]:
        return {"content-type": self.content_type}


class _Played(httpx.SyncByteStream, httpx2.SyncByteStream):
    def __init__(self, pieces: tuple[bytes, ...]):
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self.pieces


@cache
def _openai() -> tuple[openai.OpenAI, _Tape]:
    tape = _Tape()
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, headers=tape.headers(), stream=_Played(tape.pieces))
    )
    http = httpx2.Client(transport=transport, trust_env=False)
    client = openai.OpenAI(
        api_key="none", base_url="http://sdk/v1", http_client=http, max_retries=0, _strict_response_validation=True
    )
    return client, tape


@cache
def _anthropic() -> tuple[anthropic.Anthropic, _Tape]:
    tape = _Tape()
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, headers=tape.headers(), stream=_Played(tape.pieces))
    )
    http = httpx2.Client(transport=transport, trust_env=False)
    client = anthropic.Anthropic(
        api_key="none", base_url="http://sdk", http_client=http, max_retries=0, _strict_response_validation=True
    )
    return client, tape


@cache
def _ollama() -> tuple[ollama.Client, _Tape]:
    tape = _Tape()
    tape.content_type = "application/x-ndjson"
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, headers=tape.headers(), stream=_Played(tape.pieces))
    )
    return ollama.Client(host="http://sdk", transport=transport, trust_env=False), tape


def chat(pieces: list[bytes]) -> dict[int, Said]:
    """openai's chat completions: every chunk validated, and put together by the SDK; by choice."""
    client, tape = _openai()
    tape.pieces = tuple(pieces)
    state: Any = ChatCompletionStreamState()
    finishes: list[int] = []
    usage = None
    for chunk in client.chat.completions.create(model="m", messages=HELLO, stream=True):
        assert usage is None, "a chunk behind the usage"
        usage = chunk.usage
        for choice in chunk.choices:
            assert choice.index not in finishes, "a chunk behind a finish"
            finishes += [choice.index] if choice.finish_reason else []
        state.handle_chunk(chunk)
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return {choice.index: _of_choice(choice, usage) for choice in state.current_completion_snapshot.choices}


def _of_choice(choice: Any, usage: Any) -> Said:
    message = choice.message
    details = (message.model_extra or {}).get("reasoning_details") or ()
    return Said(
        text=message.content or "",
        reasoning=(message.model_extra or {}).get("reasoning_content") or "",
        refusal=message.refusal or "",
        calls=tuple(Call(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()),
        seals=tuple(detail.get("signature") or detail.get("data") for detail in details),
        finish=choice.finish_reason,
        usage={
            "in": usage.prompt_tokens,
            "out": usage.completion_tokens,
            "cache_read": usage.prompt_tokens_details.cached_tokens,
            "reasoning": usage.completion_tokens_details.reasoning_tokens,
        },
    )


def responses(pieces: list[bytes]) -> dict[int, Said]:
    """openai's responses: every event validated, and the pieces of each kind held against the final response."""
    client, tape = _openai()
    tape.pieces = tuple(pieces)
    deltas: dict[str, str] = {}
    event: Any = None
    with client.responses.stream(model="m", input="Hello") as stream:
        for number, event in enumerate(stream):
            assert event.sequence_number == number and (event.type == "response.created") is (number == 0)
            if event.type.endswith(".delta"):
                deltas[event.type] = deltas.get(event.type, "") + event.delta
    said = _of_response(event.response)
    kinds = {
        "response.output_text.delta": said.text,
        "response.refusal.delta": said.refusal,
        "response.reasoning_summary_text.delta": said.reasoning,
        "response.function_call_arguments.delta": "".join(call.arguments for call in said.calls),
    }
    for kind, whole in kinds.items():
        assert deltas.get(kind, "") == whole, f"{kind} and the copies differ"
    return {0: said}


def _of_response(response: Any) -> Said:
    items = response.output
    parts = [part for item in items if item.type == "message" for part in item.content]
    thoughts = [item for item in items if item.type == "reasoning"]
    usage = response.usage
    assert usage is not None or response.status == "failed"
    assert usage is None or usage.total_tokens == usage.input_tokens + usage.output_tokens
    reason = response.incomplete_details.reason if response.incomplete_details else None
    return Said(
        text="".join(part.text for part in parts if part.type == "output_text"),
        reasoning="".join(part.text for item in thoughts for part in item.summary),
        refusal="".join(part.refusal for part in parts if part.type == "refusal"),
        calls=tuple(Call(item.call_id, item.name, item.arguments) for item in items if item.type == "function_call"),
        seals=tuple(item.encrypted_content.removeprefix("redacted:") for item in thoughts if item.encrypted_content),
        finish=f"{response.status}/{reason}" if reason else response.status,
        usage={}
        if usage is None
        else {
            "in": usage.input_tokens,
            "out": usage.output_tokens,
            "cache_read": usage.input_tokens_details.cached_tokens,
            "cache_write": usage.input_tokens_details.cache_write_tokens,
            "reasoning": usage.output_tokens_details.reasoning_tokens,
        },
    )


def messages(pieces: list[bytes]) -> dict[int, Said]:
    """anthropic's messages: every event validated, and the final message put together by the SDK."""
    client, tape = _anthropic()
    tape.pieces = tuple(pieces)
    inputs: dict[int, str] = {}
    kinds = []
    with client.messages.stream(model="m", max_tokens=9, messages=HELLO) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "content_block_delta" and event.delta.type == "input_json_delta":
                inputs[event.index] = inputs.get(event.index, "") + event.delta.partial_json
        message: Any = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    blocks: list[Any] = message.content
    for index, block in enumerate(blocks):
        if block.type == "tool_use" and (value := parsed(inputs.get(index, ""))) is not None:
            assert block.input == value
    thinking = [block for block in blocks if block.type == "thinking"]
    seals = {"thinking": "signature", "redacted_thinking": "data"}
    usage = message.usage
    cached = usage.cache_read_input_tokens or 0
    return {
        0: Said(
            text="".join(block.text for block in blocks if block.type == "text"),
            reasoning="".join(block.thinking for block in thinking),
            calls=tuple(
                Call(block.id, block.name, inputs.get(index, ""))
                for index, block in enumerate(blocks)
                if block.type == "tool_use"
            ),
            seals=tuple(
                seal for block in blocks if block.type in seals and (seal := getattr(block, seals[block.type]))
            ),
            finish=message.stop_reason or "",
            usage={
                "in": usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
                "out": usage.output_tokens,
                "cache_read": cached,
                "cache_write": usage.cache_creation_input_tokens or 0,
            },
        )
    }


def ollama_chat(pieces: list[bytes]) -> dict[int, Said]:
    """ollama's chat: every line validated. Its SDK puts nothing together and shows no ids of calls."""
    client, tape = _ollama()
    tape.pieces = tuple(pieces)
    lines = list(client.chat("m", messages=HELLO, stream=True))
    assert [bool(line.done) for line in lines] == [False] * (len(lines) - 1) + [True]
    last = lines[-1]
    calls = [call.function for line in lines for call in line.message.tool_calls or ()]
    return {
        0: Said(
            text="".join(line.message.content or "" for line in lines),
            reasoning="".join(line.message.thinking or "" for line in lines),
            calls=tuple(Call("", call.name, json.dumps(dict(call.arguments))) for call in calls),
            finish=last.done_reason or "",
            usage={"in": last.prompt_eval_count or 0, "out": last.eval_count or 0},
        )
    }


def parsed(arguments: str) -> Any:
    """A call's arguments as JSON (of none: no arguments), or None."""
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return None


READERS: dict[str, Callable[[list[bytes]], dict[int, Said]]] = {
    "openai-chat": chat,
    "openai-responses": responses,
    "anthropic-messages": messages,
    "ollama-chat": ollama_chat,
}
