"""ollama-chat, the folded answer: one object from the lines of a stream, and the way back.

The fold reads the lines that a streaming client would have got, so it cannot differ from them. Texts are joined, lists
grow, and of every other field the last value counts: the last line has the counters.
"""

from __future__ import annotations

from typing import Any

from penstock.framing.ndjson import NDJSONFramer
from penstock.wire import json
from penstock.wire.ollama_chat_writer import line

_JOINED = frozenset({"content", "thinking", "response"})


class OllamaFold:
    """Collects lines; `answer` is the whole."""

    def __init__(self) -> None:
        self._framer = NDJSONFramer(1 << 62)
        self._top: dict[str, Any] = {}

    def feed(self, data: bytes) -> None:
        """Whole lines of the stream."""
        for frame in self._framer.feed(data):
            fields = json.loads(frame)
            if isinstance(fields, dict):
                self._merge(self._top, fields, "")

    def answer(self) -> bytes:
        """The object as JSON."""
        top = dict(self._top)
        message = top.get("message")
        if isinstance(message, dict):
            top["message"] = {name: value for name, value in message.items() if name == "content" or value != ""}
        return json.dumps(top)

    def _merge(self, known: dict[str, Any], fields: dict[str, Any], path: str) -> None:
        for name, value in fields.items():
            if name == "message" and not path and isinstance(value, dict):
                before = known.get(name)
                known[name] = before if isinstance(before, dict) else {}
                self._merge(known[name], value, name)
            elif isinstance(value, str) and isinstance(known.get(name), str) and name in _JOINED:
                known[name] += value
            elif isinstance(value, list) and isinstance(known.get(name), list) and name != "context":
                known[name] = known[name] + value
            elif value is not None or name not in known:
                known[name] = value


def frames_of_answer(body: dict[str, Any]) -> list[bytes]:
    """The stream that a whole answer would have been: it is one line already."""
    return [line({"done": True, **body})]
