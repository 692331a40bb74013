"""openai-chat, edited: every generated text of a chunk, in every dialect (wire-formats.md §9.7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.edit import OPAQUE, Asked, FinishKind, number, objects
from penstock.wire.edit_finish import FinishEditor
from penstock.wire.edit_runs import Place, Texts
from penstock.wire.edit_splice import Spot, only
from penstock.wire.openai_chat_calls import CallNumbers
from penstock.wire.openai_chat_writer import usage_object

_REASONING = ("reasoning_content", "reasoning")
"""Two names of the same text; a dialect that has both says it twice."""
_OPAQUE = OPAQUE | {"index", "start_index", "end_index"}
_SAYS_NOTHING: tuple[Any, ...] = (None, "", [], {})


class ChatEditor(FinishEditor):
    """See `edit.Editor`."""

    def __init__(self, texts: Texts, asked: Asked):
        super().__init__(texts, asked)
        self._calls = CallNumbers()
        self._legacy: set[int] = set()
        """Choices that call by ``function_call``."""
        self._top: dict[str, Any] = {}
        self._choices: dict[int, bool] = {}
        """By index, whether it is finished."""
        self._edited: set[int] = set()
        """Choices whose text is not the provider's any more: offsets into it mean nothing."""

    def _body(self, body: dict[str, Any]) -> bool:
        if "choices" not in body:
            return True
        self._spot = _spot(body)
        self._top = {name: body.get(name) for name in ("id", "object", "created", "model")}
        carries = bool(body.get("usage")) or not body["choices"]
        for choice in objects(body["choices"]):
            carries = self._choice(choice) or carries
        for name in ("citations", "search_results"):
            if isinstance(body.get(name), list):
                self._walk(body[name], "text", 0, _OPAQUE)
        if self._changed:
            body.pop("obfuscation", None)
            body.pop("prompt_token_ids", None)
        return carries or not self._changed

    def _text_changed(self, place: Place) -> None:
        self._edited.add(place[1])

    def _choice(self, choice: dict[str, Any]) -> bool:
        """Whether it still carries anything."""
        index, before = number(choice.get("index")), self._changed
        self._changed = False
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(index, delta)
        else:
            delta = {}
        if isinstance(choice.get("text"), str):
            self._text(choice, "text", ("text", index, 0))
        finished = bool(choice.get("finish_reason"))
        self._choices[index] = self._choices.get(index, False) or finished
        if finished and self._ends:
            self._close([place for place in self._runs if place[1] == index])
        if self._changed:
            self._edited.add(index)
            for name in ("token_ids", "stop_reason_token_ids", "raw_output"):
                choice.pop(name, None)
            if choice.get("logprobs") is not None:
                choice["logprobs"] = None
        self._changed = self._changed or before
        return (
            finished
            or any(value not in _SAYS_NOTHING for value in delta.values())
            or choice.get("text") not in _SAYS_NOTHING
            or bool(choice.get("content_filter_results"))
        )

    def _says(self, choice: dict[str, Any]) -> bool:
        delta = choice.get("delta")
        said = [value for name, value in delta.items() if name != "role"] if isinstance(delta, dict) else []
        return any(value not in _SAYS_NOTHING for value in (*said, choice.get("text")))

    def _delta(self, index: int, delta: dict[str, Any]) -> None:
        content = delta.get("content")
        if isinstance(content, str):
            self._text(delta, "content", ("text", index, 0))
        elif isinstance(content, list):
            self._parts(index, delta, content)
        for place, name in enumerate(_REASONING):
            if isinstance(delta.get(name), str):
                self._text(delta, name, ("reasoning", index, place))
        if "reasoning_details" in delta and self._asked.drop_signed:
            del delta["reasoning_details"]
            self._changed = True
        if isinstance(delta.get("refusal"), str):
            self._text(delta, "refusal", ("refusal", index, 0))
        audio = delta.get("audio")
        if isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
            self._text(audio, "transcript", ("transcript", index, 0))
        self._tools(index, delta)
        for name in ("executed_tools", "annotations", "citations", "images"):
            if isinstance(delta.get(name), list):
                self._cited(index, delta[name])

    def _parts(self, index: int, delta: dict[str, Any], content: list[Any]) -> None:
        """Content as a list of parts (Mistral)."""
        if self._asked.drop_signed and any(part.get("signature") for part in objects(content)):
            content = delta["content"] = [part for part in objects(content) if not part.get("signature")]
            self._changed = True
        for part in objects(content):
            if isinstance(part.get("text"), str):
                self._text(part, "text", ("text", index, 0))
            for thought in objects(part.get("thinking")):
                if isinstance(thought.get("text"), str):
                    self._text(thought, "text", ("reasoning", index, 0))

    def _tools(self, index: int, delta: dict[str, Any]) -> None:
        for call in objects(delta.get("tool_calls")):
            function = call.get("function")
            if isinstance(function, dict):
                self._arguments(function, "arguments", index, self._calls.number(index, call))
            custom = call.get("custom")
            if isinstance(custom, dict):
                self._arguments(custom, "input", index, self._calls.number(index, call))
        legacy = delta.get("function_call")
        if isinstance(legacy, dict):
            self._legacy.add(index)
            self._arguments(legacy, "arguments", index, 0)

    def _arguments(self, holder: dict[str, Any], name: str, index: int, call: int) -> None:
        value = holder.get(name)
        if isinstance(value, str):
            self._text(holder, name, ("arguments", index, call), arguments=True)
        elif isinstance(value, dict | list):
            self._walk(value, "arguments", index)

    def _cited(self, index: int, items: list[Any]) -> None:
        self._walk(items, "text", index, _OPAQUE)
        if index not in self._edited:
            return
        for citation in [item.get("url_citation") for item in objects(items)]:
            if isinstance(citation, dict) and "start_index" in citation:
                del citation["start_index"]
                citation.pop("end_index", None)
                self._changed = True

    def piece(self, place: Place, text: str) -> bytes:
        """See `edit.Editor`."""
        kind, index, part = place
        if kind == "arguments":
            name, call = "tool_calls", [{"index": part, "function": {"arguments": text}}]
            delta: dict[str, Any] = {"function_call": {"arguments": text}} if index in self._legacy else {name: call}
        elif kind == "transcript":
            delta = {"audio": {"transcript": text}}
        else:
            delta = {{"text": "content", "refusal": "refusal"}.get(kind, _REASONING[part % 2]): text}
        return self._chunk({"choices": [{"index": index, "delta": delta, "finish_reason": None}]})

    def retraction(self, spans: Sequence[tuple[int, int, int]], categories: Sequence[str]) -> bytes:
        """See `edit.Editor`. In the words of Azure's asynchronous filter."""
        results = {category: {"filtered": True} for category in categories}
        out = []
        for index, start, end in spans:
            offsets = {"check_offset": start, "start_offset": start, "end_offset": end}
            choice = {"index": index, "delta": {}, "finish_reason": None}
            choice |= {"content_filter_results": results, "content_filter_offsets": offsets}
            out.append(self._chunk({"choices": [choice]}))
        return b"".join(out)

    def finish(self, kind: FinishKind, usage: Usage | None, sequence: str = "") -> bytes | None:
        """See `edit.Editor`."""
        out = [
            self._chunk({"choices": [{"index": index, "delta": {}, "finish_reason": _FINISH[kind]}]})
            for index, finished in sorted((self._choices or {0: False}).items())
            if not finished
        ]
        asked = self._asked.request
        if (asked.include_usage or not asked.stream) and usage is not None:
            out.append(self._chunk({"choices": [], "usage": usage_object(usage)}))
        return b"".join(out) + b"data: [DONE]\n\n"

    def _chunk(self, fields: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps({**self._top, **fields}) + b"\n\n"


_FINISH: dict[FinishKind, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "content_filter": "content_filter",
}
_PLAIN_TOP = frozenset(
    {"id", "object", "created", "model", "choices", "system_fingerprint", "service_tier", "provider", "obfuscation"}
)
_PLAIN_CHOICE = frozenset({"index", "delta"})


def _spot(body: dict[str, Any]) -> Spot | None:
    """The text of a chunk that carries one and nothing else."""
    choices = body["choices"]
    if not only(body, _PLAIN_TOP) or not isinstance(choices, list) or len(choices) != 1:
        return None
    choice = choices[0]
    delta = choice.get("delta") if isinstance(choice, dict) and only(choice, _PLAIN_CHOICE) else None
    if not isinstance(delta, dict):
        return None
    said = [name for name, value in delta.items() if value is not None and name != "role"]
    if len(said) != 1 or not isinstance(delta[said[0]], str) or not delta[said[0]]:
        return None
    name, index, keeps = said[0], number(choice.get("index")), bool(delta.get("role"))
    if name == "content":
        return Spot(name, ("text", index, 0), keeps=keeps)
    if name in _REASONING:
        return Spot(name, ("reasoning", index, _REASONING.index(name)), keeps=keeps)
    return None
