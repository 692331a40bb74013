"""cohere-chat (v2), client side: requests read, everything written that is Penstock's own and not the provider's."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import BadRequest, Fault
from penstock.request import StreamRequest
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Writer
from penstock.wire.cohere_chat import event_frame, last_frame
from penstock.wire.cohere_chat_fold import CohereFold
from penstock.wire.cohere_errors import error_body, error_frame

_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = msgspec.Raw(b"true")


def read_request(body: bytes) -> StreamRequest:
    """A request body. Raises BadRequest; anything that only the provider can judge is left to the provider."""
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
    if raw is None:
        return None
    try:
        return json.loads(bytes(raw))
    except ValueError as error:
        raise BadRequest(f"{name} is not JSON: {error}", code="invalid_json", param=name) from None


def upstream_body(request: StreamRequest, model: str) -> bytes:
    """The body for a provider: every field as the client sent it, but for the model and ``stream: true``."""
    return msgspec.json.encode({**request.body, "model": msgspec.Raw(json.dumps(model)), "stream": _TRUE})


def unsupported() -> BadRequest:
    """Clients of this wire are served by providers of this wire only."""
    return BadRequest(
        "the provider of this model speaks another wire than cohere-chat. Cohere's clients raise on no error inside an "
        "answer, and bill by units that only Cohere knows, so they are served by providers of cohere-chat only; ask "
        "for another model, or ask with another client",
        code="unsupported_wire",
        param="model",
    )


class CohereClient:
    """What Penstock itself says to one client on this wire. ``stream`` is the stream's id."""

    content_type = b"text/event-stream; charset=utf-8"
    cuts_after_error = True

    def __init__(self, request: StreamRequest, stream: str):
        self._request = request
        self._stream = stream

    def fold(self) -> CohereFold:
        """A fresh fold for ``stream: false``."""
        return CohereFold()

    def writer(self) -> Writer:
        """None: see `unsupported`. Requests for providers of another wire are refused before it comes to this."""
        raise unsupported()

    def keepalive(self) -> bytes:
        """A comment."""
        return b": keep-alive\n\n"

    def skipped(self) -> bytes:
        """A comment in the place of a malformed frame of the provider: nothing is lost in silence."""
        return b": penstock left out a malformed frame of the provider here\n\n"

    def error_frame(self, fault: Fault) -> bytes:
        """The last event with its error; the SDKs raise on the cut behind it."""
        return error_frame(fault, self._stream)

    def error_body(self, fault: Fault) -> bytes:
        """The error as a JSON body, before the commit."""
        return error_body(fault, self._stream)

    def end_marker(self) -> bytes:
        """The wire's last word."""
        return b"data: [DONE]\n\n"

    def stop_frames(self, name: str, model: str, usage: Usage | None) -> bytes:
        """An answer that was stopped before it began."""
        ident = name or self._stream
        start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        return event_frame({"type": "message-start", "id": ident, "delta": {"message": start}}) + last_frame(
            ident, usage
        )
