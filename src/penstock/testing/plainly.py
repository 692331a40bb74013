"""What a recorded stream says, read with plain means: JSON, and lines that end in a newline. No framer, no decoder.

It is the second opinion that `penstock.testing.recorded` holds the machine's reading against.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgspec


class Said(msgspec.Struct, frozen=True):
    """``input`` and ``output`` are totals, with what was cached and what was thought; None where nobody says.
    ``contradiction``: the provider's own numbers cannot all be true."""

    text: str
    input: int | None = None
    output: int | None = None
    contradiction: str = ""


class Block(msgspec.Struct, frozen=True):
    """A piece of a body: where it begins, its bytes, and the JSON in it (None: none)."""

    start: int
    raw: bytes
    body: Any


def blocks(data: bytes) -> list[Block]:
    """The SSE events of a body."""
    newline = b"\r\n" if b"\r\n\r\n" in data else b"\n"
    found, place = [], 0
    for raw in data.split(newline * 2):
        lines = [line.removeprefix(b"data:") for line in raw.split(newline) if line.startswith(b"data:")]
        found.append(Block(place, raw, _json(b"\n".join(lines))))
        place += len(raw) + 2 * len(newline)
    return found


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def bodies(data: bytes) -> list[dict[str, Any]]:
    """The JSON objects of a body: of SSE, of a JSON array, or of lines."""
    if data[:1] == b"[":
        return list(json.loads(data))
    if data[:1] == b"{":
        return [json.loads(line) for line in data.split(b"\n") if line.strip()]
    return [block.body for block in blocks(data) if isinstance(block.body, dict)]


def messages(data: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    """The messages of an AWS event stream: headers and payload."""
    while data:
        total, headers = struct.unpack(">II", data[:8])
        named, rest = {}, data[12 : 12 + headers]
        while rest:
            length = rest[0]
            name, size = rest[1 : 1 + length].decode(), int.from_bytes(rest[2 + length : 4 + length])
            named[name] = rest[4 + length : 4 + length + size].decode()
            rest = rest[4 + length + size :]
        yield named, data[12 + headers : total - 4]
        data = data[total:]


def invoked(data: bytes) -> list[bytes]:
    """The events inside the chunks of Bedrock's invoke, as they are inside the base64."""
    return [
        base64.b64decode(json.loads(payload)["bytes"])
        for headers, payload in messages(data)
        if headers.get(":event-type") == "chunk"
    ]


def unwrapped(data: bytes) -> bytes:
    """The same as the SSE that Anthropic itself would send."""
    events = [(json.loads(event)["type"].encode(), event) for event in invoked(data)]
    return b"".join(b"event: %b\ndata: %b\n\n" % event for event in events)


# -- what it says, by wire --------------------------------------------------------------------------------------------


def chat(data: bytes) -> Said:
    """openai-chat and the text completions before it."""
    text = ""
    usage: dict[str, Any] = {}
    for body in bodies(data):
        for choice in body.get("choices") or ():
            delta = choice.get("delta") or {}
            content = delta.get("content", choice.get("text"))
            if isinstance(content, list):
                content = "".join(part["text"] for part in content if part["type"] == "text")
            text += (content or "") + (delta.get("refusal") or "")
        usage = body.get("usage") or (body.get("x_groq") or {}).get("usage") or usage
    if not usage:
        return Said(text)
    asked, answered = usage["prompt_tokens"], usage["completion_tokens"]
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    if thought and usage.get("total_tokens") == asked + answered + thought:
        answered += thought
    contradiction = ""
    if thought > answered:
        contradiction = "the provider counts more reasoning than output"
    if cached > asked:
        contradiction = "the provider counts more cached tokens than the prompt has"
    return Said(text, asked, answered, contradiction)


def responses(data: bytes) -> Said:
    """openai-responses: the text of the whole at its end, or of the deltas where the whole has none."""
    deltas = whole = ""
    usage: dict[str, Any] = {}
    for body in bodies(data):
        if body.get("type") in ("response.output_text.delta", "response.refusal.delta"):
            deltas += body["delta"]
        if body.get("type") in ("response.completed", "response.incomplete", "response.failed"):
            usage = body["response"].get("usage") or {}
            items = [item for item in body["response"]["output"] if item["type"] == "message"]
            parts = [part for item in items for part in item["content"]]
            whole = "".join(part.get("text", part.get("refusal", "")) for part in parts)
    return Said(whole or deltas, usage.get("input_tokens"), usage.get("output_tokens"))


def anthropic(data: bytes) -> Said:
    """anthropic-messages."""
    text = ""
    usage: dict[str, Any] = {}
    for body in bodies(data):
        delta, block = body.get("delta") or {}, body.get("content_block") or {}
        text += (delta.get("text") or "") if delta.get("type") == "text_delta" else ""
        text += (block.get("text") or "") if block.get("type") == "text" else ""
        told = body.get("usage") or (body.get("message") or {}).get("usage") or {}
        usage |= {name: value for name, value in told.items() if value is not None}
    if "input_tokens" not in usage:
        return Said(text)
    cached = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return Said(text, usage["input_tokens"] + sum(usage.get(name, 0) for name in cached), usage.get("output_tokens"))


def gemini(data: bytes) -> Said:
    """gemini, in either form."""
    text = ""
    usage: dict[str, Any] = {}
    for body in bodies(data):
        usage = body.get("usageMetadata") or usage
        for candidate in body.get("candidates") or ():
            parts = (candidate.get("content") or {}).get("parts") or ()
            text += "".join(part.get("text", "") for part in parts if not part.get("thought"))
    if not usage:
        return Said(text)
    asked = _sum(usage, ("promptTokenCount", "toolUsePromptTokenCount"))
    return Said(text, asked, _sum(usage, ("candidatesTokenCount", "thoughtsTokenCount")))


def _sum(usage: dict[str, Any], names: tuple[str, ...]) -> int | None:
    known = [usage[name] for name in names if usage.get(name) is not None]
    return sum(known) if known else None


def cohere(data: bytes) -> Said:
    """cohere-chat: API v2."""
    text = ""
    tokens: dict[str, Any] = {}
    for body in bodies(data):
        delta = body.get("delta") or {}
        content = (delta.get("message") or {}).get("content") or {}
        text += content.get("text", "") if isinstance(content, dict) else ""
        if body.get("type") == "message-end":
            tokens = (delta.get("usage") or {}).get("tokens") or {}
    return Said(text, tokens.get("input_tokens"), tokens.get("output_tokens"))


def cohere_v1(data: bytes) -> Said:
    """cohere-v1: the text of the whole at its end (with tool calls that is the plan, and no text)."""
    end = bodies(data)[-1]["response"]
    said = end.get("text", "") + "".join(one["text"] for one in end.get("generations") or ())
    text = "" if end.get("tool_calls") else said
    if old := end.get("token_count"):
        return Said(text, old["prompt_tokens"], old["response_tokens"])
    tokens = end["meta"].get("tokens") or end["meta"].get("billed_units") or {}
    return Said(text, tokens.get("input_tokens"), tokens.get("output_tokens"))


def ollama(data: bytes) -> Said:
    """ollama-chat, and the generation of text beside it."""
    lines = bodies(data)
    text = "".join(line.get("response", "") + (line.get("message") or {}).get("content", "") for line in lines)
    return Said(text, lines[-1].get("prompt_eval_count"), lines[-1].get("eval_count"))


def tgi(data: bytes) -> Said:
    """tgi."""
    found = bodies(data)
    text = "".join(body["token"]["text"] for body in found if "token" in body and not body["token"]["special"])
    details = found[-1].get("details") or {}
    return Said(text, details.get("input_length"), details.get("generated_tokens"))


def converse(data: bytes) -> Said:
    """bedrock-converse."""
    text = ""
    usage: dict[str, Any] = {}
    for _, payload in messages(data):
        body = json.loads(payload)
        text += (body.get("delta") or {}).get("text", "")
        usage = body.get("usage") or usage
    names = ("inputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    return Said(text, _sum(usage, names), usage.get("outputTokens"))


READERS: dict[str, Callable[[bytes], Said]] = {
    "openai-chat": chat,
    "openai-responses": responses,
    "anthropic-messages": anthropic,
    "gemini": gemini,
    "cohere-chat": cohere,
    "cohere-v1": cohere_v1,
    "ollama-chat": ollama,
    "tgi": tgi,
    "bedrock-converse": converse,
    "bedrock-invoke": lambda data: anthropic(unwrapped(data)),
}


def error_at(data: bytes) -> tuple[int, str]:
    """Where the first block with an error begins, and what the error says. Raises LookupError."""
    for block in blocks(data):
        body, raw = block.body, block.raw
        if body is None:
            body = _json(raw.removeprefix(b"error:").strip())
        if isinstance(body, dict) and (message := _message(body)):
            return block.start, message
    raise LookupError("no error in it")


def _message(body: dict[str, Any]) -> str:
    error = body.get("error") or (body.get("delta") or {}).get("error") or (body.get("response") or {}).get("error")
    if isinstance(error, dict):
        return str(error.get("message") or "")
    return str(error or "")
