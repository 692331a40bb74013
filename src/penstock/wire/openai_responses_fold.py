"""openai-responses, the folded answer: the object of the terminal event, and the way back to a stream."""

from __future__ import annotations

from typing import Any

from penstock.framing import sse
from penstock.wire import json
from penstock.wire.openai_responses_answer import PARTS, Answer, Item
from penstock.wire.openai_responses_events import NO_ITEMS, read_event, read_response

_TOLD = (b"response.output_item.done", b"response.completed", b"response.incomplete", b"response.failed")


class ResponsesFold:
    """Collects frames; `answer` is the whole. The terminal event has it all, and goes on as the provider wrote it;
    only where its output is empty though there were items (ChatGPT's own backend), they are put in."""

    def __init__(self) -> None:
        self._framer = sse.SSEFramer(1 << 62)
        self._response = b"{}"
        self._output = b""
        self._items: dict[int, bytes] = {}

    def feed(self, data: bytes) -> None:
        """Whole frames of the stream. Deltas, comments and what is unknown add nothing."""
        for frame in self._framer.feed(data):
            if any(kind in frame for kind in _TOLD):
                self._read(sse.parse(frame).data or b"")

    def _read(self, data: bytes) -> None:
        if not data.startswith(b"{"):
            return
        event = read_event(data)
        if event.type == "response.output_item.done":
            index = event.output_index if type(event.output_index) is int else len(self._items)
            self._items[index] = bytes(event.item)
        elif bytes(event.response):
            self._response = bytes(event.response)
            self._output = bytes(read_response(event.response).output)

    def answer(self) -> bytes:
        """The ``response`` as JSON."""
        if self._output not in NO_ITEMS or not self._items:
            return self._response
        response = json.loads(self._response)
        response["output"] = [json.loads(self._items[index]) for index in sorted(self._items)]
        return json.dumps(response)


def frames_of_answer(response: dict[str, Any]) -> list[bytes]:
    """The stream that a whole response would have been: for providers that answer so to ``stream: true``."""
    output = [item for item in response.get("output") or () if isinstance(item, dict)]
    begun = {**response, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    answer = Answer(begun)
    frames = [answer.event(f"response.{kind}", response=begun) for kind in ("created", "in_progress")]
    for index, item in enumerate(output):
        frames += _frames_of_item(answer, index, item)
    status = "incomplete" if response.get("status") == "incomplete" else "completed"
    frames.append(answer.event(f"response.{status}", response={"status": status, **response}))
    # Each alone: some of these are several.
    return sse.SSEFramer(1 << 62).feed(b"".join(frames))


def _frames_of_item(answer: Answer, index: int, whole: dict[str, Any]) -> list[bytes]:
    kind, ident = str(whole.get("type")), str(whole.get("id") or f"item_{index}")
    begun = dict(whole)
    for name, empty in (("content", []), ("summary", []), ("arguments", ""), ("status", "in_progress")):
        if name in begun:
            begun[name] = empty
    item = Item(kind, ident, index, begun)
    frames = [answer.add(item)]
    for parts in (whole.get("summary"), whole.get("content")):
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part.get("type") in PARTS:
                frames += _frames_of_part(answer, item, part)
    if kind == "function_call":
        frames.append(answer.arguments(item, str(whole.get("arguments") or "")))
        place = {"item_id": ident, "output_index": index}
        asked = {"name": whole.get("name"), "arguments": whole.get("arguments")}
        frames.append(answer.event("response.function_call_arguments.done", **place, **asked))
    frames.append(answer.event("response.output_item.done", output_index=index, item=whole))
    return frames


def _frames_of_part(answer: Answer, item: Item, whole: dict[str, Any]) -> list[bytes]:
    kind = whole["type"]
    frames = [answer.open_part(item, kind), answer.delta(item, str(whole.get(PARTS[kind].field) or ""))]
    if item.part is not None and kind == "output_text":
        annotations = whole.get("annotations")
        frames += [answer.annotate(item, one) for one in annotations or () if isinstance(one, dict)]
    return [*frames, answer.close_part(item)]
