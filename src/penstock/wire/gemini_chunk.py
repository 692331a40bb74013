"""gemini: the shape of a chunk, ``GenerateContentResponse`` (wire-formats.md §6.2–6.4), and what its words mean."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock.events import FinishKind
from penstock.usage import Usage, count
from penstock.wire import json
from penstock.wire.filling import Filling

_NONE = msgspec.Raw(b"")
Count = int | float | None


class Call(msgspec.Struct, gc=False, rename="camel"):
    """``functionCall``: whole ``args``, or ``partialArgs`` while ``willContinue``."""

    id: str | None = None
    name: str | None = None
    args: msgspec.Raw = _NONE
    partial_args: list[dict[str, Any]] | None = None
    will_continue: bool | None = None


class Part(msgspec.Struct, gc=False, rename="camel"):
    """One part of a content."""

    text: str | None = None
    thought: bool | None = None
    thought_signature: str | None = None
    function_call: Call | None = None
    inline_data: msgspec.Raw = _NONE
    executable_code: dict[str, Any] | None = None
    tool_call: dict[str, Any] | None = None


class Content(msgspec.Struct, gc=False):
    """What a candidate grows by."""

    parts: list[Part] | None = None


class Candidate(msgspec.Struct, gc=False, rename="camel"):
    """One choice."""

    content: Content | None = None
    index: int | None = None
    finish_reason: str | int | None = None
    finish_message: str | None = None
    citation_metadata: dict[str, Any] | None = None
    grounding_metadata: dict[str, Any] | None = None


class Feedback(msgspec.Struct, gc=False, rename="camel"):
    """``promptFeedback``."""

    block_reason: str | int | None = None


class UsageMetadata(msgspec.Struct, gc=False, rename="camel"):
    """Cumulative counts. On Vertex the early chunks have none of them."""

    prompt_token_count: Count = None
    candidates_token_count: Count = None
    thoughts_token_count: Count = None
    cached_content_token_count: Count = None
    tool_use_prompt_token_count: Count = None
    total_token_count: Count = None


class Chunk(msgspec.Struct, gc=False, rename="camel"):
    """A frame's JSON."""

    candidates: list[Candidate] | None = None
    usage_metadata: UsageMetadata | None = None
    prompt_feedback: Feedback | None = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


class TextPart(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A part that is text and nothing else."""

    text: str


class TextContent(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """One such part."""

    parts: tuple[TextPart]
    role: str = ""


class TextCandidate(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A candidate that says nothing else."""

    content: TextContent
    index: int = 0


class TextChunk(msgspec.Struct, gc=False, rename="camel"):
    """A chunk as nearly all are: text, and perhaps the usage so far."""

    candidates: tuple[TextCandidate]
    usage_metadata: UsageMetadata | None = None
    prompt_feedback: None = None
    error: None = None


TEXT_CHUNK = msgspec.json.Decoder(TextChunk)
CHUNK = msgspec.json.Decoder(Chunk)

KINDS: dict[str, FinishKind] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "content_filter",
    "OTHER": "error",
    "NO_IMAGE": "error",
    "MALFORMED_FUNCTION_CALL": "error",
    "MALFORMED_RESPONSE": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "UNEXPECTED_TOOL_CALL": "error",
}
"""Finish reasons. STOP behind a tool call is ``tool_calls``; one that is not here is no stop either."""

# With ``enum-encoding=int`` reasons are numbers.
_FINISH_NUMBERS = (
    "",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "IMAGE_SAFETY",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
)
_BLOCK_NUMBERS = ("", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY")


def finish_word(reason: str | int | None) -> str:
    """A finish reason as a word; empty for none."""
    return _word(reason, _FINISH_NUMBERS, "FINISH_REASON_UNSPECIFIED")


def block_word(feedback: Feedback | None) -> str:
    """Why the prompt was blocked; empty when it was not."""
    return "" if feedback is None else _word(feedback.block_reason, _BLOCK_NUMBERS, "BLOCK_REASON_UNSPECIFIED")


def _word(value: str | int | None, numbers: tuple[str, ...], nothing: str) -> str:
    if isinstance(value, int):
        return numbers[value] if 0 <= value < len(numbers) else str(value)
    return "" if value is None or value == nothing else value


def read_usage(said: UsageMetadata) -> Usage | None:
    """Usage in canonical kinds (§9.3): the prompt's count has the cached tokens in it, the candidates' has no thoughts.
    None where nothing is said. Google leaves out what is 0: a total of prompt and thoughts says that no more came."""
    prompt, cached = count(said.prompt_token_count), count(said.cached_content_token_count)
    tools = count(said.tool_use_prompt_token_count)
    output, thoughts = count(said.candidates_token_count), count(said.thoughts_token_count)
    if output is None and thoughts is not None and said.total_token_count == (prompt or 0) + (tools or 0) + thoughts:
        output = 0
    if prompt is None and output is None and thoughts is None:
        return None
    return Usage(
        input=None if prompt is None else max(0, prompt - (cached or 0)) + (tools or 0),
        output=output,
        reasoning=thoughts,
        cache_read=cached,
    )


def _counts(data: bytes) -> Usage | None:
    said = _USAGE.decode(data)
    # Without a count of output, whether it is 0 hangs on the others.
    return None if said.candidates_token_count is None else read_usage(said)


_USAGE = msgspec.json.Decoder(UsageMetadata)
COUNTS = Filling(b'"usageMetadata":', re.compile(rb"\{[^{}\[\]]*(?:\[[^\[\]]*\][^{}\[\]]*)*\}"), usage=_counts)
"""The counts so far, which come with every chunk."""


def compact(data: bytes) -> bytes:
    """JSON on one line, its values as they are written. Raises ValueError."""
    try:
        return msgspec.json.format(data, indent=-1)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return json.dumps(json.loads(data))
