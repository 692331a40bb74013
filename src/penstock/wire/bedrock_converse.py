"""bedrock-converse, upstream side: frames of ConverseStream to events (wire-formats.md §7.2).

No client speaks this wire, so that nothing is mended: `ConverseDecoder.decode` hands every frame on as it is. The
padding ``p`` that the provider puts into its payloads means nothing.
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
    Malformed,
    Opaque,
    Reasoning,
    Start,
    Text,
    UsageReport,
)
from penstock.framing import eventstream
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Decoded
from penstock.wire.bedrock_blocks import Blocks, finish_kind, is_known, read_usage
from penstock.wire.bedrock_errors import in_headers


class _ToolUse(msgspec.Struct, gc=False):
    input: str


class _Thought(msgspec.Struct, gc=False):
    text: str | None = None
    signature: msgspec.Raw | None = None
    redactedContent: msgspec.Raw | None = None


class _Delta(msgspec.Struct, gc=False):
    text: str | None = None
    toolUse: _ToolUse | None = None
    reasoningContent: _Thought | None = None


class _BlockDelta(msgspec.Struct, gc=False):
    contentBlockIndex: int
    delta: _Delta


_BLOCK_DELTA = msgspec.json.Decoder(_BlockDelta)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
# Finishes after which an answer without any output is nothing to repair.
_EMPTY_IS_RIGHT = frozenset({"max_tokens", "model_context_window_exceeded", "guardrail_intervened", "content_filtered"})


class ConverseDecoder:
    """Turns the frames of one answer into events and remembers what completeness needs."""

    alike = None

    def __init__(self) -> None:
        self._blocks = Blocks()
        self._finish: str | None = None
        self._metadata = False
        self._torn = False
        self._unclosed = self._broken = False
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""
        self.reported_output = False
        """The provider reported output tokens, seen or not."""

    @property
    def marked(self) -> bool:
        """``messageStop`` and ``metadata`` came, which are the last frames."""
        return self._finish is not None and self._metadata

    def decode(self, frame: bytes) -> Decoded:
        """The frame itself, and the events of it."""
        try:
            headers, payload = eventstream.open_frame(frame)
        except ValueError as error:
            return self._fails(frame, ErrorReport(f"a frame of the provider's stream is corrupt: {error}"))
        report = in_headers(headers, payload)
        if report is not None:
            return self._fails(frame, report)
        name = eventstream.text(headers, ":event-type")
        if name == "contentBlockDelta":
            event = self._plain_delta(payload)
            if event is not None:
                return frame, (event,)
        reader = _READERS.get(name or "")
        if reader is None:
            return frame, _OPAQUE
        try:
            body = json.loads(payload)
        except ValueError:
            return frame, (Malformed("its payload is not JSON"),)
        if not isinstance(body, dict):
            return frame, (Malformed("its payload is JSON but no object"),)
        return frame, reader(self, body) or _OPAQUE

    def _plain_delta(self, payload: bytes) -> Event | None:
        """The event of a delta of text, reasoning or tool input, as nearly all frames are; None for the others."""
        try:
            message = _BLOCK_DELTA.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        delta = message.delta
        if delta.text:
            return Text(delta.text)
        if delta.toolUse is not None:
            fragment = delta.toolUse.input
            return self._blocks.arguments(message.contentBlockIndex, fragment) if fragment else None
        thought = delta.reasoningContent
        if thought is not None and thought.text and thought.signature is None and thought.redactedContent is None:
            return Reasoning(thought.text)
        return None

    def _fails(self, frame: bytes, report: ErrorReport) -> Decoded:
        self.failed = True
        return frame, (report,)

    # -- the events of the wire, each by its name -------------------------------------------------------------------

    def _on_message_start(self, body: dict[str, Any]) -> tuple[Event, ...]:
        # It names neither the answer nor its model.
        return (Start("", ""),)

    def _on_block_start(self, body: dict[str, Any]) -> tuple[Event, ...]:
        start, index = body.get("start"), body.get("contentBlockIndex")
        if not isinstance(start, dict) or type(index) is not int:
            return (Malformed("a contentBlockStart without a start"),)
        return self._blocks.start(index, start)

    def _on_block_delta(self, body: dict[str, Any]) -> tuple[Event, ...]:
        delta, index = body.get("delta"), body.get("contentBlockIndex")
        if not isinstance(delta, dict) or type(index) is not int:
            return (Malformed("a contentBlockDelta without a delta"),)
        return self._blocks.delta(index, delta)

    def _on_block_stop(self, body: dict[str, Any]) -> tuple[Event, ...]:
        index = body.get("contentBlockIndex")
        return self._blocks.stop(index) if type(index) is int else ()

    def _on_message_stop(self, body: dict[str, Any]) -> tuple[Event, ...]:
        reason = body.get("stopReason")
        if not isinstance(reason, str) or not reason:
            return (Malformed("a messageStop without a stopReason"),)
        if self._finish is not None:
            return (Finish(reason, again=True),)
        self._finish = reason
        self._unclosed = bool(self._blocks.open)
        sealed = self._blocks.stop_all()
        if finish_kind(reason) == "error":
            self._broken = True
            return sealed + (self._verdict() if self._metadata else ())
        finish = Finish(reason, kind=finish_kind(reason), stop_sequence=_stop_sequence(body))
        return (*sealed, finish, *(self._verdict() if self._metadata else ()))

    def _verdict(self) -> tuple[Event, ...]:
        """What the end of the frames means. An answer that the provider itself calls malformed is none: that is said
        only now, behind the usage."""
        if not self._broken:
            return (EndMarker(),)
        self.failed = True
        words = f"the model's answer is malformed: the provider ended it with {self._finish}"
        return (ErrorReport(words, self._finish or "", self._finish),)

    def _on_metadata(self, body: dict[str, Any]) -> tuple[Event, ...]:
        usage = body.get("usage")
        events: list[Event] = []
        if isinstance(usage, dict):
            report = read_usage(usage)
            self.reported_output = bool(report.output)
            events.append(UsageReport(report))
        self._metadata = True
        return (*events, *self._verdict()) if self.marked else tuple(events)

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a frame that was not finished: nothing in it can be told
        from noise without its checksum."""
        self._torn = bool(rest)
        if self._broken and not self._metadata:
            return None, self._verdict()
        return None, (Malformed("the stream ends inside a frame"),) if rest else ()

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is (wire-formats.md §9.4).

        Complete: ``messageStop`` and ``metadata`` and no error; or ``messageStop`` and a clean end of the connection
        between two frames.
        """
        if self.failed:
            return "the provider reported an error"
        if self._finish is None:
            return "the stream ended before the answer was finished"
        if self.marked:
            return None
        if self._torn:
            return "the stream ended inside a frame"
        return None if clean else "the connection broke before the metadata"

    def ending(self) -> bytes:
        """Nothing: the provider's own frames were all."""
        return b""

    def stop(self, usage: Usage | None = None) -> bytes:
        """Nothing: no client speaks this wire."""
        return b""

    def oddities(self) -> list[str]:
        """What was tolerated in a complete answer: words for its log line."""
        odd = []
        if self._unclosed:
            odd.append("unfinished_block")
        if self._finish is not None and not is_known(self._finish):
            odd.append("unknown_finish")
        if not self._metadata:
            odd.append("no_metadata")
        return odd

    @property
    def finished(self) -> bool:
        """The answer has its stop reason, and no error came."""
        return self._finish is not None and not self.failed and not self._broken

    @property
    def empty_is_right(self) -> bool:
        """An answer without output is what the provider meant: it says so by its stop reason or by its usage."""
        return self.reported_output or self._finish in _EMPTY_IS_RIGHT


_READERS: dict[str, Callable[[ConverseDecoder, dict[str, Any]], tuple[Event, ...]]] = {
    "messageStart": ConverseDecoder._on_message_start,
    "contentBlockStart": ConverseDecoder._on_block_start,
    "contentBlockDelta": ConverseDecoder._on_block_delta,
    "contentBlockStop": ConverseDecoder._on_block_stop,
    "messageStop": ConverseDecoder._on_message_stop,
    "metadata": ConverseDecoder._on_metadata,
}


def _stop_sequence(body: dict[str, Any]) -> str | None:
    """Which sequence stopped the answer, where it was asked for (``additionalModelResponseFieldPaths``)."""
    fields = body.get("additionalModelResponseFields")
    said = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return said if isinstance(said, str) and said else None
