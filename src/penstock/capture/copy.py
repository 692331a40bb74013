"""One stream's copy, and the line of JSON that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.capture.seal import Seal, sealed
from penstock.events import Text
from penstock.stream.summary import Summary
from penstock.stream.tape import Tape
from penstock.telemetry.log import stream_fields
from penstock.wire import json
from penstock.wire.base import Fold, View
from penstock.wire.metadata import blocks, payload
from penstock.wire.registry import UPSTREAM_WIRES


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of a stream that is over."""

    accepted: float
    """Unix seconds."""
    began: float
    """The same instant on the clock of the tape."""
    key: str | None
    path: str
    request: Callable[[], bytes | None]
    """The request's body; None where it may not be kept."""
    fold: Callable[[], Fold]
    tape: Tape
    summary: Summary


def line(copy: Copy, seal: Seal | None) -> bytes:
    """The copy as one line of JSON, without its end. What was said is encrypted where ``seal`` is given."""
    fields = stream_fields(copy.summary)
    del fields["event"]
    accepted = datetime.fromtimestamp(copy.accepted, UTC).isoformat(timespec="milliseconds")
    fields |= {
        "time": accepted.replace("+00:00", "Z"),
        "key": copy.key,
        "path": copy.path,
        "content": "original" if copy.tape.original else "redacted",
        "whole": copy.tape.whole,
    }
    said = _said(copy)
    if seal is not None and copy.tape.original:
        return _joined(json.dumps(fields), b'"sealed":' + sealed(said, seal))
    return _joined(json.dumps(fields), said[1:-1])


def _joined(fields: bytes, more: bytes) -> bytes:
    return fields[:-1] + b"," + more + b"}"


def _said(copy: Copy) -> bytes:
    frames = copy.tape.frames
    content: dict[str, Any] = {
        "request": _raw(copy.request()),
        "events": [
            [round((instant - copy.began) * 1000, 1), frame.decode("utf-8", "replace")] for instant, frame in frames
        ],
        "text": _text(copy.summary.client_wire, [frame for _, frame in frames]),
        "answer": _raw(_answer(copy, [frame for _, frame in frames])),
    }
    return json.one_line(json.dumps(content))


def _raw(data: bytes | None) -> Any:
    if data is None:
        return None
    try:
        return json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace")


def _events(wire: str, frames: list[bytes]) -> list[bytes]:
    """The frames one by one, in the form in which the wire's fold and its decoder take them."""
    single: list[bytes] = []
    for frame in frames:
        for block in blocks(frame, lines=wire == "ollama-chat"):
            if wire == "gemini" and not block.startswith(b"data:"):
                # Elements of an array, and its brackets.
                said = payload(block)
                block = b"" if said is None else b"data: " + msgspec.json.format(said, indent=-1) + b"\r\n\r\n"
            if block:
                single.append(block)
    return single


def _answer(copy: Copy, frames: list[bytes]) -> bytes | None:
    """The whole answer in the client's wire, as a client that does not stream would have got it."""
    if not frames:
        return None
    fold = copy.fold()
    try:
        for event in _events(copy.summary.client_wire, frames):
            fold.feed(event)
        return fold.answer()
    except Exception:
        # A wire's fold may refuse an answer that has no end; its frames are there.
        return None


def _text(wire: str, frames: list[bytes]) -> str:
    """The generated text of the first choice."""
    decoder = UPSTREAM_WIRES[wire].decoder(View(), None)
    text: list[str] = []
    try:
        for frame in _events(wire, frames):
            _, events = decoder.decode(frame)
            text += [event.text for event in events if isinstance(event, Text) and event.choice == 0]
    except Exception:
        # As far as it can be read.
        return "".join(text)
    return "".join(text)
