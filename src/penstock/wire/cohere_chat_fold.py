"""cohere-chat (v2), the folded answer: one object from the events of a stream, and the way back.

The fold reads the frames that a streaming client would have got, so it cannot differ from them. Fields that it does
not know survive: the last value wins, lists grow, known texts are joined.
"""

from __future__ import annotations

from typing import Any

from penstock.framing import sse
from penstock.wire import json
from penstock.wire.cohere_chat import event_frame

_JOINED = frozenset({"text", "thinking", "arguments", "tool_plan"})


class CohereFold:
    """Collects frames; `answer` is the whole."""

    def __init__(self) -> None:
        self._framer = sse.SSEFramer(1 << 62)
        self._id = ""
        self._message: dict[str, Any] = {}
        self._parts: dict[tuple[str, Any], dict[str, Any]] = {}
        """Contents, calls and citations, by their kind and index."""
        self._logprobs: list[Any] = []
        self._end: dict[str, Any] = {}

    def feed(self, data: bytes) -> None:
        """Whole frames of the stream. Anything but an event (comments, ``[DONE]``) adds nothing."""
        for frame in self._framer.feed(data):
            payload = sse.parse(frame).data
            if payload and payload.startswith(b"{"):
                self._event(json.loads(payload))

    def answer(self) -> bytes:
        """The answer as JSON. What there is none of is left out of its message, as Cohere does; arguments that are none
        are ``{}``, which clients read as JSON."""
        end = dict(self._end)
        message = {name: value for name, value in self._message.items() if value not in ([], "", None)}
        for kind, place in (("content", "content"), ("tool-call", "tool_calls"), ("citation", "citations")):
            parts = [part for (known, _), part in self._parts.items() if known == kind]
            for part in parts:
                if isinstance(part.get("function"), dict) and not part["function"].get("arguments"):
                    part["function"]["arguments"] = "{}"
            if parts:
                before = message.get(place)
                message[place] = [*before, *parts] if isinstance(before, list) else parts
        whole = {"id": self._id, "message": {"role": "assistant", **message}, **end}
        whole.setdefault("finish_reason", "COMPLETE")
        if self._logprobs:
            whole["logprobs"] = self._logprobs
        return json.dumps(whole)

    def _event(self, body: dict[str, Any]) -> None:
        kind, delta = body.get("type") or "", body.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        self._id = self._id or body.get("id") or ""
        if kind == "message-end":
            self._end = self._end or delta
            return
        message = delta.get("message")
        message = message if isinstance(message, dict) else {}
        index = body.get("index")
        if kind in ("message-start", "tool-plan-delta"):
            _merge(self._message, message)
        elif kind in ("content-start", "content-delta"):
            self._part("content", index, message.get("content"))
            if body.get("logprobs") or delta.get("logprobs"):
                self._logprobs.append(body.get("logprobs") or delta["logprobs"])
        elif kind in ("tool-call-start", "tool-call-delta"):
            self._part("tool-call", index, message.get("tool_calls"))
        elif kind == "citation-start":
            self._part("citation", index, message.get("citations"))

    def _part(self, kind: str, index: Any, part: Any) -> None:
        if isinstance(part, dict):
            _merge(self._parts.setdefault((kind, index if isinstance(index, int) else 0), {}), part)


def _merge(known: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if isinstance(value, dict) and isinstance(known.get(name), dict):
            _merge(known[name], value)
        elif isinstance(value, dict):
            known[name] = dict(value)
        elif name in _JOINED and isinstance(value, str) and isinstance(known.get(name), str):
            known[name] += value
        elif isinstance(value, list) and isinstance(known.get(name), list):
            known[name] = known[name] + value
        elif value is not None or name not in known:
            known[name] = value


def frames_of_answer(body: dict[str, Any]) -> list[bytes]:
    """The stream that a whole answer would have been: for providers that answer so to ``stream: true``."""
    message = body.get("message")
    message = dict(message) if isinstance(message, dict) else {}
    if isinstance(message.get("content"), str):
        message["content"] = [{"type": "text", "text": message["content"]}]
    parts = {}
    for name in ("content", "tool_calls", "citations"):
        found = message.pop(name, None)
        parts[name] = found if isinstance(found, list) else []
    plan = message.pop("tool_plan", None)
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": [], **message}
    frames = [event_frame({"type": "message-start", "id": body.get("id"), "delta": {"message": start}})]
    if plan:
        frames.append(event_frame({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": plan}}}))
    for index, content in enumerate(parts["content"]):
        frames += _whole("content", "content", index, content)
    for index, call in enumerate(parts["tool_calls"]):
        frames += _whole("tool-call", "tool_calls", index, call)
    for index, citation in enumerate(parts["citations"]):
        frames += _whole("citation", "citations", index, citation)
    end = {name: value for name, value in body.items() if name not in ("id", "message")}
    frames.append(event_frame({"type": "message-end", "id": body.get("id"), "delta": end}))
    return [*frames, b"data: [DONE]\n\n"]


def _whole(kind: str, place: str, index: int, part: Any) -> list[bytes]:
    """A part: opened without its text, which clients look for in the delta alone."""
    frames = [("start", _emptied(part)), ("delta", part)] if kind != "citation" else [("start", part)]
    if kind == "tool-call" and isinstance(part, dict):
        frames[1] = "delta", {"function": {"arguments": (part.get("function") or {}).get("arguments") or ""}}
    elif kind == "content" and isinstance(part, dict):
        frames[1] = "delta", {name: value for name, value in part.items() if name in ("text", "thinking")}
    written = [
        event_frame({"type": f"{kind}-{stage}", "index": index, "delta": {"message": {place: said}}})
        for stage, said in frames
    ]
    return [*written, event_frame({"type": f"{kind}-end", "index": index})]


def _emptied(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    empty = {name: "" if name in _JOINED else value for name, value in part.items()}
    if isinstance(part.get("function"), dict):
        empty["function"] = {**part["function"], "arguments": ""}
    return empty
