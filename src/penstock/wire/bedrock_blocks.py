"""The content blocks of a ConverseStream: what opens, grows and closes, as events (wire-formats.md §7.2)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.events import (
    Annotation,
    Event,
    FinishKind,
    Internal,
    Media,
    Reasoning,
    ReasoningSeal,
    Text,
    ToolArguments,
)
from penstock.usage import Usage, count

_KINDS: dict[str, FinishKind] = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}


def finish_kind(reason: str) -> FinishKind:
    """A stop reason in the words of all wires (wire-formats.md §9.5)."""
    return _KINDS.get(reason, "stop")


def is_known(reason: str) -> bool:
    """Whether a stop reason is one of the wire's."""
    return reason in _KINDS


class Block(msgspec.Struct, gc=False):
    """A block that is open. ``call`` counts the tool calls from 0; the seal comes in pieces."""

    call: int | None = None
    internal: bool = False
    grew: bool = False
    signature: str = ""
    redacted: bytes = b""


class Blocks:
    """The blocks of one answer, by index. Blocks of text and of reasoning open with their first delta."""

    def __init__(self) -> None:
        self._open: dict[int, Block] = {}
        self._calls = 0

    @property
    def open(self) -> list[int]:
        """The indexes of the blocks that were not closed."""
        return list(self._open)

    def start(self, index: int, start: Mapping[str, Any]) -> tuple[Event, ...]:
        """A block opens with a name: a tool call. One of a tool that the provider runs asks nothing of the client."""
        block = self._open[index] = Block()
        tool = start.get("toolUse")
        if not isinstance(tool, dict):
            return ()
        block.internal = tool.get("type") == "server_tool_use"
        if block.internal:
            return ()
        return (self._call(block, _string(tool.get("toolUseId")), _string(tool.get("name"))),)

    def _call(self, block: Block, id: str = "", name: str = "") -> ToolArguments:
        block.call, self._calls = self._calls, self._calls + 1
        return ToolArguments(block.call, id, name)

    def arguments(self, index: int, fragment: str) -> Event:
        """A piece of a tool's input, not empty."""
        block = self._open.setdefault(index, Block())
        if block.internal:
            return Internal(fragment)
        if block.call is None:
            self._call(block)
        block.grew = True
        return ToolArguments(block.call or 0, "", "", fragment)

    def delta(self, index: int, delta: Mapping[str, Any]) -> tuple[Event, ...]:
        """A block grows."""
        block = self._open.setdefault(index, Block())
        events: list[Event] = []
        text, tool, thought, citation = (
            delta.get(name) for name in ("text", "toolUse", "reasoningContent", "citation")
        )
        if text and isinstance(text, str):
            events.append(Text(text))
        if isinstance(tool, dict) and _string(tool.get("input")):
            events.append(self.arguments(index, tool["input"]))
        if isinstance(thought, dict):
            if _string(thought.get("text")):
                events.append(Reasoning(thought["text"]))
            block.signature += _string(thought.get("signature"))
            block.redacted += _bytes(_string(thought.get("redactedContent")))
        if isinstance(citation, dict):
            events.append(_annotation(citation))
        if delta.get("image"):
            events.append(Media())
        return tuple(events)

    def stop(self, index: int) -> tuple[Event, ...]:
        """A block closes: reasoning with its seal, a call without input with ``{}``."""
        block = self._open.pop(index, None)
        if block is None:
            return ()
        if block.call is not None and not block.grew:
            return (ToolArguments(block.call, "", "", "{}"),)
        if block.redacted:
            return (ReasoningSeal(seal_of(block.redacted), redacted=True),)
        return (ReasoningSeal(block.signature),) if block.signature else ()

    def stop_all(self) -> tuple[Event, ...]:
        """The answer is finished, and with it every block."""
        return tuple(event for index in self.open for event in self.stop(index))


_RAW = "bedrock:"


def seal_of(redacted: bytes) -> str:
    """Redacted content in the words of all wires: of Claude it is the very text of Anthropic's own ``data``."""
    if redacted.isascii() and not redacted.startswith(_RAW.encode()):
        return redacted.decode()
    return _RAW + base64.b64encode(redacted).decode()


def redacted_of(seal: str) -> str:
    """The way back, to the base64 of ``redactedContent``."""
    if seal.startswith(_RAW):
        return seal.removeprefix(_RAW)
    return base64.b64encode(seal.encode("utf-8", "surrogatepass")).decode()


def _bytes(data: str) -> bytes:
    try:
        return base64.b64decode(data)
    except (binascii.Error, ValueError):
        return data.encode("utf-8", "replace")


def _annotation(citation: dict[str, Any]) -> Annotation:
    """A citation. Its offsets are in the document that it cites, not in the answer: they stay in ``native``."""
    location, source = citation.get("location"), citation.get("sourceContent")
    web = location.get("web") if isinstance(location, dict) else None
    web = web if isinstance(web, dict) else {}
    pieces = source if isinstance(source, list) else []
    cited = "".join(_string(piece.get("text")) for piece in pieces if isinstance(piece, dict))
    title = _string(citation.get("title")) or _string(web.get("domain"))
    return Annotation(_string(web.get("url")), title, cited, native=citation)


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """Usage in canonical, disjoint kinds: input is without the cache, whose tokens stand beside it, and reasoning is
    inside the output without being told apart (wire-formats.md §9.3)."""
    return Usage(
        input=count(raw.get("inputTokens")),
        output=count(raw.get("outputTokens")),
        cache_read=count(raw.get("cacheReadInputTokens")),
        cache_write=count(raw.get("cacheWriteInputTokens")),
    )


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
