"""tgi, upstream only: Hugging Face's ``/generate_stream`` (wire-formats.md §8.2).

Plain text in, plain text out. A ``generated_text`` that is not null is the terminal; the text that it repeats is a
snapshot and never output (G7), and special tokens are no text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.events import (
    EndMarker,
    ErrorReport,
    Event,
    Finish,
    FinishKind,
    Heartbeat,
    Malformed,
    Opaque,
    Text,
    UsageReport,
)
from penstock.framing import sse
from penstock.framing.sse import SSEFramer
from penstock.request import StreamRequest
from penstock.usage import Usage, count
from penstock.wire import json, sniff
from penstock.wire.base import Body, ClientSession, Decoded, Decoder, Framer, View
from penstock.wire.conversation import Conversation, TextPart


class _Token(msgspec.Struct, gc=False):
    text: str = ""
    special: bool = False


class _Event(msgspec.Struct, gc=False):
    token: _Token | None = None
    generated_text: Any = None
    details: Any = None
    error: Any = None


_EVENT = msgspec.json.Decoder(_Event)
_HEARTBEAT: tuple[Event, ...] = (Heartbeat(),)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
_KINDS: dict[str, FinishKind] = {"length": "length", "stop_sequence": "stop_sequence"}
_STATUS = {
    "overloaded": 429,
    "validation": 422,
    "template_error": 422,
    "missing_template_variable": 422,
    "tool_error": 422,
    "generation": 424,
    "incomplete_generation": 500,
    "incomplete_generation_stream": 500,
}


class TGIDecoder:
    """Turns the frames of one answer into events and remembers what completeness needs. No client speaks this wire, so
    that the frames themselves go nowhere."""

    alike = None

    def __init__(self) -> None:
        self._finish: str | None = None
        self._half = False
        """The body ended inside a frame."""
        self.marked = False
        """A ``generated_text`` came."""
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""
        self.reported_output = False
        """The provider reported output tokens, seen or not."""

    def decode(self, frame: bytes) -> Decoded:
        """The frame and the events of it. Both ``data: {`` and ``data:{`` are usual."""
        if frame.startswith(b"data:"):
            try:
                return self._meant(frame, frame[5:-2], _EVENT.decode(frame[5:-2]))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        return self._decode_slowly(frame)

    def _decode_slowly(self, frame: bytes) -> Decoded:
        payload = sse.parse(frame).data
        if not payload:
            return frame, _HEARTBEAT
        if payload.startswith(b"[DONE]"):
            return frame, _OPAQUE
        try:
            event = json.decode_as(_EVENT, _Event, payload)
        except msgspec.ValidationError:
            report = error_report(payload)
            self.failed = self.failed or report is not None
            return frame, _OPAQUE if report is None else (report,)
        except ValueError:
            return None, (Malformed("its data is not JSON"),)
        return self._meant(frame, payload, event)

    def _meant(self, frame: bytes, payload: bytes, event: _Event) -> Decoded:
        if event.error:
            report = error_report(payload)
            if report is not None:
                self.failed = True
                return frame, (report,)
        token = event.token
        events: list[Event] = []
        if token is not None and token.text and not token.special:
            events.append(Text(token.text))
        if event.generated_text is not None:
            self._over(event.details, events)
        return frame, tuple(events) if events else _OPAQUE

    def _over(self, details: Any, events: list[Event]) -> None:
        details = details if isinstance(details, dict) else {}
        usage = Usage(input=count(details.get("input_length")), output=count(details.get("generated_tokens")))
        if usage != Usage():
            events.append(UsageReport(usage))
            self.reported_output = bool(usage.output)
        reason = details.get("finish_reason")
        self._finish = reason if isinstance(reason, str) and reason else "stop"
        self.marked = True
        events += (Finish(self._finish, kind=_KINDS.get(self._finish, "stop")), EndMarker())

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes of a block without its blank line: whole ones count."""
        if not rest.strip():
            return None, ()
        data = sse.parse(rest).data
        try:
            json.loads(rest if data is None else data)
        except ValueError:
            self._half = True
            return None, ()
        report = error_report(rest) if data is None else None
        if report is not None:
            self.failed = True
            return rest, (report,)
        return self.decode(rest.rstrip(b"\r\n") + b"\n\n")

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is: ``generated_text`` came."""
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
        return self.reported_output or self._finish == "length"


def error_report(body: bytes) -> ErrorReport | None:
    """The error that ``{"error": "text", "error_type": …}`` reports, or None. Hugging Face's own host has lists of
    texts, and says for how long a model will still be loading."""
    try:
        value = json.loads(body)
    except ValueError:
        return None
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    if isinstance(error, list):
        error = "; ".join(str(one) for one in error)
    if not error:
        return None
    kind = value.get("error_type")
    kind = kind if isinstance(kind, str) and kind else None
    status = 503 if "estimated_time" in value else _STATUS.get(kind or "", 502)
    more = {name: field for name, field in value.items() if name not in ("error", "error_type")}
    return ErrorReport(str(error), type=kind or "server_error", code=kind, status=status, fields=more or None)


# -- the wire ---------------------------------------------------------------------------------------------------------

_WIRE = "tgi"
_PARAMETERS = {
    "max_tokens": "max_new_tokens",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
}


class TGIUpstream:
    """See `base.UpstreamWire`."""

    name = _WIRE
    passed_headers: frozenset[bytes] = frozenset()

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """A bearer token."""
        return [("authorization", f"Bearer {api_key}")]

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """An event stream is what is wanted."""
        return [("content-type", "application/json"), ("accept", "text/event-stream")]

    def path(self, request: StreamRequest, model: str) -> str:
        """The base URL is the bare host, of one model."""
        return "/generate_stream"

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """Never asked for: no client speaks this wire."""
        fields = {name: json.loads(bytes(raw)) for name, raw in request.body.items()}
        return json.dumps({**fields, "stream": True})

    def translate(self, conversation: Conversation, model: str, *, ask_usage: bool) -> bytes:
        """A body written anew."""
        return request_body(conversation, model)

    def framer(self, limit: int) -> Framer:
        """Server-sent events."""
        return SSEFramer(limit)

    def sniff(self, start: bytes, content_type: bytes) -> Body:
        """By the first characters."""
        return sniff.event_stream(start, content_type)

    def decoder(self, view: View, session: ClientSession | None) -> Decoder:
        """A `TGIDecoder`."""
        return TGIDecoder()

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """What ``/generate`` answers: an object, or a list of one."""
        report = error_report(body)
        if report is not None:
            return report
        try:
            value = json.loads(body)
        except ValueError:
            return None
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if not isinstance(value, dict) or not isinstance(value.get("generated_text"), str):
            return None
        token = {"text": value["generated_text"], "special": False}
        return [b"data: " + json.dumps({"details": None, **value, "token": token}) + b"\n\n"]

    def error(self, body: bytes) -> ErrorReport | None:
        """``{"error": "text"}``."""
        return error_report(body)


def request_body(conversation: Conversation, model: str) -> bytes:
    """A streaming request: the system's words and one turn of the user, with a blank line between, are the ``inputs``.
    This wire has neither roles nor tools, so that everything else is refused: for conversations there is TGI's own
    ``/v1``, which is openai-chat. ``model`` says nothing to TGI, which serves one, but to proxies before it."""
    conversation.only(_WIRE, "stop", "temperature", "format", "user", *_PARAMETERS)
    turns = conversation.messages
    if len(turns) != 1 or turns[0].role != "user" or not all(isinstance(part, TextPart) for part in turns[0].parts):
        raise conversation.refuse("messages", f"{_WIRE} (one text of the user; use TGI's /v1 for conversations)")
    texts = [*conversation.system, "".join(part.text for part in turns[0].parts if isinstance(part, TextPart))]
    parameters: dict[str, Any] = {"details": True, "return_full_text": False}
    for field, name in _PARAMETERS.items():
        if getattr(conversation, field) is not None:
            parameters[name] = getattr(conversation, field)
    if conversation.temperature:
        parameters["temperature"] = conversation.temperature
    if conversation.temperature is not None:
        # A temperature of 0 is none here, but the choice of the likeliest token.
        parameters["do_sample"] = conversation.temperature > 0
    if conversation.stop:
        parameters["stop"] = list(conversation.stop)
    if conversation.format is not None:
        if conversation.format.schema is None:
            raise conversation.refuse("format", f"{_WIRE} (JSON only by a schema)")
        parameters["grammar"] = {"type": "json", "value": conversation.format.schema}
    return json.dumps({"inputs": "\n\n".join(texts), "parameters": parameters, "stream": True, "model": model})
