"""cohere-chat (v2), edited. A citation quotes the text by its offsets: once that was changed there are none."""

from __future__ import annotations

from typing import Any

from penstock.usage import Usage
from penstock.wire.cohere_chat import event_frame, last_frame
from penstock.wire.edit import OPAQUE, Asked, FinishKind, SSEEditor, number
from penstock.wire.edit_runs import Kind, Place, Texts
from penstock.wire.edit_splice import Spot, only

_PLAN: Place = ("reasoning", 0, 1_000)
"""The channel of the plan before tool calls."""
_FINISH: dict[FinishKind, str] = {"stop": "COMPLETE", "stop_sequence": "STOP_SEQUENCE", "length": "MAX_TOKENS"}
_TEXTS: dict[str, Kind] = {"text": "text", "thinking": "reasoning"}


class CohereEditor(SSEEditor):
    """See `edit.Editor`. A channel's number is its index."""

    def __init__(self, texts: Texts, asked: Asked):
        super().__init__(texts, asked)
        self._id = asked.stream
        self._edited = False
        self._uncited: set[int] = set()
        self._open: list[int] = []

    def _body(self, body: dict[str, Any]) -> bool:
        kind, index = str(body.get("type")), number(body.get("index"))
        delta = body.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        message = delta.get("message")
        message = message if isinstance(message, dict) else {}
        if kind == "message-start":
            self._id = body.get("id") or self._id
        elif kind.startswith("content-"):
            return self._content(kind, index, body, delta, message.get("content"))
        elif kind == "tool-plan-delta":
            return self._shown(message, "tool_plan", _PLAN)
        elif kind.startswith("tool-call-"):
            self._close([_PLAN] if _PLAN in self._runs else [])
            return self._call(kind, index, message.get("tool_calls"))
        elif kind.startswith("citation-"):
            return self._citation(kind, index, message)
        elif kind == "message-end":
            self._close(list(self._runs))
        elif kind == "debug":
            self._walk(body, "text", 0, OPAQUE)
        return True

    def _content(self, kind: str, index: int, body: dict[str, Any], delta: dict[str, Any], content: Any) -> bool:
        if kind == "content-start":
            self._open.append(index)
        if kind == "content-end":
            self._close([place for place in self._runs if place[2] == index and place[0] != "arguments"])
            if index in self._open:
                self._open.remove(index)
            return True
        shown = kind == "content-start"
        for field, channel in _TEXTS.items():
            if isinstance(content, dict) and isinstance(content.get(field), str):
                if kind == "content-delta" and _plain(body, delta, content):
                    self._spot = Spot(field, (channel, 0, index), varies=True)
                shown = self._shown(content, field, (channel, 0, index)) or shown
        if self._changed:
            self._edited = True
            body.pop("logprobs", None)
            delta.pop("logprobs", None)
        return shown

    def _text_changed(self, place: Place) -> None:
        self._edited = True

    def _shown(self, holder: dict[str, Any], field: str, place: Place, *, arguments: bool = False) -> bool:
        before = holder.get(field)
        if before:
            self._text(holder, field, place, arguments=arguments)
        return bool(holder.get(field)) or not before

    def _call(self, kind: str, index: int, call: Any) -> bool:
        place: Place = ("arguments", 0, index)
        if kind == "tool-call-end":
            self._close([place] if place in self._runs else [])
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict) and isinstance(function.get("arguments"), str):
            return self._shown(function, "arguments", place, arguments=True) or kind == "tool-call-start"
        return True

    def _citation(self, kind: str, index: int, message: dict[str, Any]) -> bool:
        if kind == "citation-start":
            if self._edited:
                self._uncited.add(index)
            elif isinstance(message.get("citations"), dict | list):
                self._walk(message["citations"], "text", 0, OPAQUE | {"start", "end"})
        return index not in self._uncited

    def piece(self, place: Place, text: str) -> bytes:
        """See `edit.Editor`."""
        kind, _, index = place
        if place == _PLAN:
            return event_frame({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": text}}})
        if kind == "arguments":
            name, said = "tool-call-delta", {"tool_calls": {"function": {"arguments": text}}}
        else:
            self._edited = True
            name = "content-delta"
            said = {"content": {"text": text} if kind == "text" else {"thinking": text}}  # type: ignore[dict-item]
        return event_frame({"type": name, "index": index, "delta": {"message": said}})

    def finish(self, kind: FinishKind, usage: Usage | None, sequence: str = "") -> bytes | None:
        """See `edit.Editor`. The wire has no finish for what was blocked."""
        if kind == "content_filter":
            return None
        closing = b"".join(event_frame({"type": "content-end", "index": index}) for index in self._open)
        return closing + last_frame(self._id, usage, _FINISH[kind])


_EVENT, _DELTA, _CONTENT = (frozenset(names) for names in (("type", "index", "delta"), ("message",), ("content",)))


def _plain(body: dict[str, Any], delta: dict[str, Any], content: dict[str, Any]) -> bool:
    """A delta carries one text and nothing else."""
    return only(body, _EVENT) and only(delta, _DELTA) and only(delta["message"], _CONTENT) and len(content) == 1
