"""openai-chat, upstream side: frames of a provider to events (wire-formats.md §2).

The decoder reads a copy. It hands the frame's own bytes on, except where the bytes would lie to a client or break
one; every such mending is listed at `ChatDecoder.decode`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock.events import (
    EndMarker,
    Event,
    Finish,
    FinishKind,
    Heartbeat,
    Malformed,
    Opaque,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.framing import sse
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Decoded
from penstock.wire.filling import LETTERS, Likeness
from penstock.wire.openai_chat_calls import CallNumbers
from penstock.wire.openai_chat_last import last_chunks, top_of
from penstock.wire.openai_chat_parts import audio_parts, content_parts, string
from penstock.wire.openai_chat_usage import read_usage
from penstock.wire.openai_errors import error_in_field, error_in_text, error_report


class _Delta(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None


class _Choice(msgspec.Struct, gc=False):
    index: Any = 0
    delta: _Delta | None = None
    text: Any = None
    finish_reason: Any = None


class _Chunk(msgspec.Struct, gc=False):
    id: Any = ""
    model: Any = ""
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


_CHUNK = msgspec.json.Decoder(_Chunk)
_ID_LINE = re.compile(rb"(?:(?<=[\r\n])|\A)id(?::[^\r\n]*)?(?:\r\n|\n|\r)")
_HEARTBEAT: tuple[Event, ...] = (Heartbeat(),)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
_END: tuple[Event, ...] = (EndMarker(),)
# Finishes after which an answer without any output is nothing to repair: there was no room or no permission for it.
_EMPTY_IS_RIGHT = frozenset({"length", "content_filter", "max_tokens"})


_KINDS: dict[str, FinishKind] = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "insufficient_system_resource": "error",
}


class ChatDecoder:
    """Turns the frames of one answer into events and remembers what completeness needs.

    ``expose_usage``: the client asked for the usage frame. ``pin_identity``: see `Delivery.pin_identity`.
    """

    alike = Likeness((LETTERS,))

    def __init__(self, *, expose_usage: bool = True, pin_identity: bool = False):
        self._expose_usage = expose_usage
        self._identity: dict[str, Any] | None = {} if pin_identity else None
        self._started = False
        self._seen: set[int] = set()
        self._finishes: dict[int, str] = {}
        self._calls = CallNumbers()
        self._half = False
        self._first = b""
        """The first chunk that names the answer."""
        self._usage_told = False
        self.marked = False
        """The end marker came."""
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""
        self.reported_output = False
        """The provider reported output tokens, seen or not."""

    def decode(self, frame: bytes) -> Decoded:
        """The bytes to hand on (None: nothing) and the events of one frame. Mended are, and only are:

        * the usage frame (``choices: []``), where the client did not ask for usage (F4, H5);
        * a second finish of a choice that contradicts the first or says nothing new (D10);
        * blocks with ``id``, ``retry`` or ``event`` but no data, and empty data, on which SDKs die (E6);
        * ``id`` lines: they number the provider's connection, and after one openai-python takes every comment for
          an event and dies on it (E6); * the chunks' own ids, with ``pin_identity`` (F6).
        """
        payload = sse.payload(frame)
        if payload is not None:
            try:
                chunk = _CHUNK.decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return self._decode_slowly(frame)
            text = self._only_text(chunk)
            return (frame, (text,)) if text is not None else self._meant(frame, payload, chunk)
        return self._decode_slowly(frame)

    def _only_text(self, chunk: _Chunk) -> Text | None:
        """The event of a chunk that is one delta of text and nothing else, as nearly all are."""
        choices = chunk.choices
        if not choices or len(choices) > 1 or chunk.usage is not None or chunk.error or chunk.x_groq is not None:
            return None
        choice = choices[0]
        delta, index = choice.delta, choice.index
        if delta is None or choice.finish_reason or not self._started or self._identity is not None:
            return None
        text = delta.content
        if (
            type(text) is not str
            or not text
            or type(index) is not int
            or index not in self._seen
            or delta != _Delta(text)
        ):
            return None
        return Text(text, index)

    def _decode_slowly(self, frame: bytes) -> Decoded:
        block = sse.parse(frame)
        if block.data is None:
            return self._dataless(frame, block)
        payload = block.data
        if block.id is not None:
            frame = _ID_LINE.sub(b"", frame)
        if not payload:
            return None, _HEARTBEAT
        if payload.startswith(b"[DONE]"):
            self.marked = True
            return frame, _END
        try:
            chunk = json.decode_as(_CHUNK, _Chunk, payload)
        except msgspec.ValidationError:
            return self._misfit(frame, payload)
        except ValueError:
            return None, (Malformed("its data is not JSON"),)
        return self._meant(frame, payload, chunk)

    def _meant(self, frame: bytes, payload: bytes, chunk: _Chunk) -> Decoded:
        if chunk.error or chunk.x_groq is not None:
            report = error_report(json.loads(payload))
            if report is not None:
                self.failed = True
                return frame, (report,)
        return self._chunk(frame, payload, chunk)

    def _dataless(self, frame: bytes, block: sse.Block) -> Decoded:
        for name, value in block.unknown:
            report = error_in_field(value) if name == b"error" else error_in_text(frame)
            if report is not None:
                self.failed = True
                return frame, (report,)
        if block.unknown:
            return frame, _OPAQUE
        if block.event is not None or block.id is not None or block.retry is not None:
            return None, _OPAQUE
        if block.comment:
            return frame, _HEARTBEAT
        return frame, ()

    def _misfit(self, frame: bytes, payload: bytes) -> Decoded:
        try:
            body = json.loads(payload)
        except ValueError:
            return None, (Malformed("its data is not JSON"),)
        if not isinstance(body, dict):
            return None, (Malformed("its data is JSON but no object"),)
        report = error_report(body)
        if report is None:
            return frame, _OPAQUE
        self.failed = True
        return frame, (report,)

    def _chunk(self, frame: bytes, payload: bytes, chunk: _Chunk) -> Decoded:
        events: list[Event] = []
        bytes_on: bytes | None = frame
        if not self._started and (chunk.id or chunk.model):
            self._started, self._first = True, payload
            events.append(Start(string(chunk.id), string(chunk.model)))
        choices = chunk.choices
        if choices:
            for choice in choices:
                self._choice(choice, events)
        if chunk.usage is not None or chunk.x_groq is not None:
            bytes_on = self._usage(frame, chunk, events)
        if len(self._finishes) and any(type(event) is Finish and event.again for event in events):
            bytes_on = self._without_repeated_finish(frame, payload, events)
        if self._identity is not None and bytes_on is not None:
            bytes_on = self._pinned(bytes_on)
        return bytes_on, tuple(events) if events else _OPAQUE

    def _choice(self, choice: _Choice, events: list[Event]) -> None:
        before = len(events)
        index = choice.index if type(choice.index) is int else 0
        delta = choice.delta
        if delta is not None:
            content = delta.content
            if content:
                if type(content) is str:
                    events.append(Text(content, index))
                else:
                    content_parts(content, index, events)
            reasoning = delta.reasoning_content or delta.reasoning
            if reasoning:
                events.append(Reasoning(string(reasoning), index))
            if delta.refusal:
                events.append(Refusal(string(delta.refusal), index))
            if delta.tool_calls or delta.function_call:
                self._tools(delta, index, events)
            if delta.audio:
                audio_parts(delta.audio, index, events)
        elif choice.text:
            events.append(Text(string(choice.text), index))
        if len(events) > before:
            self._seen.add(index)
        if choice.finish_reason:
            self._finish(index, string(choice.finish_reason), delta, events)

    def _finish(self, index: int, reason: str, delta: _Delta | None, events: list[Event]) -> None:
        first = self._finishes.get(index)
        if first is None:
            self._finishes[index] = reason
            self._seen.add(index)
            events.append(Finish(reason, index, kind=_KINDS.get(reason, "stop")))
        elif first != reason or delta == _Delta():
            events.append(Finish(reason, index, again=True))

    def _tools(self, delta: _Delta, index: int, events: list[Event]) -> None:
        for call in delta.tool_calls if isinstance(delta.tool_calls, list) else ():
            if not isinstance(call, dict):
                continue
            function = call.get("function")
            function = function if isinstance(function, dict) else {}
            number = self._calls.number(index, call)
            name, arguments = function.get("name"), function.get("arguments")
            if call.get("id") or name or arguments:
                fragment = (
                    arguments
                    if isinstance(arguments, str)
                    else ""
                    if arguments is None
                    else json.dumps(arguments).decode()
                )
                events.append(ToolArguments(number, string(call.get("id")), string(name), fragment, index))
        legacy = delta.function_call
        if isinstance(legacy, dict) and (legacy.get("name") or legacy.get("arguments")):
            events.append(ToolArguments(0, "", string(legacy.get("name")), string(legacy.get("arguments")), index))

    def _usage(self, frame: bytes, chunk: _Chunk, events: list[Event]) -> bytes | None:
        raw = chunk.usage
        if not isinstance(raw, dict) and isinstance(chunk.x_groq, dict):
            raw = chunk.x_groq.get("usage")
        if not isinstance(raw, dict):
            return frame
        usage = read_usage(raw)
        alone = not chunk.choices
        events.append(UsageReport(usage, alone))
        if usage.output or usage.reasoning:
            self.reported_output = True
        if alone and not self._expose_usage:
            return None
        self._usage_told = self._usage_told or alone
        return frame

    def _without_repeated_finish(self, frame: bytes, payload: bytes, events: list[Event]) -> bytes | None:
        again = {event.choice for event in events if type(event) is Finish and event.again}
        if all(type(event) is Finish for event in events):
            return None
        body = json.loads(payload)
        for choice in body["choices"]:
            index = choice.get("index")
            if (index if type(index) is int else 0) in again:
                choice["finish_reason"] = None
        return b"data: " + json.dumps(body) + b"\n\n"

    def _pinned(self, frame: bytes) -> bytes:
        identity = self._identity
        data = sse.parse(frame).data
        if identity is None or not data:
            return frame
        body = json.loads(data)
        changed = False
        for name in ("id", "created", "model"):
            if body.get(name):
                first = identity.setdefault(name, body[name])
                changed = changed or body[name] != first
                body[name] = first
        return b"data: " + json.dumps(body) + b"\n\n" if changed else frame

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a block without its blank line.

        A block that is whole but for the blank line counts (E10) and is handed on; where it is output, with the
        blank line, without which clients would drop it. Anything else is half a frame and is not handed on (D5).
        """
        if not rest.strip():
            return rest or None, ()
        block = sse.parse(rest)
        report = None if block.data is not None else error_in_text(rest)
        if report is not None:
            self.failed = True
            return rest, (report,)
        if block.data is None or not (block.data.startswith(b"[DONE]") or _is_json(block.data)):
            self._half = True
            return None, ()
        bytes_on, events = self.decode(rest)
        if bytes_on is None or events == _END:
            return bytes_on, events
        return rest.rstrip(b"\r\n") + b"\n\n", events

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is (wire-formats.md §9.4).

        Complete: the end marker came and no error; or every choice seen has finished and the connection ended
        cleanly. The marker alone is enough: some dialects never name a finish, or one for several choices.
        """
        if self.failed:
            return "the provider reported an error"
        if self.marked:
            return None
        if not self.finished:
            return "the stream ended before the answer was finished"
        return None if clean else "the connection broke before the end marker"

    def ending(self) -> bytes:
        """Nothing: the provider's own frames were all."""
        return b""

    def stop(self, usage: Usage | None = None) -> bytes:
        """A finish for every choice that has none, the usage where the client is to see it; empty where no chunk has
        named the answer."""
        if not self._first:
            return b""
        told = usage if self._expose_usage and not self._usage_told else None
        return last_chunks(top_of(self._first), sorted(self._seen - self._finishes.keys()), told)

    def oddities(self) -> list[str]:
        """What was tolerated in a complete answer: words for its log line."""
        odd = []
        if not self.marked:
            odd.append("no_end_marker")
        if not self.finished:
            odd.append("unfinished_choice")
        if self._half:
            odd.append("half_frame")
        return odd

    @property
    def finished(self) -> bool:
        """Every choice seen has its finish."""
        return bool(self._finishes) and self._seen <= self._finishes.keys()

    @property
    def empty_is_right(self) -> bool:
        """An answer without output is what the provider meant: it says so by its finish or by its usage."""
        return self.reported_output or any(reason in _EMPTY_IS_RIGHT for reason in self._finishes.values())


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True
