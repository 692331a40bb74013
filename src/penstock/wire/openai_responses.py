"""openai-responses, upstream side: frames of a provider to events (wire-formats.md §3).

The decoder reads a copy. It hands the frame's own bytes on, except where the bytes would lie to a client or break
one; every such mending is listed at `ResponsesDecoder.decode`.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from penstock.events import EndMarker, ErrorReport, Event, Heartbeat, Malformed, Opaque, Text
from penstock.framing import sse
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Decoded
from penstock.wire.filling import LETTERS, Likeness
from penstock.wire.openai_errors import error_report
from penstock.wire.openai_responses_answer import Answer
from penstock.wire.openai_responses_events import EVENT, TEXT_DELTA, Incoming, TextDelta, incoming
from penstock.wire.openai_responses_reader import ResponsesReader

_HEARTBEAT: tuple[Event, ...] = (Heartbeat(),)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
_END: tuple[Event, ...] = (EndMarker(),)
_TEXT = "response.output_text.delta"
_TEXT_HEAD = b"event: response.output_text.delta\ndata: "
_DATA = len(_TEXT_HEAD)


class _Deltas(Likeness, frozen=True):
    """Pieces of the text that is being written: they are kept, and numbered."""

    def decode(self, decoder: ResponsesDecoder, frame: bytes) -> Decoded:
        delta = decoder.next_text(frame)
        if delta is None or delta.sequence_number != decoder.number:
            return None, ()
        return frame, (Text(delta.delta),)

    def passed(self, decoder: ResponsesDecoder, text: str, frames: int) -> None:
        decoder.keep(text, frames)


class ResponsesDecoder:
    """Turns the frames of one answer into events and reads along, so that the answer can be ended at any place.

    ``lead`` is called with the answer at its first token, which is the commit: from then on it is what the client has.
    """

    alike = _Deltas((LETTERS,), b'"sequence_number":')

    def __init__(self, lead: Callable[[Answer], None] | None = None):
        self._lead = lead
        self._reader = ResponsesReader()
        self._ids_sent = False
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""
        self.marked = False
        """A terminal event came, or ``[DONE]``."""

    def decode(self, frame: bytes) -> Decoded:
        """The bytes to hand on (None: nothing) and the events of one frame. Mended are, and only are:

        * what follows the terminal event or an error, be it ``[DONE]`` or a second ending: left out (D10);
        * blocks with ``id``, ``retry`` or ``event`` but no data, and empty data, on which SDKs die (E6);
        * comments once the stream carried ``id`` (E6).

        An error goes to the client in Penstock's words, with the provider's type, code and message: SDKs raise on one
        of its shapes only. Providers' own ``keepalive`` events, missing numbers, missing ``event`` lines and unknown
        events pass as they are.
        """
        delta = self.next_text(frame)
        if delta is not None:
            self._reader.answer.next = delta.sequence_number
            self.keep(delta.delta, 1)
            return frame, (Text(delta.delta),)
        data = _payload(frame)
        if data is None:
            return self._decode_slowly(frame)
        try:
            event = EVENT.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._decode_slowly(frame)
        return self._meant(frame, event) if isinstance(event.type, str) else self._decode_slowly(frame)

    def next_text(self, frame: bytes) -> TextDelta | None:
        """Nearly all frames: the next piece of the text that is being written. None for any other."""
        if not frame.startswith(_TEXT_HEAD) or frame.find(b"\n", _DATA) != len(frame) - 2:
            return None
        try:
            event = TEXT_DELTA.decode(frame[_DATA:-2])
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        at = event.output_index, event.content_index
        return event if event.delta and event.type == _TEXT and self._reader.at == at else None

    @property
    def number(self) -> int:
        """That of the next event."""
        return self._reader.answer.next

    def keep(self, text: str, frames: int) -> None:
        """Write down what was said in so many frames."""
        reader = self._reader
        reader.answer.next += frames
        reader.keep(reader.pieces, text)

    def _decode_slowly(self, frame: bytes) -> Decoded:
        block = sse.parse(frame)
        if block.data is None:
            return self._dataless(frame, block)
        self._ids_sent = self._ids_sent or block.id is not None
        if not block.data:
            return None, _HEARTBEAT
        if block.data.startswith(b"[DONE]"):
            if self._reader.terminal:
                return None, _OPAQUE
            self.marked = True
            return frame, _END
        try:
            body = json.loads(block.data)
        except ValueError:
            return None, (Malformed("its data is not JSON"),)
        if not isinstance(body, dict):
            return None, (Malformed("its data is JSON but no object"),)
        if not isinstance(body.get("type"), str) and block.event:
            body["type"] = block.event.decode("utf-8", "replace")
        return self._meant(frame, incoming(body))

    def _dataless(self, frame: bytes, block: sse.Block) -> Decoded:
        for name, value in block.unknown:
            report = _bare_error(value if name == b"error" else frame)
            if report is not None:
                return self._failing(frame, report)
        if block.unknown:
            return frame, _OPAQUE
        if block.event is not None or block.id is not None or block.retry is not None:
            return None, _OPAQUE
        if block.comment:
            return (None if self._ids_sent else frame), _HEARTBEAT
        return frame, ()

    def _meant(self, frame: bytes, event: Incoming) -> Decoded:
        reader = self._reader
        if reader.terminal or self.failed:
            return None, _OPAQUE
        kind = event.type if isinstance(event.type, str) else ""
        if kind == "error" or (event.error and not kind.startswith("response.")):
            return self._failing(frame, _reported(event))
        events = reader.read(event)
        last = events[-1] if events else None
        if isinstance(last, ErrorReport):
            return self._failing(frame, last)
        reader.count(event)
        self.marked = self.marked or bool(reader.terminal)
        if self._lead is not None and any(one.token for one in events):
            self._lead(reader.answer)
            self._lead = None
        return frame, tuple(events) if events else _OPAQUE

    def _failing(self, frame: bytes, report: ErrorReport) -> Decoded:
        self.failed = True
        self._reader.at = None
        return frame, (report,)

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a block without its blank line.

        A block that is whole but for the blank line counts and is handed on with it, since clients drop it otherwise
        (E10). Anything else is half a frame and is not handed on (D5).
        """
        if not rest.strip():
            return rest or None, ()
        block = sse.parse(rest)
        report = None if block.data is not None else _bare_error(rest)
        if report is not None:
            return self._failing(rest, report)
        if block.data is None or not (block.data.startswith(b"[DONE]") or _is_json(block.data)):
            return None, (Malformed("the stream ends inside a frame"),)
        bytes_on, events = self.decode(rest)
        return None if bytes_on is None else rest.rstrip(b"\r\n") + b"\n\n", events

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is (wire-formats.md §9.4).

        Complete is what ``response.completed`` or ``response.incomplete`` ended, and nothing else; ``[DONE]`` proves
        nothing, and how the connection ends does not matter any more.
        """
        if self.failed:
            return "the provider reported an error"
        return None if self._reader.terminal else "the stream ended before the answer was finished"

    def ending(self) -> bytes:
        """Nothing: the provider's own frames were all."""
        return b""

    def stop(self, usage: Usage | None = None) -> bytes:
        """The copies of what is open and ``response.completed``, numbered on."""
        return b"" if self._reader.terminal or self.failed else self._reader.answer.stop(usage)

    def oddities(self) -> list[str]:
        """Nothing is tolerated that is not complete."""
        return []

    @property
    def finished(self) -> bool:
        """The terminal event came."""
        return bool(self._reader.terminal)

    @property
    def empty_is_right(self) -> bool:
        """An answer without output is what the provider meant: it says so by its status, its usage or its items."""
        return self._reader.empty_is_right


def _payload(frame: bytes) -> bytes | None:
    """What is very likely the data of a frame of the usual form: ``event: …``, ``data: …``; else None."""
    start = frame.find(b"\n") + 1 if frame.startswith(b"event: ") else 0
    if frame.startswith(b"data: ", start) and frame.find(b"\n", start) == len(frame) - 2:
        return frame[start + 6 : -2]
    return None


def _reported(event: Incoming) -> ErrorReport:
    """The error of an ``error`` event, flat or nested (wire-formats.md §3.6)."""
    flat = {"message": event.message, "code": event.code, "param": event.param}
    nested = error_report({"error": event.error, "code": event.code, "error_type": event.error_type})
    report = nested or error_report({"error": {name: value for name, value in flat.items() if value is not None}})
    return report or ErrorReport("the provider reported an error without a message")


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _bare_error(text: bytes) -> ErrorReport | None:
    """An error written into the stream without a ``data`` field."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return error_report(body) if isinstance(body, dict) else None
