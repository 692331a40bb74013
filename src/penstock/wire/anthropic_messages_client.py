"""anthropic-messages, client side: requests read, everything written that is Penstock's own and not the provider's."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import BadRequest, Fault
from penstock.events import Text
from penstock.request import StreamRequest
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.anthropic_errors import error_body, error_frame
from penstock.wire.anthropic_messages import MessagesDecoder
from penstock.wire.anthropic_messages_fold import MessagesFold
from penstock.wire.anthropic_messages_writer import MessagesWriter
from penstock.wire.continued import Beginning

_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = msgspec.Raw(b"true")


def read_request(body: bytes) -> StreamRequest:
    """A request body. Raises BadRequest; anything that only the provider can judge is left to the provider.

    Usage is always part of this wire's streams.
    """
    try:
        fields = _BODY.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("the request body must be a JSON object", code="invalid_json") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the request body is not JSON: {error}", code="invalid_json") from None
    model = _field(fields, "model")
    if not isinstance(model, str) or not model:
        raise BadRequest("model must be the name of a route, a non-empty string", param="model")
    stream = _field(fields, "stream")
    if stream is not None and not isinstance(stream, bool):
        raise BadRequest("stream must be true or false", param="stream")
    return StreamRequest(model=model, stream=bool(stream), include_usage=True, body=fields)


def _field(fields: dict[str, msgspec.Raw], name: str) -> Any:
    raw = fields.get(name)
    try:
        return None if raw is None else json.loads(bytes(raw))
    except ValueError as error:
        raise BadRequest(f"{name} is not JSON: {error}", code="invalid_json", param=name) from None


def upstream_body(request: StreamRequest, model: str) -> bytes:
    """The body for a provider: every field as the client sent it, but for the model and ``stream: true``."""
    return msgspec.json.encode({**request.body, "model": msgspec.Raw(json.dumps(model)), "stream": _TRUE})


class MessagesClient:
    """What Penstock itself says to one client on this wire. ``stream`` is the stream's id."""

    content_type = b"text/event-stream; charset=utf-8"
    cuts_after_error = False

    def __init__(self, request: StreamRequest, stream: str):
        self._request = request
        self._stream = stream

    def fold(self) -> MessagesFold:
        """A fresh fold for ``stream: false``."""
        return MessagesFold()

    def writer(self) -> MessagesWriter:
        """A fresh writer, for providers of another wire."""
        return MessagesWriter(self._request.model, self._stream)

    def taken_up(self, beginning: Beginning) -> MessagesWriter:
        """A writer in the middle of an answer that its provider began."""
        writer = self.writer()
        writer.write((beginning.start, Text(beginning.text)))
        if isinstance(beginning.decoder, MessagesDecoder):
            writer.at(beginning.decoder.blocks, open=beginning.decoder.in_block)
        return writer

    def keepalive(self) -> bytes:
        """The wire's own keep-alive (wire-formats.md §9.8)."""
        return b'event: ping\ndata: {"type": "ping"}\n\n'

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
        """Nothing: no client hangs without, and ``message_stop`` after an error would be a lie."""
        return b""

    def stop_frames(self, name: str, model: str, usage: Usage | None) -> bytes:
        """The frames of an answer that was stopped before it had begun: a message without content."""
        writer = MessagesWriter(model or self._request.model, name or self._stream)
        writer.know(usage)
        return writer.stop()
