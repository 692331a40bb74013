"""cohere-chat (v2), upstream side: frames of a provider to events (wire-formats.md §5.1).

``message-end`` says that the answer is whole, with its finish and its usage. Cohere sends ``[DONE]`` behind it, which
its clients want too: so the answer goes on until that came, or the body has ended. ``tool_plan``, what the model thinks
before it calls tools, is reasoning. An answer has no model's name.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.events import (
    Annotation,
    EndMarker,
    ErrorReport,
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
from penstock.framing import sse
from penstock.usage import Usage, count
from penstock.wire import json
from penstock.wire.base import Decoded
from penstock.wire.cohere_errors import ended_in_error, error_report
from penstock.wire.filling import Likeness


class _Content(msgspec.Struct, gc=False):
    text: str = ""
    thinking: str = ""


class _Message(msgspec.Struct, gc=False):
    content: _Content | None = None
    tool_plan: str = ""


class _Delta(msgspec.Struct, gc=False):
    message: _Message | None = None


class _Event(msgspec.Struct, gc=False):
    type: str
    delta: _Delta | None = None


_EVENT = msgspec.json.Decoder(_Event)
_HEARTBEAT: tuple[Event, ...] = (Heartbeat(),)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
_END: tuple[Event, ...] = (EndMarker(),)
_KINDS: dict[str, FinishKind] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
}
_ERRORS = ("ERROR", "TIMEOUT")


class CohereDecoder:
    """Turns the frames of one answer into events and remembers what completeness needs."""

    alike = Likeness()

    def __init__(self) -> None:
        self._id = ""
        self._finish: str | None = None
        self._open: int | None = None
        """The index of the content that is open."""
        self._calls: dict[Any, int] = {}
        self._without: set[int] = set()
        """Calls that have no arguments yet."""
        self._half = False
        """The body ended inside a frame."""
        self.marked = False
        """``[DONE]`` came."""
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""
        self.reported_output = False
        """The provider reported output tokens, seen or not."""

    def decode(self, frame: bytes) -> Decoded:
        """The bytes to hand on (None: nothing) and the events of one frame. Mended are, and only are:

        * U+0085, U+2028 and U+2029 raw inside strings, where the official Python SDK before 6 breaks the line and loses
          the event: they are escaped;
        * a second ``message-end`` (D10);
        * blocks with ``event``, ``id`` or ``retry`` but no data, and empty data, on which AI SDK dies (E6).
        """
        if not frame.isascii():
            frame = json.one_line(frame)
        at = frame.find(b"\ndata: ")
        if at >= 0:
            try:
                event = _EVENT.decode(frame[at + 7 : -2])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return self._decode_slowly(frame)
            message = event.delta.message if event.delta is not None else None
            if message is not None:
                if event.type == "content-delta" and message.content is not None:
                    content = message.content
                    if content.text and not content.thinking:
                        return frame, (Text(content.text),)
                    if content.thinking and not content.text:
                        return frame, (Reasoning(content.thinking),)
                if event.type == "tool-plan-delta" and message.tool_plan:
                    return frame, (Reasoning(message.tool_plan),)
        return self._decode_slowly(frame)

    def _decode_slowly(self, frame: bytes) -> Decoded:
        block = sse.parse(frame)
        payload = block.data
        if payload is None:
            if block.unknown:
                return frame, _OPAQUE
            if block.event is not None or block.id is not None or block.retry is not None:
                return None, _OPAQUE
            return frame, _HEARTBEAT if block.comment else ()
        if not payload:
            return None, _HEARTBEAT
        if payload.startswith(b"[DONE]"):
            self.marked = True
            return frame, _END
        try:
            body = json.loads(payload)
        except ValueError:
            return None, (Malformed("its data is not JSON"),)
        if not isinstance(body, dict):
            return None, (Malformed("its data is JSON but no object"),)
        name = None if block.event is None else block.event.decode("utf-8", "replace")
        return self._meant(frame, body, body.get("type") or name)

    def _meant(self, frame: bytes, body: dict[str, Any], kind: Any) -> Decoded:
        delta = body.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        if kind == "message-end":
            return self._over(frame, delta)
        if kind is None or kind == "error":
            report = error_report(body) or error_report(delta)
            if report is not None:
                return self._fails(frame, report)
        events: list[Event] = []
        if kind == "message-start":
            self._id = _string(body.get("id"))
            events.append(Start(self._id, ""))
        message = delta.get("message")
        if isinstance(message, dict):
            self._grown(_string(kind), body.get("index"), message, events)
        if kind == "content-end":
            self._open = None
        elif kind == "tool-call-end":
            self._called(body.get("index"), events)
        return frame, tuple(events) if events else _OPAQUE

    def _grown(self, kind: str, index: Any, message: dict[str, Any], events: list[Event]) -> None:
        content = message.get("content")
        if isinstance(content, dict) and kind in ("content-start", "content-delta"):
            self._open = index if type(index) is int else 0
            if content.get("thinking"):
                events.append(Reasoning(_string(content["thinking"])))
            if content.get("text"):
                events.append(Text(_string(content["text"])))
        if kind == "tool-plan-delta" and message.get("tool_plan"):
            events.append(Reasoning(_string(message["tool_plan"])))
        calls = message.get("tool_calls")
        if isinstance(calls, dict) and kind in ("tool-call-start", "tool-call-delta"):
            self._tool(index, calls, events)
        cited = message.get("citations")
        if isinstance(cited, dict) and kind == "citation-start":
            events.append(annotation(cited))

    def _tool(self, index: Any, call: dict[str, Any], events: list[Event]) -> None:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index = index if isinstance(index, int) else 0
        if index not in self._calls:
            self._calls[index] = len(self._calls)
            self._without.add(self._calls[index])
        number = self._calls[index]
        ident, name = _string(call.get("id")), _string(function.get("name"))
        arguments = _string(function.get("arguments"))
        if arguments:
            self._without.discard(number)
        if ident or name or arguments:
            events.append(ToolArguments(number, ident, name, arguments))

    def _called(self, index: Any, events: list[Event]) -> None:
        """A call is over. For other wires its arguments are JSON: Cohere gives none where there are none."""
        number = self._calls.get(index if isinstance(index, int) else 0)
        if number is not None and number in self._without:
            self._without.discard(number)
            events.append(ToolArguments(number, arguments="{}"))

    def _over(self, frame: bytes, delta: dict[str, Any]) -> Decoded:
        reason = _string(delta.get("finish_reason")) or "COMPLETE"
        usage = read_usage(delta.get("usage"))
        events: list[Event] = [] if usage is None else [UsageReport(usage)]
        if reason.startswith(_ERRORS) or delta.get("error"):
            self.failed = True
            # Zeros are there for the clients that die without any: nobody counted.
            told = events if usage is not None and (usage.input or usage.output) else []
            return frame, (*told, ended_in_error(reason, delta))
        if self._finish is not None:
            return None, (Finish(reason, again=True),)
        if reason != "MAX_TOKENS":
            events = [ToolArguments(number, arguments="{}") for number in sorted(self._without)] + events
        self.reported_output = usage is not None and bool(usage.output or usage.reasoning)
        self._finish = reason
        events.append(Finish(reason, kind=_KINDS.get(reason, "stop")))
        return frame, tuple(events)

    def _fails(self, frame: bytes, report: ErrorReport) -> Decoded:
        self.failed = True
        return frame, (report,)

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a block without its blank line.

        A block that is whole but for the blank line counts (E10) and gets it. Anything else is half a frame and is not
        handed on (D5).
        """
        if not rest.strip():
            return rest or None, ()
        data = sse.parse(rest).data
        if data is None:
            report = _bare_error(rest)
            if report is not None:
                return self._fails(rest, report)
            self._half = True
            return None, ()
        if not data.startswith(b"[DONE]"):
            try:
                json.loads(data)
            except ValueError:
                self._half = True
                return None, ()
        return self.decode(rest.rstrip(b"\r\n") + b"\n\n")

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is (wire-formats.md §9.4).

        Complete: ``message-end`` came with a finish that is no error, however the connection ended behind it.
        """
        if self.failed:
            return "the provider reported an error"
        return None if self.finished else "the stream ended before the answer was finished"

    def ending(self) -> bytes:
        """Nothing: the provider's own frames were all."""
        return b""

    def stop(self, usage: Usage | None = None) -> bytes:
        """The content that is open is closed, and the answer with it. A call that is not whole stays open."""
        closing = b"" if self._open is None else event_frame({"type": "content-end", "index": self._open})
        return closing + last_frame(self._id, usage)

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


def last_frame(name: str, usage: Usage | None, reason: str = "COMPLETE") -> bytes:
    """The end of an answer that was stopped."""
    tokens = {"input_tokens": 0, "output_tokens": 0}
    if usage is not None:
        tokens = {
            "input_tokens": (usage.input or 0) + (usage.cache_read or 0),
            "output_tokens": (usage.output or 0) + (usage.reasoning or 0),
        }
    delta = {"finish_reason": reason, "usage": {"billed_units": tokens, "tokens": tokens}}
    return event_frame({"type": "message-end", "id": name, "delta": delta}) + b"data: [DONE]\n\n"


def event_frame(body: dict[str, Any]) -> bytes:
    """An event as the wire has it."""
    kind: str = body["type"]
    return b"event: " + kind.encode() + b"\ndata: " + json.one_line(json.dumps(body)) + b"\n\n"


def annotation(cited: dict[str, Any]) -> Annotation:
    """A citation. Its sources are documents and results of tools; the first that has an address or a title names it."""
    url = title = ""
    sources = cited.get("sources")
    for source in sources if isinstance(sources, list) else ():
        document = source.get("document") if isinstance(source, dict) else None
        if isinstance(document, dict):
            url = url or _string(document.get("url"))
            title = title or _string(document.get("title"))
    start, end = cited.get("start"), cited.get("end")
    return Annotation(
        url=url,
        title=title,
        cited=_string(cited.get("text")),
        start=start if type(start) is int else None,
        end=end if type(end) is int else None,
        native=cited,
    )


def read_usage(raw: Any) -> Usage | None:
    """Usage in canonical kinds (wire-formats.md §9.3), from ``tokens``; from ``billed_units``, which leave out what
    Cohere itself adds, only where there are no others. None when nothing is said.

    What is billed has no place in `Usage` yet: ``billed_input`` and ``billed_output`` would go there.
    """
    if not isinstance(raw, dict):
        return None
    tokens = raw.get("tokens")
    if not isinstance(tokens, dict) or count(tokens.get("input_tokens")) is None:
        tokens = raw.get("billed_units")
    if not isinstance(tokens, dict):
        return None
    prompt, output = count(tokens.get("input_tokens")), count(tokens.get("output_tokens"))
    cached, reasoning = count(raw.get("cached_tokens")), count(tokens.get("reasoning_tokens"))
    if prompt is None and output is None:
        return None
    return Usage(
        input=None if prompt is None else max(0, prompt - (cached or 0)),
        output=None if output is None else max(0, output - (reasoning or 0)),
        reasoning=reasoning,
        cache_read=cached,
    )


def _bare_error(rest: bytes) -> ErrorReport | None:
    """An error written into the stream without a field."""
    try:
        body = json.loads(rest)
    except ValueError:
        return None
    return error_report(body) if isinstance(body, dict) else None


def _string(value: Any) -> str:
    if value is None:
        return ""
    return value if type(value) is str else str(value)
