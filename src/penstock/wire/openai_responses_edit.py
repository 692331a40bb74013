"""openai-responses, edited. Every text comes up to five times (wire-formats.md §3.4): the deltas are what stages see,
and all later copies say what came of them. Events that come and go renumber those behind them."""

from __future__ import annotations

from typing import Any

from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.edit import OPAQUE, Asked, FinishKind, SSEEditor, number, objects
from penstock.wire.edit_forms import Seen
from penstock.wire.edit_runs import Kind, Place, Texts
from penstock.wire.edit_splice import Spot, only
from penstock.wire.openai_responses_client import ResponsesClient

_OPAQUE = OPAQUE | {
    "item_id", "call_id", "object", "model", "partial_image_b64", "result", "image_url", "file_id", "container_id",
    "sequence_number", "output_index", "content_index", "summary_index", "annotation_index", "start_index",
    "end_index", "index", "created_at", "code_interpreter_call_id",
}  # fmt: skip
_ITEM = 10_000
"""Channels of one item; its number times this is the first."""
_SUMMARY, _WHOLE, _REFUSAL = 3_000, 6_000, 8_000
"""Where an item's channels begin: parts of its content at 0, of a summary, what it has once, refusals."""
_STREAMED: dict[str, tuple[Kind, str, int, str]] = {
    "response.output_text": ("text", "content_index", 0, "text"),
    "response.refusal": ("refusal", "content_index", _REFUSAL, "refusal"),
    "response.reasoning_text": ("reasoning", "content_index", 0, "text"),
    "response.reasoning_summary_text": ("reasoning", "summary_index", _SUMMARY, "text"),
    "response.function_call_arguments": ("arguments", "", _WHOLE, "arguments"),
    "response.mcp_call_arguments": ("arguments", "", _WHOLE, "arguments"),
    "response.custom_tool_call_input": ("arguments", "", _WHOLE + 1, "input"),
    "response.code_interpreter_call_code": ("arguments", "", _WHOLE + 1, "code"),
    "response.shell_call_command": ("arguments", "command_index", _WHOLE + 2, "command"),
    "response.apply_patch_call_operation_diff": ("arguments", "", _WHOLE + 1, "diff"),
    "response.audio.transcript": ("transcript", "", _WHOLE, "transcript"),
}
"""Events ``….delta`` and ``….done``: what they are, which index they have, where their channels begin, and the field of
the whole."""
_PARTS: dict[str, tuple[Kind, int, str]] = {
    "output_text": ("text", 0, "text"),
    "refusal": ("refusal", _REFUSAL, "refusal"),
    "reasoning_text": ("reasoning", 0, "text"),
    "summary_text": ("reasoning", _SUMMARY, "text"),
}
_REASONS: dict[FinishKind, str | None] = {
    "stop": None,
    "stop_sequence": None,
    "length": "max_output_tokens",
    "content_filter": "content_filter",
}
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_UNTOUCHED = frozenset(
    {"response.created", "response.in_progress", "response.queued", "response.audio.delta", "response.audio.done"}
    | {"error", "keepalive"}
)


_PLAIN = frozenset(
    {"type", "sequence_number", "item_id", "output_index", "content_index", "summary_index", "delta", "logprobs"}
    | {"obfuscation"}
)
"""What a delta has that carries one text and nothing else."""


class ResponsesEditor(SSEEditor):
    """See `edit.Editor`."""

    def __init__(self, texts: Texts, asked: Asked):
        super().__init__(texts, asked)
        self._templates: dict[Place, dict[str, Any]] = {}
        """A delta of each channel, as its provider writes it."""
        self._said: dict[Place, list[str]] = {}
        """What has gone out in each channel."""
        self._edited: set[Place] = set()
        self._next = 0
        self._shift = 0
        """By how much the client's numbers are ahead of the provider's."""

    def _body(self, body: dict[str, Any]) -> bool:
        shown = self._event(body)
        said = body.get("sequence_number")
        if not shown:
            self._shift -= 1
        elif type(said) is int:
            self._next = said + self._shift + 1
            if self._shift:
                body["sequence_number"] = said + self._shift
                self._changed = True
        return shown

    def _event(self, body: dict[str, Any]) -> bool:
        kind = str(body.get("type"))
        stem, _, what = kind.rpartition(".")
        if kind in _UNTOUCHED:
            return True
        if stem in _STREAMED and what in ("delta", "done"):
            return self._delta(stem, body) if what == "delta" else self._done(stem, body)
        item, response = body.get("item"), body.get("response")
        if kind in _ENDS and isinstance(response, dict):
            self._close(list(self._runs))
            for index, one in enumerate(response.get("output") or ()):
                if isinstance(one, dict):
                    self._item(one, index)
        elif isinstance(item, dict):
            index = number(body.get("output_index"))
            if what == "done":
                self._close([place for place in self._runs if place[2] // _ITEM == index])
            self._item(item, index)
        elif isinstance(body.get("part"), dict):
            index = number(body.get("content_index", body.get("summary_index")))
            self._part(body["part"], number(body.get("output_index")), index, closed=what == "done")
        elif kind == "response.output_text.annotation.added":
            place: Place = ("text", 0, number(body.get("output_index")) * _ITEM + number(body.get("content_index")))
            self._annotations([body.get("annotation")], place)
        else:
            self._walk(body, "text", 0, _OPAQUE)
        return True

    def _place(self, stem: str, body: dict[str, Any]) -> Place:
        kind, index, first, _ = _STREAMED[stem]
        return kind, 0, number(body.get("output_index")) * _ITEM + first + (number(body.get(index)) if index else 0)

    def _delta(self, stem: str, body: dict[str, Any]) -> bool:
        place = self._place(stem, body)
        if place not in self._templates:
            self._templates[place] = {name: value for name, value in body.items() if name != "obfuscation"}
        before = body.get("delta")
        if not isinstance(before, str) or not before:
            return True
        arguments = stem.endswith("_arguments")
        if type(body.get("sequence_number")) is int and not body.get("logprobs") and only(body, _PLAIN):
            self._spot = Spot("delta", place, arguments=arguments, varies=True)
        self._text(body, "delta", place, arguments=arguments)
        self._said.setdefault(place, []).append(body["delta"])
        if self._changed:
            self._edited.add(place)
            body.pop("obfuscation", None)
            if body.get("logprobs"):
                body["logprobs"] = []
        return bool(body["delta"])

    def _alike(self, seen: Seen, spot: Spot, out: str) -> bytes:
        if seen.text:
            self._said.setdefault(spot.place, []).append(out)
        if out != seen.text:
            self._edited.add(spot.place)
            if not out:
                self._shift -= 1
                return b""
        said = int(seen.parts["number"])
        self._next = said + self._shift + 1
        return seen.written(out, said + self._shift if self._shift else None)

    def _done(self, stem: str, body: dict[str, Any]) -> bool:
        place = self._place(stem, body)
        self._close([place] if place in self._runs else [])
        self._copy(body, _STREAMED[stem][3], place)
        return True

    def _copy(self, holder: dict[str, Any], field: str, place: Place) -> None:
        """A copy of a channel's whole text, or the only one."""
        if not isinstance(holder.get(field), str):
            return
        if place in self._said:
            self._put(holder, field, "".join(self._said[place]))
        elif place[0] == "arguments" and place[2] % _ITEM == _WHOLE:
            before = holder[field]
            run = self._run(place, arguments=True)
            self._put(holder, field, run.feed(before) + self._runs.pop(place).close())
        else:
            self._whole(holder, field, place[0])
        if place in self._edited and holder.get("logprobs"):
            holder["logprobs"] = []
            self._changed = True

    def _part(self, part: dict[str, Any], item: int, index: int, *, closed: bool) -> None:
        kind, first, field = _PARTS.get(str(part.get("type")), ("text", 0, "text"))
        place: Place = (kind, 0, item * _ITEM + first + index)
        if closed and place in self._runs:
            self._close([place])
        self._copy(part, field, place)
        self._annotations(part.get("annotations"), place)

    def _annotations(self, annotations: Any, place: Place) -> None:
        for annotation in objects(annotations):
            self._walk(annotation, "text", 0, _OPAQUE)
            if place in self._edited and "start_index" in annotation:
                # They count characters of a text that is not the provider's any more.
                annotation["start_index"] = annotation["end_index"] = 0
                self._changed = True

    def _item(self, item: dict[str, Any], index: int) -> None:
        kind, first = item.get("type"), index * _ITEM
        known = {"type", "id", "status", "role", "call_id", "name", "encrypted_content"}
        for number_, part in enumerate(objects(item.get("content"))):
            self._part(part, index, number_, closed=False)
        for number_, part in enumerate(objects(item.get("summary"))):
            self._part(part, index, number_, closed=False)
        for field, place in (("arguments", _WHOLE), ("input", _WHOLE + 1), ("code", _WHOLE + 1)):
            if isinstance(item.get(field), str):
                self._copy(item, field, ("arguments", 0, first + place))
                known.add(field)
        if kind not in ("message", "reasoning"):
            rest = {name: value for name, value in item.items() if name not in known | {"content", "summary"}}
            before = json.dumps(rest)
            self._walk(rest, "arguments", 0, _OPAQUE)
            if json.dumps(rest) != before:
                item.update(rest)

    def _close(self, places: list[Place]) -> None:
        self._slots = {}
        super()._close(places)

    def piece(self, place: Place, text: str) -> bytes:
        """See `edit.Editor`."""
        self._edited.add(place)
        self._said.setdefault(place, []).append(text)
        body = {**self._templates[place], "delta": text, "sequence_number": self._next}
        if "logprobs" in body:
            body["logprobs"] = []
        self._next += 1
        self._shift += 1
        return b"event: %b\ndata: %b\n\n" % (str(body["type"]).encode(), json.one_line(json.dumps(body)))

    def finish(self, kind: FinishKind, usage: Usage | None, sequence: str = "") -> bytes | None:
        """See `edit.Editor`: the session knows the items, and their texts are those that went out."""
        for place in list(self._runs):
            del self._runs[place]
        session = self._asked.session
        return self.edit(session.finish_frames(_REASONS[kind], usage)) if isinstance(session, ResponsesClient) else None
