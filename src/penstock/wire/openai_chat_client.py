"""openai-chat, client side: requests read, everything written that is Penstock's own and not the provider's."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import BadRequest, Fault
from penstock.events import Start, Text
from penstock.framing import sse
from penstock.request import StreamRequest
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.continued import Beginning
from penstock.wire.openai_chat_fold import ChatFold
from penstock.wire.openai_chat_last import DONE, last_chunks
from penstock.wire.openai_chat_writer import ChatWriter
from penstock.wire.openai_errors import error_body, error_frame

_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = msgspec.Raw(b"true")
_USAGE_ASKED = msgspec.Raw(b'{"include_usage":true}')


def read_request(body: bytes) -> StreamRequest:
    """A request body. Raises BadRequest; anything that only the provider can judge is left to the provider."""
    try:
        fields = _BODY.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("the request body must be a JSON object", code="invalid_json") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"the request body is not JSON: {error}", code="invalid_json") from None
    model = _field(fields, "model", None)
    if not isinstance(model, str) or not model:
        raise BadRequest("model must be the name of a route, a non-empty string", param="model")
    stream = _field(fields, "stream", None)
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("stream must be true or false", param="stream")
    options = _field(fields, "stream_options", None)
    if options is not None and not isinstance(options, dict):
        raise BadRequest("stream_options must be an object", param="stream_options")
    if options and not stream:
        raise BadRequest("stream_options is only allowed when stream is true", param="stream_options")
    asked = bool(options and options.get("include_usage"))
    return StreamRequest(model=model, stream=bool(stream), include_usage=asked, body=fields)


def _field(fields: dict[str, msgspec.Raw], name: str, default: Any) -> Any:
    raw = fields.get(name)
    if raw is None:
        return default
    try:
        return json.loads(bytes(raw))
    except ValueError as error:
        raise BadRequest(f"{name} is not JSON: {error}", code="invalid_json", param=name) from None


def upstream_body(request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
    """The body for a provider: every field as the client sent it, but for the model, ``stream: true`` and, with
    ``ask_usage``, ``stream_options.include_usage: true`` beside the client's own options."""
    fields = dict(request.body)
    fields["model"] = msgspec.Raw(json.dumps(model))
    fields["stream"] = _TRUE
    if ask_usage:
        options = _field(request.body, "stream_options", None)
        asked = {**options, "include_usage": True} if isinstance(options, dict) else None
        fields["stream_options"] = msgspec.Raw(json.dumps(asked)) if asked else _USAGE_ASKED
    elif not request.include_usage:
        fields.pop("stream_options", None)
    return msgspec.json.encode(fields)


class ChatClient:
    """What Penstock itself says to one client on this wire. ``stream`` is the stream's id."""

    content_type = b"text/event-stream; charset=utf-8"
    cuts_after_error = False

    def __init__(self, request: StreamRequest, stream: str):
        self._request = request
        self._stream = stream

    def fold(self) -> ChatFold:
        """A fresh fold for ``stream: false``."""
        return ChatFold()

    def writer(self) -> ChatWriter:
        """A fresh writer, for providers of another wire."""
        asked = self._request
        shown = asked.include_usage or not asked.stream
        return ChatWriter(asked.model, self._stream, include_usage=shown, created=asked.accepted)

    def taken_up(self, beginning: Beginning) -> ChatWriter:
        """A writer in the middle of an answer that its provider began."""
        data = sse.parse(beginning.head).data
        said = json.loads(data) if data else {}
        start = beginning.start
        created, writer = said.get("created"), self.writer()
        model = said.get("model") or start.model
        writer.write((Start(start.id, model, created if type(created) is int else start.created), Text(beginning.text)))
        return writer

    def keepalive(self) -> bytes:
        """A comment. The decoder sees to it that it meets no ``id`` (wire-formats.md rule 7)."""
        return b": keep-alive\n\n"

    def skipped(self) -> bytes:
        """A comment in the place of a malformed frame of the provider: nothing is lost in silence."""
        return b": penstock left out a malformed frame of the provider here\n\n"

    def error_frame(self, fault: Fault) -> bytes:
        """The error in the stream, after the commit."""
        return error_frame(fault, self._stream)

    def error_body(self, fault: Fault) -> bytes:
        """The error as a JSON body, before the commit."""
        return error_body(fault, self._stream)

    def end_marker(self) -> bytes:
        """The wire's last word."""
        return DONE

    def stop_frames(self, name: str, model: str, usage: Usage | None) -> bytes:
        """An answer without output. One that had begun is finished by its decoder or writer."""
        top = {"id": name or self._stream, "object": "chat.completion.chunk", "created": self._request.accepted}
        top["model"] = model or self._request.model
        asked = self._request
        told = usage if asked.include_usage or not asked.stream else None
        return last_chunks(top, (0,), told, delta={"role": "assistant", "content": ""})
