"""openai-responses: one answer as its client knows it, and the frames that carry it on (wire-formats.md §3.3).

The writer makes an answer of events; the decoder reads along with a provider's own, so that one which is stopped or
fails in its middle can be taken up where it is: the next ``sequence_number``, the items, the text of what is open.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import Fault
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.openai_errors import error_object

Object = dict[str, Any] | msgspec.Raw
"""A JSON object: as fields, or as a provider wrote it."""


class PartKind(msgspec.Struct, frozen=True):
    """How parts of one kind are named: their texts' events, their own events, their index and their text's field."""

    text_event: str
    part_event: str
    index: str
    field: str


PARTS = {
    "output_text": PartKind("response.output_text", "response.content_part", "content_index", "text"),
    "refusal": PartKind("response.refusal", "response.content_part", "content_index", "refusal"),
    "reasoning_text": PartKind("response.reasoning_text", "response.content_part", "content_index", "text"),
    "summary_text": PartKind(
        "response.reasoning_summary_text", "response.reasoning_summary_part", "summary_index", "text"
    ),
}


class Part:
    """A part of an item that is being written."""

    def __init__(self, kind: str, index: int):
        self.kind = kind
        self.index = index
        self.pieces: list[str] = []
        self.annotations: list[dict[str, Any]] = []

    def object(self, text: str) -> dict[str, Any]:
        """The part as JSON has it, with that text."""
        whole: dict[str, Any] = {"type": self.kind, PARTS[self.kind].field: text}
        return whole | {"annotations": self.annotations, "logprobs": []} if self.kind == "output_text" else whole


class Item:
    """An item of the output that is not done. ``fields``: as it was announced."""

    def __init__(self, kind: str, id: str, index: int, fields: Object):
        self.kind = kind
        self.id = id
        self.index = index
        self.fields = fields
        self.parts: list[Object] = []
        """Those that are done."""
        self.part: Part | None = None
        self.arguments: list[str] = []


# Nearly all frames: one delta of a message's text.
_TEXT_DELTA = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":%d,'
    b'"item_id":%b,"output_index":%d,"content_index":%d,"delta":%b,"logprobs":[]}\n\n'
)


class Answer:
    """The answer so far. ``response``: its object, as it was said last."""

    def __init__(self, response: Object):
        self.next = 0
        """The ``sequence_number`` of the next event."""
        self.response = response
        self.items: dict[int, Object] = {}
        """The items that are done, by output index."""
        self.open: dict[int, Item] = {}
        self.model: str | None = None
        """What the client is to see as the model, where that is not what the response says."""
        self.known = True
        """Nothing of the answer was forgotten."""

    def event(self, kind: str, **fields: Any) -> bytes:
        """One event as a frame, with the next number."""
        number, self.next = self.next, self.next + 1
        body = {"type": kind, "sequence_number": number, **fields}
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps(body))

    # -- items ----------------------------------------------------------------------------------------------------

    def add(self, item: Item) -> bytes:
        """Announce an item."""
        self.open[item.index] = item
        return self.event("response.output_item.added", output_index=item.index, item=item.fields)

    def open_part(self, item: Item, kind: str) -> bytes:
        """Begin a part of an item that has none open."""
        item.part = part = Part(kind, len(item.parts))
        return self._part_event(item, part, "added", "")

    def delta(self, item: Item, text: str) -> bytes:
        """A piece of the open part's text."""
        part = item.part
        assert part is not None
        part.pieces.append(text)
        if part.kind == "output_text":
            number, self.next = self.next, self.next + 1
            return _TEXT_DELTA % (number, json.dumps(item.id), item.index, part.index, json.dumps(text))
        return self._text_event(item, part, "delta", delta=text)

    def annotate(self, item: Item, annotation: dict[str, Any]) -> bytes:
        """A citation in the open part."""
        part = item.part
        assert part is not None
        number = len(part.annotations)
        part.annotations.append(annotation)
        return self._text_event(item, part, "annotation.added", annotation_index=number, annotation=annotation)

    def arguments(self, item: Item, piece: str) -> bytes:
        """A piece of a call's arguments."""
        item.arguments.append(piece)
        return self.event(
            "response.function_call_arguments.delta", item_id=item.id, output_index=item.index, delta=piece
        )

    def close_part(self, item: Item) -> bytes:
        """End the open part, if there is one, with the copies of its text."""
        part, item.part = item.part, None
        if part is None:
            return b""
        text = "".join(part.pieces)
        item.parts.append(part.object(text))
        more: dict[str, Any] = {"logprobs": []} if part.kind == "output_text" else {}
        out = self._text_event(item, part, "done", **{PARTS[part.kind].field: text}, **more)
        return out + self._part_event(item, part, "done", text)

    def close(self, item: Item, status: str) -> bytes:
        """End an item, with the copies of what it holds."""
        out = self.close_part(item)
        fields, parts = _fields(item.fields), [_fields(part) for part in item.parts]
        if item.kind == "message":
            fields |= {"content": parts, "status": status}
        elif item.kind == "reasoning":
            summary = not parts or parts[0].get("type") == "summary_text"
            fields |= {"summary" if summary else "content": parts}
        else:
            arguments = "".join(item.arguments)
            fields |= {"arguments": arguments, "status": status}
            out += self.event(
                "response.function_call_arguments.done",
                item_id=item.id,
                output_index=item.index,
                name=fields.get("name"),
                arguments=arguments,
            )
        del self.open[item.index]
        self.items[item.index] = fields
        return out + self.event("response.output_item.done", output_index=item.index, item=fields)

    def _text_event(self, item: Item, part: Part, what: str, **fields: Any) -> bytes:
        kind = PARTS[part.kind]
        place = {"item_id": item.id, "output_index": item.index, kind.index: part.index}
        return self.event(f"{kind.text_event}.{what}", **place, **fields)

    def _part_event(self, item: Item, part: Part, what: str, text: str) -> bytes:
        kind = PARTS[part.kind]
        place = {"item_id": item.id, "output_index": item.index, kind.index: part.index}
        return self.event(f"{kind.part_event}.{what}", **place, part=part.object(text))

    # -- endings --------------------------------------------------------------------------------------------------

    def end(self, status: str, usage: Usage | None, *, reason: str | None = None) -> bytes:
        """The terminal event: ``completed``, or ``incomplete`` for a ``reason``."""
        details = {"reason": reason} if reason else None
        response = self.with_status(status, incomplete_details=details, usage=usage_object(usage or Usage()))
        return self.event(f"response.{status}", response=response)

    def stop(self, usage: Usage | None, status: str = "completed", *, reason: str | None = None) -> bytes:
        """Finish in the middle. A call whose arguments are not whole is left out: nobody is to carry it out."""
        out = b""
        if self.known:
            for index in sorted(self.open):
                if self.open[index].kind in ("message", "reasoning"):
                    out += self.close(self.open[index], "completed")
        return out + self.end(status, usage, reason=reason)

    def fail(self, fault: Fault, stream: str) -> bytes:
        """An error, in the shape on which every SDK raises (wire-formats.md §9.6): ``error`` both flat and nested,
        then ``response.failed``."""
        error = error_object(fault, stream)
        flat = {"code": fault.code, "message": fault.message, "param": fault.param}
        out = self.event("error", **flat, error=error)
        response = self.with_status("failed", error={"code": fault.code, "message": fault.message})
        return out + self.event("response.failed", response=response)

    def with_status(self, status: str, **fields: Any) -> dict[str, Any]:
        """The response's object with what is done of its output."""
        output = [_fields(self.items[index]) for index in sorted(self.items)]
        shown = {} if self.model is None else {"model": self.model}
        return _fields(self.response) | {"status": status, "output": output, **shown, **fields}


def _fields(value: Object) -> dict[str, Any]:
    if isinstance(value, dict):
        return dict(value)
    fields = json.loads(bytes(value))
    return fields if isinstance(fields, dict) else {}


def usage_object(usage: Usage) -> dict[str, Any]:
    """Canonical usage in this wire's words: cached tokens inside the input's, reasoning inside the output's. SDKs want
    the object whole, so what nobody reported is 0."""
    tokens_in = (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0)
    tokens_out = (usage.output or 0) + (usage.reasoning or 0)
    return {
        "input_tokens": tokens_in,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read or 0,
            "cache_write_tokens": usage.cache_write or 0,
        },
        "output_tokens": tokens_out,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        "total_tokens": tokens_in + tokens_out,
    }
