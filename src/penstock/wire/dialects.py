"""What providers do differently within one wire, as data (wire-formats.md §2.9, §11). Nothing here is a branch: a
dialect is one row, and an example in tests/examples/openai-chat.
"""

from __future__ import annotations

from typing import Literal

import msgspec

UsageComes = Literal["last", "finish", "every", "unknown"]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """A dialect of openai-chat. ``hosts``: the ends of the host names that speak it; servers that people run
    themselves have none and are met by what they send."""

    name: str
    title: str
    hosts: tuple[str, ...] = ()
    takes_stream_options: bool = True
    """The provider accepts ``stream_options``. One that rejects it unexpectedly is asked once more without."""
    usage_comes: UsageComes = "last"
    """On a chunk of its own at the end; with the finish; on every chunk, cumulative."""
    reasoning: str = ""
    """The delta's field that carries reasoning."""
    reasoning_inside: bool = True
    """``completion_tokens`` includes reasoning."""
    stops_when_left: bool | None = None
    """The provider ends the generation, and the bill, when the connection is closed; None: nobody knows."""
    errors: str = "`error` object"
    """How it reports an error inside the stream."""
    remarks: str = ""
    prefill: Literal["none", "message", "prefix"] = "none"
    """How a beginning is given from which the answer goes on, see `prefill`."""
    prefill_path: str = ""
    """What the base URL's path must begin with for that."""


OPENAI = Dialect(name="openai", title="OpenAI", hosts=("openai.com",), stops_when_left=True)
DIALECTS = (
    OPENAI,
    Dialect(
        name="azure",
        title="Azure OpenAI",
        hosts=("openai.azure.com", "services.ai.azure.com", "cognitiveservices.azure.com"),
        stops_when_left=True,
        remarks="first chunk without choices; chunks without a delta after the finish (asynchronous filter)",
    ),
    Dialect(
        name="mistral",
        title="Mistral",
        hosts=("mistral.ai",),
        takes_stream_options=False,
        usage_comes="finish",
        reasoning="content (list)",
        stops_when_left=False,
        errors="finish `error`",
        remarks="`content` changes between text and list",
        prefill="prefix",
    ),
    Dialect(
        name="groq",
        title="Groq",
        hosts=("groq.com",),
        usage_comes="finish",
        reasoning="reasoning",
        stops_when_left=False,
        errors="`event: error`, `x_groq.error`",
        remarks="usage in `x_groq` too, up to three times",
        prefill="message",
    ),
    Dialect(
        name="openrouter",
        title="OpenRouter",
        hosts=("openrouter.ai",),
        reasoning="reasoning",
        stops_when_left=True,
        errors="`error` beside `choices`",
        remarks="comments while waiting; a second finish with the usage; reports the cost",
        prefill="message",
    ),
    Dialect(
        name="deepseek",
        title="DeepSeek",
        hosts=("deepseek.com",),
        usage_comes="finish",
        reasoning="reasoning_content",
        stops_when_left=True,
        remarks="comments while queued",
        prefill="prefix",
        prefill_path="/beta",
    ),
    Dialect(
        name="xai",
        title="xAI",
        hosts=("x.ai",),
        reasoning="reasoning_content",
        reasoning_inside=False,
        stops_when_left=True,
        errors="JSON document in a 200",
        remarks="tool calls whole, without index; whether reasoning is inside is told by the total",
    ),
    Dialect(name="together", title="Together", hosts=("together.xyz", "together.ai"), stops_when_left=True),
    Dialect(
        name="fireworks",
        title="Fireworks",
        hosts=("fireworks.ai",),
        usage_comes="finish",
        reasoning="reasoning_content",
        stops_when_left=True,
    ),
    Dialect(
        name="perplexity",
        title="Perplexity",
        hosts=("perplexity.ai",),
        takes_stream_options=False,
        usage_comes="every",
        stops_when_left=False,
        remarks="CRLF; each chunk repeats the message so far; no `[DONE]`",
    ),
    Dialect(
        name="vllm",
        title="vLLM",
        reasoning="reasoning",
        stops_when_left=True,
        errors="`error` object, then `[DONE]`",
        remarks="with `continuous_usage_stats` usage on every chunk",
    ),
    Dialect(
        name="llama.cpp",
        title="llama.cpp",
        reasoning="reasoning_content",
        stops_when_left=True,
        errors="`error` object; old: a field `error:`",
        remarks="`timings` beside the usage",
    ),
    Dialect(
        name="ollama",
        title="Ollama `/v1`",
        reasoning="reasoning",
        stops_when_left=True,
        errors="swallowed: the stream just ends",
    ),
    Dialect(
        name="tgi",
        title="Hugging Face TGI `/v1`",
        stops_when_left=True,
        errors="`error` object, then `[DONE]`",
        remarks="empty `id`",
    ),
)


def dialect_of(host: str) -> Dialect:
    """The dialect that a host speaks; OpenAI's own for hosts that nobody knows."""
    for dialect in DIALECTS:
        if any(host == end or host.endswith("." + end) for end in dialect.hosts):
            return dialect
    return OPENAI


_RUN_ON = frozenset({"gemini", "bedrock-converse", "bedrock-invoke"})
"""Wires whose providers are known to go on, and to bill the whole answer, when the connection is closed (§11)."""


def runs_on(wire: str, host: str) -> bool:
    """Whether a provider that is left goes on generating, on the bill. Where nobody knows it is taken to stop."""
    return wire in _RUN_ON or (wire == "openai-chat" and dialect_of(host).stops_when_left is False)


_USAGE_WORDS: dict[UsageComes, str] = {
    "last": "last chunk",
    "finish": "with the finish",
    "every": "every chunk",
    "unknown": "?",
}
_LEFT_WORDS = {True: "yes", False: "no", None: "?"}


def table() -> str:
    """The rows as a Markdown table, for docs/providers.md."""
    lines = [
        "| dialect | usage asked for | usage comes | reasoning in | inside output | stops when left | errors in the "
        "stream | remarks |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in DIALECTS:
        cells = (
            row.title,
            "yes" if row.takes_stream_options else "no",
            _USAGE_WORDS[row.usage_comes],
            f"`{row.reasoning}`" if row.reasoning else "–",
            "yes" if row.reasoning_inside else "no",
            _LEFT_WORDS[row.stops_when_left],
            row.errors,
            row.remarks or "–",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
