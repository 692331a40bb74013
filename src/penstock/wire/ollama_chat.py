"""ollama-chat, upstream side: lines of a provider to events (wire-formats.md §8.1).

``done: true`` is the end marker and has the counters. The lines of ``/api/generate`` (``response`` in the place of
``message``) mean the same and are read too.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.events import (
    EndMarker,
    Event,
    Finish,
    FinishKind,
    Heartbeat,
    Malformed,
    Media,
    Opaque,
    Reasoning,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.framing.ndjson import undressed
from penstock.plain import mended
from penstock.usage import Usage, count
from penstock.wire import json
from penstock.wire.base import Decoded
from penstock.wire.ollama_errors import error_report


class _Message(msgspec.Struct, gc=False):
    content: Any = None
    thinking: Any = None
    tool_calls: Any = None
    images: Any = None


class _Line(msgspec.Struct, gc=False):
    model: Any = ""
    message: _Message | None = None
    response: Any = None
    thinking: Any = None
    done: Any = False
    done_reason: Any = None
    prompt_eval_count: Any = None
    eval_count: Any = None
    error: Any = None


class _Function(msgspec.Struct, gc=False):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Call(msgspec.Struct, gc=False):
    function: _Function
    id: str = ""


class _Calls(msgspec.Struct, gc=False):
    tool_calls: list[_Call]


class _CallLine(msgspec.Struct, gc=False):
    message: _Calls


_LINE = msgspec.json.Decoder(_Line)
_CALL_LINE = msgspec.json.Decoder(_CallLine)
_HEARTBEAT: tuple[Event, ...] = (Heartbeat(),)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
_KINDS: dict[str, FinishKind] = {"length": "length", "content_filter": "content_filter", "error": "error"}
# The model was loaded or unloaded, as was asked for, or there was no room or no permission for an answer.
_EMPTY_IS_RIGHT = frozenset({"load", "unload", "length", "content_filter"})


class OllamaDecoder:
    """Turns the lines of one answer into events and remembers what completeness needs."""

    alike = None

    def __init__(self) -> None:
        self._started = False
        self._calls = 0
        self._finish: str | None = None
        self._half = False
        """The body ended inside a line."""
        self.marked = False
        """``done: true`` came."""
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""
        self.reported_output = False
        """The provider reported output tokens, seen or not."""

    def decode(self, frame: bytes) -> Decoded:
        """The bytes to hand on (None: nothing) and the events of one line. Mended are, and only are:

        * lines in the dress of server-sent events (G4): the JSON goes on, as a line; comments, other fields and
          ``[DONE]`` do not;
        * blank lines, on which Go's client dies: they are left out;
        * U+0085, U+2028 and U+2029 raw inside strings, where the official Python SDK breaks the line: they are
          escaped.
        """
        try:
            line = _LINE.decode(frame)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self._decode_slowly(frame)
        if not frame.isascii():
            frame = json.one_line(frame)
        text = self._only_text(line)
        return (frame, (text,)) if text is not None else self._meant(frame, frame, line)

    def _only_text(self, line: _Line) -> Text | None:
        """The event of a line that is one delta of text and nothing else, as nearly all are."""
        message = line.message
        if message is None or line.done is not False or not self._started or line.error is not None:
            return None
        content = message.content
        if type(content) is not str or not content or line.done_reason is not None:
            return None
        if message.thinking or message.tool_calls or message.images:
            return None
        return Text(content)

    def _decode_slowly(self, frame: bytes) -> Decoded:
        inner = undressed(frame)
        payload = frame if inner is None else inner
        if not payload.strip():
            return None, _HEARTBEAT
        if payload.startswith(b"[DONE]"):
            return None, _OPAQUE
        frame = json.one_line(frame if inner is None else payload + b"\n")
        try:
            line = json.decode_as(_LINE, _Line, payload)
        except msgspec.ValidationError:
            return self._misfit(frame, payload)
        except ValueError:
            return None, (Malformed("a line is not JSON"),)
        return self._meant(frame, payload, line)

    def _misfit(self, frame: bytes, payload: bytes) -> Decoded:
        body = _value(payload)
        if not isinstance(body, dict):
            return None, (Malformed("a line is JSON but no object"),)
        report = error_report(body)
        if report is None:
            return frame, _OPAQUE
        self.failed = True
        return frame, (report,)

    def _meant(self, frame: bytes, payload: bytes, line: _Line) -> Decoded:
        if line.error:
            report = error_report(_value(payload) or {})
            if report is not None:
                self.failed = True
                return frame, (report,)
        events: list[Event] = []
        if not self._started and line.model:
            self._started = True
            events.append(Start("", _string(line.model)))
        message = line.message or _Message(line.response, line.thinking)
        if message.thinking:
            events.append(Reasoning(_string(message.thinking)))
        if message.content:
            events.append(Text(_string(message.content)))
        if message.images:
            events.append(Media())
        if message.tool_calls:
            events += self._tools(payload, message.tool_calls)
        if line.done or line.done_reason:
            self._over(line, events)
        return frame, tuple(events) if events else _OPAQUE

    def _tools(self, payload: bytes, calls: Any) -> list[Event]:
        """The calls of a line. Each is whole, whatever ``index`` says: some versions give 0 to all of them (F1)."""
        try:
            named = [(call.id, call.function) for call in _CALL_LINE.decode(payload).message.tool_calls]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            named = [_call(call) for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        events: list[Event] = []
        for ident, function in named:
            arguments = bytes(function.arguments).decode("utf-8", "replace")
            if arguments.startswith('"'):
                # Some proxies send JSON text, as other wires have it.
                arguments = _string(json.loads(mended(arguments).encode()))
            if arguments in ("null", ""):
                arguments = "{}"
            events.append(ToolArguments(self._calls, ident, function.name, arguments))
            self._calls += 1
        return events

    def _over(self, line: _Line, events: list[Event]) -> None:
        prompt, output = count(line.prompt_eval_count), count(line.eval_count)
        if prompt is not None or output is not None:
            # A prompt that was in the cache as a whole is not counted: None, not 0.
            events.append(UsageReport(Usage(input=prompt, output=output)))
            self.reported_output = bool(output)
        if self._finish is None:
            self._finish = reason = _string(line.done_reason) or "stop"
            kind = _KINDS.get(reason, "stop")
            events.append(Finish(reason, kind="tool_calls" if kind == "stop" and self._calls else kind))
        if line.done:
            self.marked = True
            events.append(EndMarker())

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a line without its LF.

        A line that is whole JSON counts (E10) and gets its LF. Anything else is half a line and is not handed on (D5).
        """
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
        """Why the answer is not complete at this end of the stream, or None when it is (wire-formats.md §9.4).

        Complete: ``done: true`` came and no error. A ``done_reason`` without it and a clean end are tolerated (D8).
        """
        if self.failed:
            return "the provider reported an error"
        if self.marked:
            return None
        if not self.finished:
            return "the stream ended before the answer was finished"
        return None if clean else "the connection broke before the end marker"

    def ending(self) -> bytes:
        """Nothing: the provider's own lines were all."""
        return b""

    def stop(self, usage: Usage | None = None) -> bytes:
        """Nothing: the session knows all that it takes."""
        return b""

    def oddities(self) -> list[str]:
        """What was tolerated in a complete answer."""
        return [*([] if self.marked else ["no_end_marker"]), *(["half_frame"] if self._half else [])]

    @property
    def finished(self) -> bool:
        """The answer has its finish."""
        return self._finish is not None

    @property
    def empty_is_right(self) -> bool:
        """An answer without output is what the provider meant: it says so by its finish or by its counters."""
        return self.reported_output or self._finish in _EMPTY_IS_RIGHT


def _call(call: dict[str, Any]) -> tuple[str, _Function]:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments")
    text = mended(arguments).encode() if isinstance(arguments, str) else json.dumps(arguments or {})
    return _string(call.get("id")), _Function(_string(function.get("name")), msgspec.Raw(text))


def _value(payload: bytes) -> Any:
    """What a line is as JSON; None for what is nested too deep."""
    try:
        return json.loads(payload)
    except ValueError:
        return None


def _string(value: Any) -> str:
    if value is None:
        return ""
    return value if type(value) is str else str(value)
