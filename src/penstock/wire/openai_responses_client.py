"""openai-responses, client side: requests read, everything written that is Penstock's own and not the provider's."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import BadRequest, Fault
from penstock.events import UsageReport
from penstock.request import StreamRequest
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.continued import Beginning
from penstock.wire.openai_errors import error_body
from penstock.wire.openai_responses_answer import Answer
from penstock.wire.openai_responses_fold import ResponsesFold
from penstock.wire.openai_responses_writer import ResponsesWriter

_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""Fields of a request that its response repeats, and what they are where it is silent."""


def read_request(body: bytes) -> StreamRequest:
    """A request body. Raises BadRequest; anything that only the provider can judge is left to the provider. There is
    nothing to ask for usage with: it always comes."""
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
    fields = dict(request.body)
    fields["model"] = msgspec.Raw(json.dumps(model))
    fields["stream"] = msgspec.Raw(b"true")
    return msgspec.json.encode(fields)


def blank_response(request: StreamRequest, stream: str) -> dict[str, Any]:
    """The object of a response that has just begun, for answers that Penstock writes itself."""
    fields: dict[str, Any] = {
        "id": f"resp_{stream}",
        "object": "response",
        "created_at": request.accepted,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "model": request.model,
        "output": [],
        "usage": None,
    }
    for name, default in _DEFAULTS.items():
        given = request.body.get(name)
        value = None if given is None else json.loads(bytes(given))
        fields[name] = default if value is None else value
    return fields


class ResponsesClient:
    """What Penstock itself says to one client on this wire. ``stream`` is the stream's id."""

    content_type = b"text/event-stream; charset=utf-8"
    cuts_after_error = False

    def __init__(self, request: StreamRequest, stream: str):
        self._request = request
        self._stream = stream
        self._answer: Answer | None = None
        self.shown_model: str | None = None
        """What stands for the model, where it is not the provider's own name for it."""

    def follow(self, answer: Answer) -> None:
        """This answer is what the client gets: what is still to be said takes it up where it is."""
        self._answer = answer
        answer.model = self.shown_model

    def fold(self) -> ResponsesFold:
        """A fresh fold for ``stream: false``."""
        return ResponsesFold()

    def writer(self) -> ResponsesWriter:
        """A fresh writer, for providers of another wire."""
        return ResponsesWriter(blank_response(self._request, self._stream), self._stream, self.follow)

    def taken_up(self, beginning: Beginning) -> ResponsesWriter:
        """A writer in the middle of the answer that the client has. Raises BadRequest where it is not known whole."""
        answer = self._answer
        if answer is None or not answer.known:
            raise BadRequest("the answer is too long to be taken up in its middle")
        return ResponsesWriter.in_the_middle(answer, self._stream)

    def keepalive(self) -> bytes:
        """A comment: it takes no ``sequence_number``."""
        return b": keep-alive\n\n"

    def skipped(self) -> bytes:
        """A comment in the place of a malformed frame of the provider: nothing is lost in silence."""
        return b": penstock left out a malformed frame of the provider here\n\n"

    def error_frame(self, fault: Fault) -> bytes:
        """The error in the stream: ``error``, then ``response.failed`` with the response as far as it is known."""
        answer = self._answer or Answer(blank_response(self._request, self._stream))
        return answer.fail(fault, self._stream)

    def error_body(self, fault: Fault) -> bytes:
        """The error as a JSON body, before the commit."""
        return error_body(fault, self._stream)

    def finish_frames(self, reason: str | None, usage: Usage | None) -> bytes:
        """The frames that finish the answer where it is: incomplete for a ``reason``, or completed."""
        answer = self._answer or Answer(blank_response(self._request, self._stream))
        return answer.stop(usage, "incomplete" if reason else "completed", reason=reason)

    def end_marker(self) -> bytes:
        """The terminal event is the last word."""
        return b""

    def stop_frames(self, name: str, model: str, usage: Usage | None) -> bytes:
        """A whole answer without output. One that had begun is finished by its decoder or writer."""
        blank = blank_response(self._request, self._stream)
        blank |= {"id": name or blank["id"], "model": model or blank["model"]}
        writer = ResponsesWriter(blank, self._stream)
        return writer.write(() if usage is None else (UsageReport(usage),)) + writer.stop()
