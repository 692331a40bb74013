"""anthropic-messages, edited. A block's signature covers its thinking: that is passed on whole or left out whole, and
the blocks behind it are numbered anew."""

from __future__ import annotations

from typing import Any

from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.anthropic_blocks import last_usage
from penstock.wire.edit import OPAQUE, Asked, FinishKind, SSEEditor, number
from penstock.wire.edit_runs import Kind, Place, Texts
from penstock.wire.edit_splice import Spot

_OPAQUE = OPAQUE | {"tool_use_id", "media_type", "file_id", "document_index", "start_char_index", "end_char_index"}
_SIGNED = frozenset({"thinking", "redacted_thinking"})
_DELTAS: dict[str, tuple[str, Kind]] = {
    "text_delta": ("text", "text"),
    "input_json_delta": ("partial_json", "arguments"),
    "compaction_delta": ("content", "text"),
}
_FINISH: dict[FinishKind, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "content_filter": "refusal",
}


class MessagesEditor(SSEEditor):
    """See `edit.Editor`. A channel's number is its block's, as the provider counts."""

    def __init__(self, texts: Texts, asked: Asked):
        super().__init__(texts, asked)
        self._dropped: set[int] = set()
        self._open: list[int] = []
        self._kinds: dict[int, str] = {}
        self._finished = False

    def _body(self, body: dict[str, Any]) -> bool:
        kind, index = body.get("type"), number(body.get("index"))
        if kind == "content_block_start":
            return self._start(index, body)
        if kind == "content_block_delta":
            return self._delta(index, body)
        if kind == "content_block_stop":
            self._close([place for place in self._runs if place[2] == index])
            if index in self._open:
                self._open.remove(index)
            return self._numbered(index, body)
        if kind in ("message_delta", "message_stop"):
            self._close(list(self._runs))
            self._finished = self._finished or kind == "message_delta"
        return True

    def _start(self, index: int, body: dict[str, Any]) -> bool:
        block = body.get("content_block")
        block = block if isinstance(block, dict) else {}
        kind = self._kinds[index] = str(block.get("type"))
        if kind in _SIGNED:
            if self._asked.drop_signed:
                self._dropped.add(index)
                return False
            self.released = self.released or kind == "redacted_thinking"
        elif kind == "text":
            if isinstance(block.get("text"), str):
                self._text(block, "text", ("text", 0, index))
            if block.get("citations"):
                self._walk(block["citations"], "text", 0, _OPAQUE)
        else:
            if isinstance(block.get("input"), dict):
                self._walk(block["input"], "arguments")
            self._walk(block, "arguments", 0, _OPAQUE | {"input"})
        self._open.append(index)
        return self._numbered(index, body)

    def _delta(self, index: int, body: dict[str, Any]) -> bool:
        delta = body.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        field, kind = _DELTAS.get(str(delta.get("type")), ("", "text"))
        if index in self._dropped:
            return False
        if isinstance(delta.get(field), str):
            if not self._dropped and len(delta) == 2 and len(body) == 3 and delta[field]:
                self._spot = Spot(field, (kind, 0, index), arguments=kind == "arguments")
            self._text(delta, field, (kind, 0, index), arguments=kind == "arguments")
            if self._changed and not delta[field]:
                return False
        elif isinstance(delta.get("citation"), dict):
            self._walk(delta["citation"], "text", 0, _OPAQUE)
        elif self._kinds.get(index) in _SIGNED:
            self.released = True
        else:
            self._walk(delta, "text", 0, _OPAQUE)
        return self._numbered(index, body)

    def _numbered(self, index: int, body: dict[str, Any]) -> bool:
        """Whether the block is shown, by its number among those that are."""
        if self._dropped:
            body["index"] = self._shown(index)
            self._changed = True
        return index not in self._dropped

    def _shown(self, index: int) -> int:
        return index - sum(1 for dropped in self._dropped if dropped < index)

    def piece(self, place: Place, text: str) -> bytes:
        """See `edit.Editor`."""
        kind, _, index = place
        delta = {"type": "text_delta", "text": text}
        if kind == "arguments":
            delta = {"type": "input_json_delta", "partial_json": text}
        elif self._kinds.get(index) == "compaction":
            delta = {"type": "compaction_delta", "content": text}
        return _named("content_block_delta", {"index": self._shown(index), "delta": delta})

    def finish(self, kind: FinishKind, usage: Usage | None, sequence: str = "") -> bytes | None:
        """See `edit.Editor`."""
        out = [_named("content_block_stop", {"index": self._shown(index)}) for index in self._open]
        if not self._finished:
            delta = {"stop_reason": _FINISH[kind], "stop_sequence": sequence or None}
            out.append(_named("message_delta", {"delta": delta, "usage": last_usage(usage)}))
        return b"".join(out) + _named("message_stop", {})


def _named(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + json.one_line(json.dumps({"type": kind, **fields})) + b"\n\n"
