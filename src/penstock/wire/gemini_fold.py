"""gemini, the folded answer: one ``GenerateContentResponse`` from the chunks of a stream.

The fold reads the frames that a streaming client would have got, as server-sent events. Texts that go on with each
other are joined, tool calls in pieces are put together, the latest value of everything else wins; fields that it does
not know survive.
"""

from __future__ import annotations

from typing import Any

from penstock.framing import sse
from penstock.plain import mended
from penstock.wire import json
from penstock.wire.gemini_arguments import ArgumentPieces

_TEXT_FIELDS = frozenset({"text", "thought", "thoughtSignature"})


class GeminiFold:
    """Collects frames; `answer` is the whole."""

    def __init__(self) -> None:
        self._framer = sse.SSEFramer(1 << 62)
        self._top: dict[str, Any] = {}
        self._candidates: dict[int, _Candidate] = {}

    def feed(self, data: bytes) -> None:
        """Whole frames of the stream. Anything but a chunk adds nothing."""
        for frame in self._framer.feed(data):
            payload = sse.parse(frame).data
            if payload and payload.startswith(b"{"):
                self._chunk(json.loads(payload))

    def answer(self) -> bytes:
        """The ``GenerateContentResponse`` as JSON."""
        whole: dict[str, Any] = {}
        if self._candidates:
            whole["candidates"] = [self._candidates[index].whole() for index in sorted(self._candidates)]
        return json.dumps({**whole, **self._top})

    def _chunk(self, chunk: dict[str, Any]) -> None:
        for name, value in chunk.items():
            if name == "candidates":
                for said in _objects(value):
                    index = said.get("index")
                    self._candidates.setdefault(index if type(index) is int else 0, _Candidate()).add(said)
            elif name == "usageMetadata" and isinstance(value, dict):
                self._top[name] = {**_object(self._top.get(name)), **value}
            elif value is not None or name not in self._top:
                self._top[name] = value


class _Candidate:
    """One choice, growing."""

    def __init__(self) -> None:
        self._fields: dict[str, Any] = {}
        self._content: dict[str, Any] = {}
        self._parts: list[Any] = []
        self._open: ArgumentPieces | None = None
        self._arguments = ""

    def add(self, said: dict[str, Any]) -> None:
        for name, value in said.items():
            if name == "content":
                content = _object(value)
                for key, inner in content.items():
                    if key != "parts":
                        self._content[key] = inner
                for part in _list(content.get("parts")):
                    self._part(part)
            elif name == "citationMetadata" and isinstance(value, dict):
                self._fields[name] = _with_citations(_object(self._fields.get(name)), value)
            elif value or name not in self._fields:
                # An empty groundingMetadata in a later chunk takes nothing back.
                self._fields[name] = value

    def whole(self) -> dict[str, Any]:
        self._close_call()
        content = {"parts": self._parts, **self._content} if self._parts else self._content
        return {"content": content, **self._fields}

    def _part(self, part: Any) -> None:
        if not isinstance(part, dict):
            self._parts.append(part)
            return
        call = part.get("functionCall")
        if isinstance(call, dict):
            self._call(part, call)
            return
        last: Any = self._parts[-1] if self._parts else None
        if _is_text(part) and _goes_on(last, part):
            last["text"] += part["text"]
            if "thoughtSignature" in part:
                last["thoughtSignature"] = part["thoughtSignature"]
        elif part != {"text": ""} or last is None:
            self._parts.append(dict(part))

    def _call(self, part: dict[str, Any], call: dict[str, Any]) -> None:
        if call.get("name"):
            self._close_call()
            pieces = call.get("partialArgs") or call.get("willContinue")
            if not pieces:
                self._parts.append(part)
                return
            self._open, self._arguments = ArgumentPieces(), ""
            rest = {name: value for name, value in call.items() if name not in ("partialArgs", "willContinue")}
            self._parts.append({**part, "functionCall": rest})
        if self._open is None:
            return
        for name, value in part.items():
            if name != "functionCall":
                self._parts[-1].setdefault(name, value)
        for piece in _objects(call.get("partialArgs")):
            self._arguments += self._open.add(piece)
        if not call.get("willContinue"):
            self._close_call()

    def _close_call(self) -> None:
        if self._open is not None:
            self._parts[-1]["functionCall"]["args"] = json.loads(mended(self._arguments + self._open.close()).encode())
            self._open = None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in _list(value) if isinstance(each, dict)]


def _is_text(part: dict[str, Any]) -> bool:
    return isinstance(part.get("text"), str) and part.keys() <= _TEXT_FIELDS


def _goes_on(last: Any, part: dict[str, Any]) -> bool:
    """The part continues the text before it: of the same kind, and that had no signature yet."""
    if not isinstance(last, dict) or not _is_text(last) or "thoughtSignature" in last:
        return False
    return bool(last.get("thought")) == bool(part.get("thought"))


def _with_citations(known: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Each chunk cites for itself, or repeats what was cited before it."""
    merged = {**known, **said}
    for name in ("citations", "citationSources"):
        both = [*_list(known.get(name)), *_list(said.get(name))]
        if both:
            merged[name] = [one for place, one in enumerate(both) if one not in both[:place]]
    return merged
