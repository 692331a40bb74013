"""The content blocks of a Messages stream: what opens, grows and closes, as events (wire-formats.md §4.3–4.6)."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.events import (
    Annotation,
    Event,
    FinishKind,
    Internal,
    Reasoning,
    ReasoningSeal,
    Text,
    ToolArguments,
)
from penstock.usage import Usage, cost, count
from penstock.wire import json

_SERVER_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})
_KINDS: dict[str, FinishKind] = {
    "stop_sequence": "stop_sequence",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause_turn": "pause",
    "compaction": "pause",
}


def finish_kind(reason: str) -> FinishKind:
    """A stop reason in the words of all wires (wire-formats.md §9.5)."""
    return _KINDS.get(reason, "stop")


class Block(msgspec.Struct, gc=False):
    """A block that is open. ``call`` counts the tool calls from 0; ``whole`` is the input that came at its start."""

    kind: str
    call: int = 0
    whole: str = ""
    grew: bool = False


class Blocks:
    """The blocks of one answer."""

    def __init__(self) -> None:
        self._open: dict[int, Block] = {}
        self._calls = 0
        self.count = 0
        """How many there were so far."""

    @property
    def open(self) -> list[int]:
        """The indexes of the blocks that were not closed."""
        return list(self._open)

    def start(self, index: int, content: dict[str, Any]) -> tuple[Event, ...]:
        """A block opens; some kinds come whole."""
        kind = _string(content.get("type"))
        block = self._open[index] = Block(kind)
        self.count = max(self.count, index + 1)
        if kind == "text":
            text = _string(content.get("text"))
            return (Text(text),) if text else ()
        if kind == "thinking":
            thinking, signature = _string(content.get("thinking")), _string(content.get("signature"))
            events: tuple[Event, ...] = (Reasoning(thinking),) if thinking else ()
            return (*events, ReasoningSeal(signature)) if signature else events
        if kind == "redacted_thinking":
            return (ReasoningSeal(_string(content.get("data")), redacted=True),)
        if kind == "tool_use":
            block.call, self._calls = self._calls, self._calls + 1
            if content.get("input"):
                # Deltas replace it, should there be any.
                block.whole = json.dumps(content["input"]).decode()
            return (ToolArguments(block.call, _string(content.get("id")), _string(content.get("name"))),)
        return ()

    def arguments(self, index: int, fragment: str) -> Event | None:
        """A piece of a tool's input. That of a tool which the provider runs itself asks nothing of the client."""
        block = self._open.get(index)
        if block is None:
            return None
        if block.kind == "tool_use":
            block.grew = True
            return ToolArguments(block.call, "", "", fragment)
        return Internal(fragment) if block.kind in _SERVER_CALLS else None

    def delta(self, index: int, delta: dict[str, Any]) -> tuple[Event, ...]:
        """A block grows."""
        kind = delta.get("type")
        event: Event | None = None
        if kind == "text_delta" and _string(delta.get("text")):
            event = Text(delta["text"])
        elif kind == "thinking_delta" and _string(delta.get("thinking")):
            event = Reasoning(delta["thinking"])
        elif kind == "signature_delta" and _string(delta.get("signature")):
            event = ReasoningSeal(delta["signature"])
        elif kind == "input_json_delta" and _string(delta.get("partial_json")):
            event = self.arguments(index, delta["partial_json"])
        elif kind == "compaction_delta" and _string(delta.get("content")):
            event = Internal(delta["content"])
        elif kind == "citations_delta" and isinstance(delta.get("citation"), dict):
            event = _annotation(delta["citation"])
        return () if event is None else (event,)

    def stop(self, index: int) -> tuple[Event, ...]:
        """A block closes. A call whose input never grew gets what its start held, or ``{}``."""
        block = self._open.pop(index, None)
        if block is None or block.kind != "tool_use" or block.grew:
            return ()
        return (ToolArguments(block.call, "", "", block.whole or "{}"),)


def _annotation(citation: dict[str, Any]) -> Annotation:
    """A citation. Its offsets are in the document that it cites, not in the answer: they stay in ``native``."""
    title = _string(citation.get("title")) or _string(citation.get("document_title"))
    return Annotation(_string(citation.get("url")), title, _string(citation.get("cited_text")), native=citation)


def read_usage(raw: dict[str, Any]) -> Usage:
    """Usage in canonical, disjoint kinds (wire-formats.md §9.3): thinking is inside ``output_tokens`` here."""
    output, details = count(raw.get("output_tokens")), raw.get("output_tokens_details")
    thinking = count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    return Usage(
        input=count(raw.get("input_tokens")),
        output=max(0, output - thinking) if output is not None and thinking else output,
        reasoning=thinking,
        cache_read=count(raw.get("cache_read_input_tokens")),
        cache_write=count(raw.get("cache_creation_input_tokens")),
        cost=cost(raw.get("cost")),
    )


def last_usage(usage: Usage | None) -> dict[str, int]:
    """What ``message_delta`` says of it: all of it until there, the prompt too where that is known."""
    if usage is None:
        return {"output_tokens": 0}
    prompt = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
    }
    known = {name: tokens for name, tokens in prompt.items() if tokens is not None}
    return known | {"output_tokens": (usage.output or 0) + (usage.reasoning or 0)}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
