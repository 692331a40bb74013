"""openai-responses: the events of a stream as they come in, read no deeper than they must be."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from penstock.usage import Usage, cost, count
from penstock.wire import json

_NOTHING = msgspec.Raw(b"")
NO_ITEMS = (b"", b"[]", b"null")
"""An output without items."""
_TICKS = 10_000_000_000
"""xAI's ``cost_in_usd_ticks`` in one US dollar."""


class Incoming(msgspec.Struct, gc=False):
    """One event. Objects stay unread until they are asked for; absent ones are empty."""

    type: Any = None
    sequence_number: Any = None
    output_index: Any = None
    content_index: Any = None
    delta: Any = None
    summary_index: Any = None
    item_id: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    input: Any = None
    partial_image_b64: Any = None
    code: Any = None
    message: Any = None
    param: Any = None
    error: Any = None
    error_type: Any = None
    response: msgspec.Raw = _NOTHING
    item: msgspec.Raw = _NOTHING
    part: msgspec.Raw = _NOTHING
    annotation: msgspec.Raw = _NOTHING


class TextDelta(msgspec.Struct, gc=False):
    """``response.output_text.delta``, as it nearly always comes."""

    type: str
    sequence_number: int
    output_index: int
    content_index: int
    delta: str


class IncomingItem(msgspec.Struct, gc=False):
    """An item of the output."""

    type: Any = None
    id: Any = None
    status: Any = None
    call_id: Any = None
    name: Any = None
    arguments: Any = None
    input: Any = None
    content: Any = None
    summary: Any = None
    encrypted_content: Any = None


class IncomingResponse(msgspec.Struct, gc=False):
    """The response's own object."""

    id: Any = None
    model: Any = None
    created_at: Any = None
    status: Any = None
    error: Any = None
    error_type: Any = None
    incomplete_details: Any = None
    usage: Any = None
    output: msgspec.Raw = _NOTHING


TEXT_DELTA = msgspec.json.Decoder(TextDelta)
EVENT = msgspec.json.Decoder(Incoming)
_ITEM = msgspec.json.Decoder(IncomingItem)
_RESPONSE = msgspec.json.Decoder(IncomingResponse)
_RAW = frozenset({"response", "item", "part", "annotation", "output"})
T = TypeVar("T", Incoming, IncomingItem, IncomingResponse)


def read_event(data: bytes) -> Incoming:
    """An event that must be a JSON object. Raises ValueError."""
    try:
        return EVENT.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return incoming(json.loads(data))


def incoming(body: dict[str, Any]) -> Incoming:
    """An event that took a lenient reading."""
    return _fitted(Incoming, body)


def read_item(raw: msgspec.Raw) -> IncomingItem | None:
    """An item, or None where there is none."""
    return _read(_ITEM, IncomingItem, raw)


def read_items(output: bytes) -> list[IncomingItem]:
    """The items of a whole output."""
    items = json.loads(output or b"[]")
    return [_fitted(IncomingItem, item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def read_response(raw: msgspec.Raw) -> IncomingResponse:
    """The response's object; empty where there is none."""
    return _read(_RESPONSE, IncomingResponse, raw) or IncomingResponse()


def _read(decoder: msgspec.json.Decoder[T], kind: type[T], raw: msgspec.Raw) -> T | None:
    data = bytes(raw)
    if not data:
        return None
    try:
        return decoder.decode(data)
    except msgspec.ValidationError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = json.loads(data)
        return _fitted(kind, body) if isinstance(body, dict) else None


def _fitted(kind: type[T], body: dict[str, Any]) -> T:
    names = kind.__struct_fields__
    return kind(
        **{
            name: msgspec.Raw(json.dumps(value)) if name in _RAW else value
            for name, value in body.items()
            if name in names
        }
    )


def read_usage(raw: dict[str, Any]) -> Usage:
    """Usage in canonical, disjoint kinds (wire-formats.md §9.3): cached tokens are inside the input's count, reasoning
    inside the output's, unless the total tells otherwise."""
    tokens_in, tokens_out = count(raw.get("input_tokens")), count(raw.get("output_tokens"))
    details_in, details_out = _object(raw.get("input_tokens_details")), _object(raw.get("output_tokens_details"))
    cached, written = count(details_in.get("cached_tokens")), count(details_in.get("cache_write_tokens"))
    reasoning, total = count(details_out.get("reasoning_tokens")), count(raw.get("total_tokens"))
    apart = bool(reasoning) and total is not None and (tokens_in or 0) + (tokens_out or 0) + (reasoning or 0) == total
    visible = tokens_out
    if tokens_out is not None and reasoning and not apart:
        visible = max(0, tokens_out - reasoning)
    uncached = None if tokens_in is None else max(0, tokens_in - (cached or 0) - (written or 0))
    paid, ticks = cost(raw.get("cost")), raw.get("cost_in_usd_ticks")
    if paid is None and type(ticks) is int:
        paid = cost(ticks / _TICKS)
    return Usage(uncached, visible, reasoning, cached, written, paid)


def whole_number(value: Any) -> int | None:
    """A number of JSON without its fraction, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
