"""openai-chat, the folded answer: one ``chat.completion`` from the chunks of a stream, and the way back.

The fold reads the frames that a streaming client would have got, so it cannot differ from them. Fields that it does
not know survive: the last value wins, lists grow, known texts are joined.
"""

from __future__ import annotations

from typing import Any

from penstock.framing import sse
from penstock.wire import json
from penstock.wire.openai_chat_calls import CallNumbers

_JOINED = frozenset(
    {"content", "refusal", "reasoning", "reasoning_content", "text", "arguments", "transcript", "data", "summary"}
)
_ONCE = frozenset({"role", "id", "type", "name"})


class ChatFold:
    """Collects frames; `answer` is the whole."""

    def __init__(self) -> None:
        self._framer = sse.SSEFramer(1 << 62)
        self._top: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}
        self._numbers = CallNumbers()
        self._calls: dict[tuple[int, int], dict[str, Any]] = {}

    def feed(self, data: bytes) -> None:
        """Whole frames of the stream. Anything but a chunk (comments, ``[DONE]``) adds nothing."""
        for frame in self._framer.feed(data):
            self._feed(frame)

    def _feed(self, frame: bytes) -> None:
        for name, value in _object_in(frame).items():
            if name == "choices":
                for choice in _objects(value):
                    self._choice(choice)
            elif name == "usage":
                if value is not None:
                    self._top["usage"] = value
            elif name not in ("obfuscation", "error") and (value or name not in self._top):
                if name in ("id", "created", "model") and self._top.get(name):
                    continue
                self._top[name] = value

    def answer(self) -> bytes:
        """The ``chat.completion`` as JSON."""
        top = {"id": "", **self._top, "object": "chat.completion"}
        usage = top.pop("usage", None)
        top["choices"] = [self._choices[index] for index in sorted(self._choices)]
        for choice in top["choices"]:
            for call in choice["message"].get("tool_calls", ()):
                call.pop("index", None)
                call.setdefault("type", "function")
        if usage is not None:
            top["usage"] = usage
        return json.dumps(top)

    def _choice(self, chunk: dict[str, Any]) -> None:
        index = chunk.get("index")
        index = index if type(index) is int else 0
        choice = self._choices.get(index)
        if choice is None:
            message: dict[str, Any] = {"role": "assistant", "content": None}
            choice = {"index": index, "message": message, "logprobs": None, "finish_reason": None}
            self._choices[index] = choice
        for name, value in chunk.items():
            if name == "delta":
                self._delta(index, choice["message"], _object(value))
            elif name == "text":
                _join(choice["message"], "content", value)
            elif name == "logprobs":
                if isinstance(value, dict):
                    choice["logprobs"] = _grown(choice["logprobs"] or {}, value)
            elif name == "finish_reason":
                choice["finish_reason"] = choice["finish_reason"] or value
            elif name not in ("index", "message"):
                choice[name] = value

    def _delta(self, index: int, message: dict[str, Any], delta: dict[str, Any]) -> None:
        for name, value in delta.items():
            if name == "tool_calls":
                for call in _objects(value):
                    self._tool_call(index, message, call)
            elif name in ("function_call", "audio") and isinstance(value, dict):
                message[name] = _object(message.get(name))
                _merge(message[name], value)
            elif name in ("content", "reasoning_details") and isinstance(value, list):
                message[name] = _parts(message.get(name), value)
            else:
                _merge(message, {name: value})

    def _tool_call(self, choice: int, message: dict[str, Any], call: dict[str, Any]) -> None:
        number = self._numbers.number(choice, call)
        known = self._calls.get((choice, number))
        if known is None:
            known = self._calls[choice, number] = {
                "id": "",
                "type": "function",
                "function": {"name": "", "arguments": ""},
            }
            message.setdefault("tool_calls", []).append(known)
        function = _object(call.get("function"))
        _merge(known, {name: value for name, value in call.items() if name != "function"})
        if function.get("arguments") is not None and not isinstance(function["arguments"], str):
            function = {**function, "arguments": json.dumps(function["arguments"]).decode()}
        _merge(known["function"], function)


def _object_in(frame: bytes) -> dict[str, Any]:
    for read in (sse.payload, lambda frame: sse.parse(frame).data):
        data = read(frame)
        if data and data.startswith(b"{"):
            try:
                return _object(json.loads(data))
            except ValueError:
                continue
    return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else []


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _join(target: dict[str, Any], name: str, piece: Any) -> None:
    if isinstance(piece, str) and isinstance(target.get(name), str):
        target[name] += piece
    elif isinstance(piece, str) and isinstance(target.get(name), list):
        target[name] = _parts(target[name], [{"type": "text", "text": piece}])
    elif piece is not None:
        target[name] = piece
    else:
        target.setdefault(name, None)


def _merge(target: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name in _JOINED:
            _join(target, name, value)
        elif name in _ONCE:
            if value or name not in target:
                target[name] = value
        elif isinstance(value, list) and isinstance(target.get(name), list):
            target[name] = target[name] + value
        else:
            target[name] = value


def _parts(known: Any, added: list[Any]) -> list[Any]:
    """Content parts: a part that goes on with the one before it (same type and index) grows it."""
    parts: list[Any] = [{"type": "text", "text": known}] if isinstance(known, str) and known else _list(known)
    for part in added:
        last: Any = parts[-1] if parts else None
        same = isinstance(part, dict) and isinstance(last, dict)
        if same and last.get("type") == part.get("type") and last.get("index") == part.get("index"):
            for name, value in part.items():
                if name in ("text", "summary", "data") and isinstance(last.get(name), str):
                    last[name] += value if isinstance(value, str) else ""
                elif name == "thinking" and isinstance(last.get(name), list):
                    last[name] = _parts(last[name], _list(value))
                elif value is not None:
                    last[name] = value
        else:
            parts.append(dict(part) if isinstance(part, dict) else part)
    return parts


def _grown(known: dict[str, Any], added: dict[str, Any]) -> dict[str, Any]:
    for name, value in added.items():
        known[name] = known[name] + value if isinstance(value, list) and isinstance(known.get(name), list) else value
    return known


def frames_of_answer(body: dict[str, Any]) -> list[bytes]:
    """The stream that a whole ``chat.completion`` would have been: for providers that answer so to ``stream: true``."""
    top = {name: value for name, value in body.items() if name not in ("choices", "usage", "object")}
    top["object"] = "chat.completion.chunk"
    frames = []
    for choice in _objects(body.get("choices")):
        rest = {
            name: value
            for name, value in choice.items()
            if name not in ("message", "text", "finish_reason", "logprobs")
        }
        message = dict(_object(choice.get("message")) or {"content": choice.get("text")})
        if isinstance(message.get("tool_calls"), list):
            message["tool_calls"] = [
                {"index": number, **call} for number, call in enumerate(message["tool_calls"]) if isinstance(call, dict)
            ]
        delta = {**rest, "delta": message, "finish_reason": None}
        if choice.get("logprobs"):
            delta["logprobs"] = choice["logprobs"]
        finish = {"index": choice.get("index", 0), "delta": {}, "finish_reason": choice.get("finish_reason") or "stop"}
        frames += [_frame({**top, "choices": [part]}) for part in (delta, finish)]
    if body.get("usage"):
        frames.append(_frame({**top, "choices": [], "usage": body["usage"]}))
    frames.append(b"data: [DONE]\n\n")
    return frames


def _frame(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk) + b"\n\n"
