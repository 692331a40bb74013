"""gemini, edited, in both forms of its streams. Grounding and citations count bytes of the text: once that was changed
they are left out."""

from __future__ import annotations

from typing import Any

from penstock.framing.jsonarray import JSONArrayFramer
from penstock.framing.sse import Block
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.edit import OPAQUE, Asked, FinishKind, number, objects
from penstock.wire.edit_finish import FinishEditor
from penstock.wire.edit_runs import Kind, Place, Texts
from penstock.wire.edit_splice import Spot, only
from penstock.wire.gemini_client import usage_metadata, wants_sse

_OPAQUE = OPAQUE | {"thoughtSignature", "mimeType", "startIndex", "endIndex", "groundingChunkIndices"}
_COUNTED = ("groundingMetadata", "citationMetadata", "logprobsResult")
"""What refers to the text as the provider wrote it."""
_FINISH: dict[FinishKind, str] = {
    "stop": "STOP",
    "stop_sequence": "STOP",
    "length": "MAX_TOKENS",
    "content_filter": "SAFETY",
}


class GeminiEditor(FinishEditor):
    """See `edit.Editor`. In an array nothing is left out, so that its brackets and commas stay where they are."""

    choices, finish_field = "candidates", "finishReason"

    def __init__(self, texts: Texts, asked: Asked):
        super().__init__(texts, asked)
        self._array = asked.request.stream and not wants_sse(asked.request)
        self._elements = JSONArrayFramer(1 << 62)
        self._top: dict[str, Any] = {}
        self._numbers = False
        """The provider numbers its candidates."""
        self._finished: dict[int, bool] = {}
        self._edited: set[int] = set()
        self._paths: dict[tuple[int, str], int] = {}

    def edit(self, data: bytes) -> bytes:
        """See `edit.Editor`."""
        if not self._array:
            return super().edit(data)
        frames = self._elements.feed(data)
        return b"".join([self._element(frame) for frame in frames]) + self._elements.close()

    def _element(self, frame: bytes) -> bytes:
        start = frame.find(b"{")
        if start < 0:
            return self.flush() + frame
        try:
            body = json.loads(frame[start:])
        except ValueError:
            return frame[:start] + b"{}"
        return self._object(frame, None, body)

    def _edited_frame(self, frame: bytes, block: Block | None, body: dict[str, Any]) -> bytes:
        if not self._array:
            return super()._edited_frame(frame, block, body)
        start = frame.find(b"{")
        self._begin_frame()
        self._body(body)
        before = b"".join(self._before)
        return before + (frame[:start] + json.dumps(body) if self._changed else frame)

    def _body(self, body: dict[str, Any]) -> bool:
        self._top = {name: body[name] for name in ("modelVersion", "responseId") if name in body} or self._top
        self._spot = _spot(body)
        shown = "candidates" not in body
        for candidate in objects(body.get("candidates")):
            shown = self._candidate(candidate) or shown
        return shown or not self._changed

    def _candidate(self, candidate: dict[str, Any]) -> bool:
        """Whether it still carries anything."""
        index, before = number(candidate.get("index")), self._changed
        self._numbers = self._numbers or "index" in candidate
        self._changed = False
        content = candidate.get("content")
        parts = objects(content.get("parts")) if isinstance(content, dict) else []
        if isinstance(content, dict) and self._asked.drop_signed and any(_signed(part) for part in parts):
            parts = [part for part in parts if not _signed(part)]
            content["parts"] = parts or [{"text": ""}]
            self._changed = True
        shown = False
        for part in parts:
            shown = self._part(index, part) or shown
        finished = bool(candidate.get("finishReason"))
        self._finished[index] = self._finished.get(index, False) or finished
        if finished and self._ends:
            self._close([place for place in self._runs if place[1] == index])
        if self._changed or self._before:
            self._edited.add(index)
        for name in _COUNTED if index in self._edited else ():
            if candidate.pop(name, None) is not None:
                self._changed = True
        for name in ("groundingMetadata", "citationMetadata"):
            if isinstance(candidate.get(name), dict):
                shown = True
                self._walk(candidate[name], "text", index, _OPAQUE)
        self._changed = self._changed or before
        return shown or finished

    def _says(self, candidate: dict[str, Any]) -> bool:
        content = candidate.get("content")
        return isinstance(content, dict) and any(part.get("text") != "" for part in objects(content.get("parts")))

    def _text_changed(self, place: Place) -> None:
        self._edited.add(place[1])

    def _part(self, index: int, part: dict[str, Any]) -> bool:
        if isinstance(part.get("text"), str):
            kind: Kind = "reasoning" if part.get("thought") else "text"
            self._text(part, "text", (kind, index, 0))
            return bool(part["text"]) or "thoughtSignature" in part
        call = part.get("functionCall")
        if isinstance(call, dict):
            self.released = True
            if isinstance(call.get("args"), dict):
                self._walk(call["args"], "arguments", index)
            for piece in objects(call.get("partialArgs")):
                self._partial(index, piece)
            return True
        for name in ("executableCode", "codeExecutionResult"):
            if isinstance(part.get(name), dict):
                self._walk(part[name], "arguments", index, frozenset({"language", "outcome"}))
        return True

    def _partial(self, index: int, piece: dict[str, Any]) -> None:
        """A piece of arguments, by its path."""
        path = (index, str(piece.get("jsonPath")))
        place: Place = ("arguments", index, self._paths.setdefault(path, len(self._paths)))
        if isinstance(piece.get("stringValue"), str):
            self._text(piece, "stringValue", place)
            if not piece.get("willContinue"):
                self._slots[place] = piece, "stringValue"
                self._close([place] if place in self._runs else [])
        elif "numberValue" in piece:
            value = {"numberValue": piece["numberValue"]}
            self._walk(value, "arguments", index)
            if value["numberValue"] is not piece["numberValue"]:
                del piece["numberValue"]
                piece["stringValue"] = value["numberValue"]

    def piece(self, place: Place, text: str) -> bytes:
        """See `edit.Editor`."""
        kind, index, number_ = place
        if kind == "arguments":
            path = next(path for (_, path), known in self._paths.items() if known == number_)
            part: dict[str, Any] = {"functionCall": {"partialArgs": [{"jsonPath": path, "stringValue": text}]}}
        else:
            self._edited.add(index)
            part = {"text": text, "thought": True} if kind == "reasoning" else {"text": text}
        candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}}
        if index or self._numbers:
            candidate["index"] = index
        return self._chunk({"candidates": [candidate]})

    def finish(self, kind: FinishKind, usage: Usage | None, sequence: str = "") -> bytes | None:
        """See `edit.Editor`."""
        candidates = [
            {"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": _FINISH[kind], "index": index}
            for index, finished in sorted((self._finished or {0: False}).items())
            if not finished
        ]
        fields: dict[str, Any] = {"candidates": candidates}
        if usage is not None:
            fields["usageMetadata"] = usage_metadata(usage)
        return self._chunk(fields) + (b"\r\n]" if self._array else b"")

    def _chunk(self, fields: dict[str, Any]) -> bytes:
        data = json.dumps({**fields, **self._top})
        return b",\r\n" + data if self._array else b"data: " + json.one_line(data) + b"\r\n\r\n"


def _signed(part: dict[str, Any]) -> bool:
    return bool(part.get("thought")) and "thoughtSignature" in part


_TOP = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime"})
_CANDIDATE, _CONTENT, _PART = (
    frozenset({"content", "index"}),
    frozenset({"parts", "role"}),
    frozenset({"text", "thought"}),
)


def _spot(body: dict[str, Any]) -> Spot | None:
    """The text of a chunk that carries one and nothing else."""
    candidates = objects(body.get("candidates"))
    if not only(body, _TOP) or len(candidates) != 1 or not only(candidates[0], _CANDIDATE):
        return None
    content = candidates[0].get("content")
    parts = content.get("parts") if isinstance(content, dict) and only(content, _CONTENT) else None
    if not isinstance(parts, list) or len(parts) != 1 or not isinstance(parts[0], dict) or not only(parts[0], _PART):
        return None
    kind: Kind = "reasoning" if parts[0].get("thought") else "text"
    return Spot("text", (kind, number(candidates[0].get("index")), 0), varies=True)
