"""anthropic-messages, upstream side: frames of a provider to events (wire-formats.md §4).

The decoder reads a copy. It hands the frame's own bytes on, except where the bytes would lie to a client or break
one; every such mending is listed at `MessagesDecoder.decode`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.events import (
    EndMarker,
    ErrorReport,
    Event,
    Finish,
    Heartbeat,
    Malformed,
    Opaque,
    Reasoning,
    Start,
    Text,
    UsageReport,
)
from penstock.framing import sse
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.anthropic_blocks import Blocks, finish_kind, last_usage, read_usage
from penstock.wire.anthropic_errors import error_in_text, error_report
from penstock.wire.base import Decoded
from penstock.wire.filling import BLANKS, Likeness


class _Delta(msgspec.Struct, gc=False):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _BlockDelta(msgspec.Struct, gc=False):
    type: str
    index: int
    delta: _Delta


_BLOCK_DELTA = msgspec.json.Decoder(_BlockDelta)
_DELTA_HEAD = b"event: content_block_delta\ndata: "
_HEARTBEAT: tuple[Event, ...] = (Heartbeat(),)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
_END: tuple[Event, ...] = (EndMarker(),)
# Finishes after which an answer without any output is nothing to repair (§4.3, §4.5).
_EMPTY_IS_RIGHT = frozenset({"refusal", "max_tokens", "model_context_window_exceeded", "pause_turn", "compaction"})


class MessagesDecoder:
    """Turns the frames of one answer into events and remembers what completeness needs."""

    alike = Likeness((BLANKS,))

    def __init__(self) -> None:
        self._id: str | None = None
        self._blocks = Blocks()
        self._finish: str | None = None
        self._stop_sequence: str | None = None
        self._usage: dict[str, Any] = {}
        self._placeholder = 0
        self.marked = False
        """The end marker came."""
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""
        self.reported_output = False
        """The provider reported output tokens, seen or not."""

    def decode(self, frame: bytes) -> Decoded:
        """The bytes to hand on (None: nothing) and the events of one frame. Mended are, and only are:

        * frames whose ``event`` is missing or another than their ``type``: official SDKs see nothing in them (§4.2,
          E9), so that the name is put right;
        * ``message_start`` once more with the same id: the TypeScript SDK dies of it (§4.9);
        * a later ``message_delta`` whose ``stop_reason`` is another than the first: the first stays (D10);
        * ``message_start`` and ``message_delta`` without ``usage``, on which the Python SDK dies: zeros, or what was
          said last;
        * blocks with ``event``, ``id`` or ``retry`` but no data, and empty data, on which SDKs die (E6);
        * ``[DONE]``, which is another wire's word.
        """
        if frame.startswith(_DELTA_HEAD) and frame.find(b"\n", len(_DELTA_HEAD)) == len(frame) - 2:
            try:
                message = _BLOCK_DELTA.decode(frame[len(_DELTA_HEAD) : -2])
            except (msgspec.DecodeError, UnicodeDecodeError):
                return self._decode_slowly(frame)
            if message.type == "content_block_delta":
                event = self._plain_delta(message)
                if event is not None:
                    return frame, (event,)
        return self._decode_slowly(frame)

    def _plain_delta(self, message: _BlockDelta) -> Event | None:
        """The event of a delta of text, thinking or tool input, as nearly all frames are; None for the others."""
        delta = message.delta
        kind = delta.type
        if kind == "text_delta":
            return Text(delta.text) if delta.text else None
        if kind == "thinking_delta":
            return Reasoning(delta.thinking) if delta.thinking else None
        if kind == "input_json_delta" and delta.partial_json:
            return self._blocks.arguments(message.index, delta.partial_json)
        return None

    def _decode_slowly(self, frame: bytes) -> Decoded:
        block = sse.parse(frame)
        data = block.data
        if data is None:
            return self._dataless(frame, block)
        name = None if block.event is None else block.event.decode("utf-8", "replace")
        if not data:
            return None, _HEARTBEAT
        if data.startswith(b"[DONE]"):
            return None, _OPAQUE
        try:
            body = json.loads(data)
        except ValueError:
            if name == "error":
                return self._fails(frame, ErrorReport(data[:300].decode("utf-8", "replace"), "api_error", status=500))
            return None, (Malformed("its data is not JSON"),)
        if not isinstance(body, dict):
            return None, (Malformed("its data is JSON but no object"),)
        return self._meant(frame, name, data, body)

    def _meant(self, frame: bytes, name: str | None, data: bytes, body: dict[str, Any]) -> Decoded:
        kind = body.get("type")
        if name == "error" or kind == "error" or (kind is None and body.get("error")):
            report = error_report(body) or error_report({"error": body})
            return self._fails(frame, report or ErrorReport("the provider reported an error", "api_error", status=500))
        kind = name if kind is None else kind
        if not isinstance(kind, str) or kind not in _READERS:
            return frame, _OPAQUE
        return _READERS[kind](self, frame if name == kind else _named(kind, data), body)

    def _fails(self, frame: bytes, report: ErrorReport) -> Decoded:
        self.failed = True
        return frame, (report,)

    def _dataless(self, frame: bytes, block: sse.Block) -> Decoded:
        for name, value in block.unknown:
            report = error_in_text(value if name == b"error" else frame)
            if report is not None:
                return self._fails(frame, report)
        if block.unknown:
            return frame, _OPAQUE
        if block.event is not None or block.id is not None or block.retry is not None:
            return None, _HEARTBEAT if block.event == b"ping" else _OPAQUE
        return frame, _HEARTBEAT if block.comment else ()

    # -- the events of the wire, each by its name -------------------------------------------------------------------

    def _on_ping(self, frame: bytes, body: dict[str, Any]) -> Decoded:
        return frame, _HEARTBEAT

    def _on_message_start(self, frame: bytes, body: dict[str, Any]) -> Decoded:
        message = body.get("message")
        if not isinstance(message, dict):
            return None, (Malformed("a message_start without a message"),)
        name = _string(message.get("id"))
        if self._id is not None:
            if name == self._id:
                return None, _OPAQUE
            words = "the provider's stream holds two answers: a second message_start has another id"
            return self._fails(frame, ErrorReport(words, "api_error"))
        self._id = name
        usage = message.get("usage")
        start = Start(name, _string(message.get("model")))
        if not isinstance(usage, dict):
            message["usage"] = {"input_tokens": 0, "output_tokens": 0}
            return _named("message_start", json.dumps(body)), (start,)
        # Its output_tokens is a placeholder: what a message_delta says is the first report of output (H1).
        self._placeholder = _tokens(usage)
        return frame, (start, self._reported({**usage, "output_tokens": None}))

    def _on_content_block_start(self, frame: bytes, body: dict[str, Any]) -> Decoded:
        content, index = body.get("content_block"), body.get("index")
        if not isinstance(content, dict) or type(index) is not int:
            return None, (Malformed("a content_block_start without a block"),)
        return frame, self._blocks.start(index, content) or _OPAQUE

    def _on_content_block_delta(self, frame: bytes, body: dict[str, Any]) -> Decoded:
        delta, index = body.get("delta"), body.get("index")
        if not isinstance(delta, dict) or type(index) is not int:
            return None, (Malformed("a content_block_delta without a delta"),)
        return frame, self._blocks.delta(index, delta) or _OPAQUE

    def _on_content_block_stop(self, frame: bytes, body: dict[str, Any]) -> Decoded:
        index = body.get("index")
        return frame, (self._blocks.stop(index) if type(index) is int else ()) or _OPAQUE

    def _on_message_delta(self, frame: bytes, body: dict[str, Any]) -> Decoded:
        delta, usage = body.get("delta"), body.get("usage")
        if not isinstance(delta, dict):
            return None, (Malformed("a message_delta without a delta"),)
        events: list[Event] = []
        mended = False
        if isinstance(usage, dict):
            events.append(self._reported(usage))
        else:
            body["usage"], mended = {"output_tokens": self._output_tokens}, True
        reason = delta.get("stop_reason")
        if self._finish is not None:
            if reason != self._finish:
                mended = True
                events.append(Finish(_string(reason), again=True))
                delta["stop_reason"], delta["stop_sequence"] = self._finish, self._stop_sequence
        elif isinstance(reason, str) and reason:
            self._finish = reason
            self._stop_sequence = sequence = _string(delta.get("stop_sequence")) or None
            events.append(Finish(reason, kind=finish_kind(reason), stop_sequence=sequence))
        return _named("message_delta", json.dumps(body)) if mended else frame, tuple(events) or _OPAQUE

    def _on_message_stop(self, frame: bytes, body: dict[str, Any]) -> Decoded:
        self.marked = True
        return frame, _END

    def _reported(self, usage: dict[str, Any]) -> UsageReport:
        """All usage so far: what is said later stands in place of what was said before (H2)."""
        self._usage |= {name: value for name, value in usage.items() if value is not None}
        report = read_usage(self._usage)
        self.reported_output = bool(report.output or report.reasoning)
        return UsageReport(report)

    @property
    def _output_tokens(self) -> int:
        return _tokens(self._usage) or self._placeholder

    # -- the end --------------------------------------------------------------------------------------------------

    @property
    def blocks(self) -> int:
        """How many content blocks the answer has so far."""
        return self._blocks.count

    @property
    def in_block(self) -> bool:
        """One is open."""
        return bool(self._blocks.open)

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a block without its blank line.

        A block that is whole but for the blank line counts (E10) and is handed on with it, without which clients
        would drop it. Anything else is half a frame and is not handed on (D5).
        """
        if not rest.strip():
            return rest or None, ()
        block = sse.parse(rest)
        if block.data is None:
            report = error_in_text(rest)
            if report is not None:
                return self._fails(rest, report)
        if not block.data or not _is_json(block.data):
            return None, (Malformed("the stream ends inside a frame"),)
        bytes_on, events = self.decode(rest)
        return None if bytes_on is None else bytes_on.rstrip(b"\r\n") + b"\n\n", events

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is (wire-formats.md §9.4).

        Complete: a stop reason, and ``message_stop`` or a clean end of the connection, and no error.
        """
        if self.failed:
            return "the provider reported an error"
        if self._finish is None:
            return "the stream ended before the answer was finished"
        return None if self.marked or clean else "the connection broke before message_stop"

    def ending(self) -> bytes:
        """``message_stop``, where the provider finished its answer without: the TypeScript SDK takes it for broken."""
        return b"" if self.marked else _MESSAGE_STOP

    def stop(self, usage: Usage | None = None) -> bytes:
        """The open blocks closed, a finish, the end; empty where no message has begun."""
        if self._id is None or self.marked:
            return b""
        out = b"".join(
            _named("content_block_stop", json.dumps({"type": "content_block_stop", "index": index}))
            for index in self._blocks.open
        )
        if self._finish is None:
            delta = {"stop_reason": "end_turn", "stop_sequence": None}
            tokens = {"output_tokens": self._output_tokens} if usage is None else last_usage(usage)
            body = {"type": "message_delta", "delta": delta, "usage": tokens}
            out += _named("message_delta", json.dumps(body))
        return out + _MESSAGE_STOP

    def oddities(self) -> list[str]:
        """What was tolerated in a complete answer: words for its log line."""
        odd = []
        if self._id is None:
            odd.append("no_message_start")
        if self._blocks.open:
            odd.append("unfinished_block")
        if not self.marked:
            odd.append("no_end_marker")
        return odd

    @property
    def finished(self) -> bool:
        """The answer has its stop reason, and no error came."""
        return self._finish is not None and not self.failed

    @property
    def empty_is_right(self) -> bool:
        """An answer without output is what the provider meant: it says so by its stop reason or by its usage."""
        return self.reported_output or self._finish in _EMPTY_IS_RIGHT


_READERS: dict[str, Callable[[MessagesDecoder, bytes, dict[str, Any]], Decoded]] = {
    "ping": MessagesDecoder._on_ping,
    "message_start": MessagesDecoder._on_message_start,
    "content_block_start": MessagesDecoder._on_content_block_start,
    "content_block_delta": MessagesDecoder._on_content_block_delta,
    "content_block_stop": MessagesDecoder._on_content_block_stop,
    "message_delta": MessagesDecoder._on_message_delta,
    "message_stop": MessagesDecoder._on_message_stop,
}
_MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def _named(kind: str, data: bytes) -> bytes:
    return b"event: " + kind.encode() + b"\n" + b"".join(b"data: " + line + b"\n" for line in data.split(b"\n")) + b"\n"


def _tokens(usage: dict[str, Any]) -> int:
    said = usage.get("output_tokens")
    return said if type(said) is int else 0


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True
