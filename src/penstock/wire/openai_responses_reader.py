"""openai-responses: what a provider's events mean, and the answer that they add up to (wire-formats.md §3.3, §3.4).

The same text comes up to five times: in deltas, in ``.done``, in its part, in its item and in the terminal event.
Deltas are the output; a copy counts only where no delta came before it, as some providers send none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.events import (
    Annotation,
    EndMarker,
    ErrorReport,
    Event,
    Finish,
    FinishKind,
    Heartbeat,
    Internal,
    Media,
    Reasoning,
    ReasoningSeal,
    Refusal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.wire import json
from penstock.wire.openai_errors import error_report
from penstock.wire.openai_responses_answer import Answer, Item, Part
from penstock.wire.openai_responses_events import (
    NO_ITEMS,
    Incoming,
    IncomingItem,
    IncomingResponse,
    read_item,
    read_items,
    read_response,
    read_usage,
    whole_number,
)

_INCOMPLETE: dict[str, FinishKind] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_CALLS = frozenset({"function_call", "custom_tool_call"})
"""Items that the client is to act on."""
_TEXT_EVENTS: dict[str, tuple[str, type[Text] | type[Reasoning] | type[Refusal]]] = {
    "response.output_text": ("output_text", Text),
    "response.refusal": ("refusal", Refusal),
    "response.reasoning_text": ("reasoning_text", Reasoning),
    "response.reasoning_summary_text": ("summary_text", Reasoning),
}
_MADE = dict(_TEXT_EVENTS.values())
_REASONING = frozenset({"reasoning_text", "summary_text"})
_CALL_EVENTS = frozenset({"response.function_call_arguments", "response.custom_tool_call_input"})
_SERVER_TOOL_DELTAS = frozenset(
    {
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
        "response.shell_call_command.delta",
        "response.apply_patch_call_operation_diff.delta",
    }
)
KEPT = 4 * 1024 * 1024
"""What is kept of an answer so that it can be stopped in its middle, in bytes: a longer one is finished without."""


class ResponsesReader:
    """Reads the events of one answer and writes down in ``answer`` what a stop in its middle would need."""

    def __init__(self) -> None:
        self.answer = Answer({})
        self.terminal = ""
        """The terminal event that came."""
        self.empty_is_right = False
        self.at: tuple[Any, Any] | None = None
        """Output index and content index of the text that is being written…"""
        self.pieces: list[str] = []
        """…and its pieces."""
        self._room = KEPT
        self._started = False
        self._heard: set[tuple[Any, ...]] = set()
        self._calls: dict[Any, int] = {}

    def read(self, event: Incoming) -> list[Event]:
        """What an event means; the last may be an EndMarker or an ErrorReport."""
        events: list[Event] = []
        kind = event.type if isinstance(event.type, str) else ""
        reader = _READERS.get(kind)
        if reader is not None:
            reader(self, event, events)
            return events
        base, _, what = kind.rpartition(".")
        if base in _TEXT_EVENTS:
            self._text(base, what, event, events)
        elif base in _CALL_EVENTS:
            self._arguments(what, event, events)
        elif kind in _SERVER_TOOL_DELTAS and event.delta:
            events.append(Internal(_string(event.delta)))
        elif kind == "keepalive":
            events.append(Heartbeat())
        return events

    def count(self, event: Incoming) -> None:
        """The client gets this event: number on from it."""
        number = event.sequence_number
        self.answer.next = (number if type(number) is int else self.answer.next) + 1

    def keep(self, pieces: list[str], piece: str) -> None:
        """Write a piece down, while there is room."""
        room = self._room = self._room - len(piece)
        if room > 0:
            pieces.append(piece)
        else:
            self.answer.known = False

    def _snapshot(self, event: Incoming, events: list[Event]) -> None:
        """``response.created`` and its kin: the response's object, without output."""
        response = read_response(event.response)
        if bytes(event.response):
            self.answer.response = event.response.copy()
        if not self._started and (response.id or response.model):
            self._started = True
            events.append(Start(_string(response.id), _string(response.model), whole_number(response.created_at)))

    def _item_added(self, event: Incoming, events: list[Event]) -> None:
        item = read_item(event.item)
        if item is None:
            return
        key = _key(event)
        index = _index(event.output_index)
        if index is None:
            index = len(self.answer.open) + len(self.answer.items)
        self.answer.open[index] = Item(_string(item.type), _string(item.id), index, event.item.copy())
        if _string(item.type) in _CALLS:
            self._call(key, item, events)

    def _call(self, key: Any, item: IncomingItem, events: list[Event]) -> int:
        """Announce a call; its number."""
        number = self._calls.get(key)
        if number is None:
            number = self._calls[key] = len(self._calls)
            events.append(ToolArguments(number, _string(item.call_id) or _string(item.id), _string(item.name)))
        return number

    def _item_done(self, event: Incoming, events: list[Event]) -> None:
        item = read_item(event.item)
        if item is None:
            return
        key = _key(event)
        self.at = None
        index = _index(event.output_index)
        if index is not None:
            self.answer.open.pop(index, None)
            self._room -= len(bytes(event.item))
            if self._room > 0:
                self.answer.items[index] = event.item.copy()
        self._whole_item(key, item, events)

    def _whole_item(self, key: Any, item: IncomingItem, events: list[Event]) -> None:
        """What of an item was not heard yet, and its seal."""
        if _string(item.type) in _CALLS:
            number = self._call(key, item, events)
            asked = _string(item.arguments if item.type == "function_call" else item.input)
            if ("arguments", key) not in self._heard:
                # A call without arguments has {} by its end, unless it was broken off.
                asked = asked or ("" if item.type != "function_call" or item.status == "incomplete" else "{}")
                if asked:
                    self._heard.add(("arguments", key))
                    events.append(ToolArguments(number, arguments=asked))
        for parts in (item.content, item.summary):
            # Not by place: what was said at one index may stand at another in the whole, and reasoning both in full
            # and as a summary.
            heard = self._heard_of(key)
            thought = not heard.isdisjoint(_REASONING)
            for place, part in enumerate(parts if isinstance(parts, list) else ()):
                kind = _string(part.get("type")) if isinstance(part, dict) else ""
                if kind not in heard and not (thought and kind in _REASONING):
                    self._copy(kind, key, place, part, events)
        if item.type == "reasoning" and item.encrypted_content:
            events.append(ReasoningSeal(_string(item.encrypted_content), redacted=not self._heard_of(key)))

    def _heard_of(self, key: Any) -> set[str]:
        """The kinds of parts that were heard of an item."""
        return {kind for kind, at, *_ in self._heard if at == key}

    def _copy(self, kind: str, key: Any, place: Any, part: dict[str, Any], events: list[Event]) -> None:
        """A whole part: output only where it was not heard before."""
        made = _MADE.get(kind)
        text = part.get("refusal" if kind == "refusal" else "text") if made else None
        if made and text and (kind, key, place) not in self._heard:
            self._heard.add((kind, key, place))
            events.append(made(_string(text)))

    def _text(self, base: str, what: str, event: Incoming, events: list[Event]) -> None:
        """Text, reasoning, refusals: pieces, and the copy at their end."""
        kind, made = _TEXT_EVENTS[base]
        index = event.summary_index if kind == "summary_text" else event.content_index
        key, place = _key(event), _index(index) or 0
        if what == "done":
            self.at = None
            self._copy(kind, key, place, {"text": event.text, "refusal": event.refusal}, events)
        elif what == "delta" and event.delta:
            text = _string(event.delta)
            self._heard.add((kind, key, place))
            events.append(made(text))
            self._write(kind, event, place, text)

    def _open(self, event: Incoming) -> Item | None:
        index = _index(event.output_index)
        return None if index is None else self.answer.open.get(index)

    def _write(self, kind: str, event: Incoming, place: int, text: str) -> None:
        item = self._open(event)
        if item is None:
            return
        part = item.part
        if part is None or part.kind != kind or part.index != place:
            if part is not None:
                item.parts.append(part.object("".join(part.pieces)))
            item.part = part = Part(kind, place)
        self.keep(part.pieces, text)
        if kind == "output_text":
            self.at, self.pieces = (event.output_index, event.content_index), part.pieces

    def _part_done(self, event: Incoming, events: list[Event]) -> None:
        self.at = None
        item = self._open(event)
        if item is not None and bytes(event.part):
            item.part = None
            item.parts.append(event.part.copy())
        summary = event.summary_index is not None
        key, place = _key(event), _index(event.summary_index if summary else event.content_index) or 0
        part = json.loads(bytes(event.part) or b"{}")
        if isinstance(part, dict):
            self._copy("summary_text" if summary else _string(part.get("type")), key, place, part, events)

    def _arguments(self, what: str, event: Incoming, events: list[Event]) -> None:
        key = _key(event)
        number = self._calls.setdefault(key, len(self._calls))
        if what == "delta" and event.delta:
            self._heard.add(("arguments", key))
            events.append(ToolArguments(number, arguments=_string(event.delta)))
        elif what == "done" and ("arguments", key) not in self._heard:
            asked = _string(event.arguments) or _string(event.input)
            if asked:
                self._heard.add(("arguments", key))
                events.append(ToolArguments(number, arguments=asked))

    def _annotation(self, event: Incoming, events: list[Event]) -> None:
        found = json.loads(bytes(event.annotation) or b"null")
        if isinstance(found, dict):
            start, end = found.get("start_index"), found.get("end_index")
            events.append(
                Annotation(
                    url=_string(found.get("url")),
                    title=_string(found.get("title")) or _string(found.get("filename")),
                    start=start if type(start) is int else None,
                    end=end if type(end) is int else None,
                    native=found,
                )
            )

    def _media(self, event: Incoming, events: list[Event]) -> None:
        if event.partial_image_b64 or event.delta:
            transcript = event.type == "response.audio.transcript.delta"
            events.append(Media(_string(event.delta) if transcript else ""))

    def _ended(self, event: Incoming, events: list[Event]) -> None:
        """``completed`` and ``incomplete``: usage, finish and end in one."""
        response = read_response(event.response)
        if response.status == "failed" or event.type in ("response.failed", "response.cancelled"):
            events.append(_failure(response, event))
            return
        if not self._started:
            self._snapshot(event, events)
        output = bytes(response.output)
        if not self._heard:
            # A provider that writes nothing but the end.
            for place, item in enumerate(read_items(output)):
                self._whole_item(place, item, events)
        usage = read_usage(response.usage) if isinstance(response.usage, dict) else None
        if usage is not None:
            events.append(UsageReport(usage))
        reason, kind = self._reason(event, response.incomplete_details, response.status)
        self.empty_is_right = output not in NO_ITEMS or kind in ("length", "content_filter")
        if usage is not None and (usage.output or usage.reasoning):
            self.empty_is_right = True
        events += [Finish(reason, kind=kind), EndMarker()]
        self.terminal = _string(event.type)
        self.at = None

    def _reason(self, event: Incoming, details: Any, status: Any) -> tuple[str, FinishKind]:
        if event.type == "response.incomplete" or status == "incomplete":
            reason = _string(details.get("reason")) if isinstance(details, dict) else ""
            return reason or "incomplete", _INCOMPLETE.get(reason, "length")
        return "completed", "tool_calls" if self._calls else "stop"


_READERS: dict[str, Callable[[ResponsesReader, Incoming, list[Event]], None]] = {
    "response.created": ResponsesReader._snapshot,
    "response.queued": ResponsesReader._snapshot,
    "response.in_progress": ResponsesReader._snapshot,
    "response.output_item.added": ResponsesReader._item_added,
    "response.output_item.done": ResponsesReader._item_done,
    "response.content_part.done": ResponsesReader._part_done,
    "response.reasoning_summary_part.done": ResponsesReader._part_done,
    "response.output_text.annotation.added": ResponsesReader._annotation,
    "response.image_generation_call.partial_image": ResponsesReader._media,
    "response.audio.delta": ResponsesReader._media,
    "response.audio.transcript.delta": ResponsesReader._media,
    "response.completed": ResponsesReader._ended,
    "response.incomplete": ResponsesReader._ended,
    "response.failed": ResponsesReader._ended,
    "response.cancelled": ResponsesReader._ended,
}


def _key(event: Incoming) -> int | str | None:
    """What tells items apart: some providers give every event another ``item_id``, some give no index."""
    index = _index(event.output_index)
    return index if index is not None or not isinstance(event.item_id, str) else event.item_id


def _index(value: Any) -> int | None:
    return value if type(value) is int else None


def _failure(response: IncomingResponse, event: Incoming) -> ErrorReport:
    """The error of a response that failed."""
    error = response.error
    kind = response.error_type or event.error_type
    if isinstance(error, dict) and kind and not error.get("type"):
        error = {**error, "type": kind}
    words = "was cancelled" if event.type == "response.cancelled" or response.status == "cancelled" else "failed"
    return error_report({"error": error}) or ErrorReport(f"the provider says that the response {words}")


def _string(value: Any) -> str:
    if value is None:
        return ""
    return value if type(value) is str else json.dumps(value).decode()
