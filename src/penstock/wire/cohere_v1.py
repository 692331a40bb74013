"""cohere-v1, upstream only: lines of a provider to events (wire-formats.md §5.2).

Lines of JSON, or the same objects as server-sent events. ``stream-end`` is the terminal; the text and the tool calls
that it repeats are a snapshot and never output (G7). What stands beside tool calls as ``text`` is the model's plan:
reasoning.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.events import (
    Annotation,
    EndMarker,
    Event,
    Finish,
    FinishKind,
    Heartbeat,
    Malformed,
    Opaque,
    Reasoning,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.framing.ndjson import undressed
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Decoded
from penstock.wire.cohere_chat import read_usage
from penstock.wire.cohere_errors import ended_in_error, error_report


class _Text(msgspec.Struct, gc=False):
    event_type: str = ""
    text: str = ""


_TEXT = msgspec.json.Decoder(_Text)
_HEARTBEAT: tuple[Event, ...] = (Heartbeat(),)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
_KINDS: dict[str, FinishKind] = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop_sequence", "MAX_TOKENS": "length"}
_ERRORS = ("ERROR", "TIMEOUT", "USER_CANCEL")


class CohereV1Decoder:
    """Turns the lines of one answer into events and remembers what completeness needs. No client speaks this wire, so
    that the lines themselves go nowhere."""

    alike = None

    def __init__(self) -> None:
        self._calls: dict[Any, int] = {}
        self._argued: set[int] = set()
        """Calls that have arguments."""
        self._finish: str | None = None
        self._half = False
        """The body ended inside a line."""
        self.marked = False
        """``stream-end`` came."""
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""
        self.reported_output = False
        """The provider reported output tokens, seen or not."""

    def decode(self, frame: bytes) -> Decoded:
        """The line and the events of it."""
        try:
            line = _TEXT.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decode_slowly(frame)
        if line.event_type == "text-generation" and line.text:
            return frame, (Text(line.text),)
        return self._decode_slowly(frame)

    def _decode_slowly(self, frame: bytes) -> Decoded:
        inner = undressed(frame)
        payload = frame if inner is None else inner
        if not payload.strip():
            return frame, _HEARTBEAT
        if payload.startswith(b"[DONE]"):
            return frame, _OPAQUE
        try:
            body = json.loads(payload)
        except ValueError:
            return None, (Malformed("a line is not JSON"),)
        if not isinstance(body, dict):
            return None, (Malformed("a line is JSON but no object"),)
        return frame, self._meant(body)

    def _meant(self, body: dict[str, Any]) -> tuple[Event, ...]:
        kind = body.get("event_type")
        if kind is None and is_answer(body):
            return tuple(event for line in _lines_of_answer(body) for event in self._meant(line))
        if kind is None:
            report = error_report(body)
            self.failed = self.failed or report is not None
            return _OPAQUE if report is None else (report,)
        if kind == "stream-end":
            return self._over(body)
        events: list[Event] = []
        if kind == "stream-start":
            events.append(Start(_string(body.get("generation_id")), ""))
        elif kind == "text-generation" and body.get("text"):
            events.append(Text(_string(body["text"])))
        elif kind == "tool-calls-chunk":
            self._chunk(body, events)
        elif kind == "tool-calls-generation":
            self._generation(body, events)
        elif kind == "citation-generation":
            cited = body.get("citations")
            events += [_annotation(one) for one in cited if isinstance(one, dict)] if isinstance(cited, list) else []
        return tuple(events) if events else _OPAQUE

    def _chunk(self, body: dict[str, Any], events: list[Event]) -> None:
        if body.get("text"):
            events.append(Reasoning(_string(body["text"])))
        delta = body.get("tool_call_delta")
        if not isinstance(delta, dict):
            return
        index = delta.get("index")
        number = self._calls.setdefault(index if isinstance(index, int) else 0, len(self._calls))
        name, arguments = _string(delta.get("name")), _string(delta.get("parameters"))
        if arguments:
            self._argued.add(number)
        if name or arguments:
            events.append(ToolArguments(number, "", name, arguments))

    def _generation(self, body: dict[str, Any], events: list[Event]) -> None:
        """The calls as a whole: a snapshot of the chunks before it, or, from models that send none, the calls."""
        calls = body.get("tool_calls")
        calls = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        if self._calls:
            unsaid = [number for number in self._calls.values() if number not in self._argued]
            events += [ToolArguments(number, arguments="{}") for number in unsaid]
            return
        if body.get("text"):
            events.append(Reasoning(_string(body["text"])))
        for number, call in enumerate(calls):
            self._calls[number] = number
            arguments = json.dumps(call.get("parameters") or {}).decode()
            events.append(ToolArguments(number, "", _string(call.get("name")), arguments))

    def _over(self, body: dict[str, Any]) -> tuple[Event, ...]:
        response = body.get("response")
        response = response if isinstance(response, dict) else {}
        reason = _string(body.get("finish_reason") or response.get("finish_reason")) or "COMPLETE"
        usage = _usage(response)
        events: list[Event] = [] if usage is None else [UsageReport(usage)]
        if reason.startswith(_ERRORS):
            self.failed = True
            return (*events, ended_in_error(reason, {"error": body.get("error") or _words(response)}))
        self._finish = reason
        self.marked = True
        self.reported_output = usage is not None and bool(usage.output)
        kind = _KINDS.get(reason, "stop")
        events.append(Finish(reason, kind="tool_calls" if kind == "stop" and self._calls else kind))
        return (*events, EndMarker())

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a line without its LF: it counts if it is whole (E10)."""
        if not rest.strip():
            return None, ()
        payload = undressed(rest)
        try:
            json.loads(rest if payload is None else payload or b"null")
        except ValueError:
            self._half = True
            return None, ()
        return self.decode(rest + b"\n")

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is: ``stream-end`` came."""
        if self.failed:
            return "the provider reported an error"
        return None if self.marked else "the stream ended before the answer was finished"

    def ending(self) -> bytes:
        """Nothing."""
        return b""

    def stop(self, usage: Usage | None = None) -> bytes:
        """Nothing."""
        return b""

    def oddities(self) -> list[str]:
        """What was tolerated in a complete answer."""
        return ["half_frame"] if self._half else []

    @property
    def finished(self) -> bool:
        """The answer has its finish."""
        return self._finish is not None

    @property
    def empty_is_right(self) -> bool:
        """An answer without output is what the provider meant: it says so by its finish or by its usage."""
        return self.reported_output or self._finish == "MAX_TOKENS"


def is_answer(body: dict[str, Any]) -> bool:
    """An object is no event, but a whole answer, as a provider gives it that does not stream."""
    return "event_type" not in body and isinstance(body.get("text"), str)


def _lines_of_answer(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events that a whole answer would have been."""
    lines: list[dict[str, Any]] = [{"event_type": "stream-start", "generation_id": body.get("generation_id")}]
    if body.get("tool_calls"):
        lines.append({"event_type": "tool-calls-generation", "tool_calls": body["tool_calls"]})
    if body["text"]:
        lines.append({"event_type": "text-generation", "text": body["text"]})
    if body.get("citations"):
        lines.append({"event_type": "citation-generation", "citations": body["citations"]})
    reason = body.get("finish_reason") or "COMPLETE"
    return [*lines, {"event_type": "stream-end", "finish_reason": reason, "response": body}]


def _usage(response: dict[str, Any]) -> Usage | None:
    """In ``meta``; before there were its ``tokens``, which are not those that are billed, in ``token_count``."""
    meta, old = response.get("meta"), response.get("token_count")
    meta = meta if isinstance(meta, dict) else {}
    if isinstance(old, dict) and not meta.get("tokens"):
        meta = {"tokens": {"input_tokens": old.get("prompt_tokens"), "output_tokens": old.get("response_tokens")}}
    return read_usage(meta)


def _words(response: dict[str, Any]) -> str:
    """What an error says of itself; the text of the answer is not it."""
    return _string(response.get("message") or response.get("error"))


def _annotation(cited: dict[str, Any]) -> Annotation:
    start, end = cited.get("start"), cited.get("end")
    return Annotation(
        cited=_string(cited.get("text")),
        start=start if type(start) is int else None,
        end=end if type(end) is int else None,
        native=cited,
    )


def _string(value: Any) -> str:
    if value is None:
        return ""
    return value if type(value) is str else str(value)
