"""The texts of a request, in every client wire: found, and put back changed.

Everything that the model reads as words is among them: messages of every role, instructions, results of tools, and
arguments of earlier calls, which are decoded and encoded again. Not: what only names or addresses something, data of
media, and reasoning under a signature, which comes back unchanged or not at all.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.request import StreamRequest
from penstock.slices import give_way
from penstock.wire import json

_FIELDS = (
    "messages", "prompt", "prediction", "input", "instructions", "system", "contents", "systemInstruction",
    "system_instruction", "documents", "suffix",
)  # fmt: skip
_NO_WORDS = frozenset(
    {
        "type", "role", "id", "name", "call_id", "tool_use_id", "tool_call_id", "item_id", "status", "signature",
        "thoughtSignature", "thought_signature", "encrypted_content", "encrypted_index", "data", "mimeType",
        "media_type", "mime_type", "file_id", "fileUri", "file_data", "b64_json", "image_url", "image", "images",
        "input_audio", "cache_control", "detail", "format",
    }
)  # fmt: skip
_SIGNED = frozenset({"thinking", "redacted_thinking"})
_JSON_TEXT = "arguments"
_OBJECTS = frozenset({"arguments", "input", "args", "response"})
"""Arguments and results as objects, whose fields are named by a tool."""


class PromptTexts:
    """Reads a request; `texts` are its texts, in order."""

    def __init__(self, request: StreamRequest):
        self._request = request
        self._values: dict[str, Any] = {}
        self._places: list[tuple[Any, Any]] = []
        self._encoded: list[tuple[dict[str, Any], Any]] = []
        """Fields that hold JSON as text, and what they say."""
        for name in _FIELDS:
            raw = request.body.get(name)
            if raw is not None:
                self._read(name, bytes(raw))

    def _read(self, name: str, raw: bytes) -> None:
        try:
            self._values[name] = json.loads(raw)
        except ValueError:
            # The provider will refuse it.
            return
        self._find(self._values, name)

    @property
    def texts(self) -> list[str]:
        """Them."""
        return [holder[key] for holder, key in self._places]

    def request(self, texts: list[str]) -> StreamRequest:
        """The request with other texts in the place of its own; the same one where none is another."""
        if texts == self.texts:
            return self._request
        for (holder, key), text in zip(self._places, texts, strict=True):
            holder[key] = text
        for holder, value in self._encoded:
            holder[_JSON_TEXT] = json.dumps(value).decode()
        changed = {name: msgspec.Raw(json.dumps(value)) for name, value in self._values.items()}
        return msgspec.structs.replace(self._request, body={**self._request.body, **changed})

    def _find(self, holder: Any, key: Any) -> None:
        value = holder[key]
        if isinstance(value, str):
            self._found(holder, key, value)
        elif isinstance(value, list):
            for place in range(len(value)):
                give_way()
                self._find(value, place)
        elif isinstance(value, dict) and value.get("type") not in _SIGNED and "thoughtSignature" not in value:
            for name in value:
                if name in _OBJECTS and isinstance(value[name], dict):
                    self._inside(value, name)
                elif name not in _NO_WORDS or (name == "data" and _holds_words(value)):
                    self._find(value, name)

    def _found(self, holder: Any, key: Any, text: str) -> None:
        if key == _JSON_TEXT:
            try:
                value = json.loads(text.encode("utf-8", "surrogatepass"))
            except ValueError:
                value = None
            if isinstance(value, dict | list):
                self._encoded.append((holder, value))
                whole = {"": value}
                self._inside(whole, "")
                return
        if text:
            self._places.append((holder, key))

    def _inside(self, holder: Any, key: Any) -> None:
        """Every text of arguments: what their fields are called is the tool's affair."""
        value = holder[key]
        if isinstance(value, str) and value:
            self._places.append((holder, key))
        elif isinstance(value, dict | list):
            for name in value if isinstance(value, dict) else range(len(value)):
                self._inside(value, name)


def _holds_words(value: dict[str, Any]) -> bool:
    """Whether the ``data`` of an object is text: a document's, in two wires; not that of pictures and sound."""
    return value.get("type") == "text" or not isinstance(value["data"], str)
