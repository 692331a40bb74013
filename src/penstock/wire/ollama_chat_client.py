"""ollama-chat, client side: requests read, everything written that is Penstock's own and not the provider's."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import BadRequest, Fault
from penstock.events import Start
from penstock.request import StreamRequest
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.continued import Beginning
from penstock.wire.ollama_chat_fold import OllamaFold
from penstock.wire.ollama_chat_writer import OllamaWriter, counters, line, timestamp
from penstock.wire.ollama_errors import error_body

_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TRUE = msgspec.Raw(b"true")


def read_request(body: bytes) -> StreamRequest:
    """A request body. ``stream`` is true unless it is said to be false. Raises BadRequest; anything that only the
    provider can judge is left to the provider."""
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
    return StreamRequest(model=model, stream=stream is not False, include_usage=True, body=fields)


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


class OllamaClient:
    """What Penstock itself says to one client on this wire. ``stream`` is the stream's id."""

    content_type = b"application/x-ndjson"
    cuts_after_error = False

    def __init__(self, request: StreamRequest, stream: str):
        self._request = request
        self._stream = stream

    def fold(self) -> OllamaFold:
        """A fresh fold for ``stream: false``."""
        return OllamaFold()

    def writer(self) -> OllamaWriter:
        """A fresh writer, for providers of another wire."""
        return OllamaWriter(self._request.model, self._stream, self._request.accepted)

    def taken_up(self, beginning: Beginning) -> OllamaWriter:
        """A writer in the middle of an answer that its provider began."""
        start, writer = beginning.start, self.writer()
        said = json.loads(beginning.head) if beginning.head else {}
        writer.write((Start(start.id, said.get("model") or start.model, start.created),))
        return writer

    def keepalive(self) -> bytes:
        """Nothing: a blank line breaks Go's client, and a line without output is a delta to the others."""
        return b""

    def skipped(self) -> bytes:
        """Nothing: this wire has no comments."""
        return b""

    def error_frame(self, fault: Fault) -> bytes:
        """The line on which every client raises."""
        return json.one_line(error_body(fault, self._stream)) + b"\n"

    def error_body(self, fault: Fault) -> bytes:
        """The error as a JSON body, before the commit."""
        return error_body(fault, self._stream)

    def end_marker(self) -> bytes:
        """Nothing: the last line has the finish and the counters, and an error is an end of its own."""
        return b""

    def stop_frames(self, name: str, model: str, usage: Usage | None) -> bytes:
        """The last line of an answer which was stopped on request."""
        message = {"role": "assistant", "content": ""}
        fields = {
            "model": model or self._request.model,
            "created_at": timestamp(self._request.accepted),
            "message": message,
        }
        return line({**fields, "done": True, "done_reason": "stop", **counters(usage)})
