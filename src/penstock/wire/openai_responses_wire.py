"""openai-responses, both sides: what the gateway needs of the wire, put together."""

from __future__ import annotations

from penstock.errors import BadRequest
from penstock.events import ErrorReport
from penstock.framing.sse import SSEFramer
from penstock.request import StreamRequest
from penstock.wire import json, sniff
from penstock.wire.base import Body, ClientSession, Decoder, Framer, View
from penstock.wire.conversation import Conversation
from penstock.wire.openai_errors import bad_request_body, error_report, http_error_report
from penstock.wire.openai_responses import ResponsesDecoder
from penstock.wire.openai_responses_client import ResponsesClient, read_request, upstream_body
from penstock.wire.openai_responses_fold import frames_of_answer
from penstock.wire.openai_responses_request import request_body
from penstock.wire.openai_responses_translate import conversation


class OpenAIResponsesUpstream:
    """See `base.UpstreamWire`."""

    name = "openai-responses"
    passed_headers = frozenset({b"openai-beta", b"openai-organization", b"openai-project"})

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """A bearer token."""
        return [("authorization", f"Bearer {api_key}")]

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """An event stream is what is wanted."""
        return [("content-type", "application/json"), ("accept", "text/event-stream")]

    def path(self, request: StreamRequest, model: str) -> str:
        """The base URL ends in ``/v1``."""
        return "/responses"

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """The client's own body. Usage comes unasked."""
        return upstream_body(request, model)

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
        """A `ResponsesDecoder`. There is no identity to pin: only the response's object has it."""
        return ResponsesDecoder(session.follow if isinstance(session, ResponsesClient) else None)

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """A ``response``, or an error object."""
        try:
            value = json.loads(body)
        except ValueError:
            return None
        if not isinstance(value, dict):
            return None
        report = error_report(value)
        if report is not None:
            return report
        return frames_of_answer(value) if isinstance(value.get("output"), list) else None

    def error(self, body: bytes) -> ErrorReport | None:
        """OpenAI's error object and its dialects."""
        try:
            value = json.loads(body)
        except ValueError:
            return None
        return http_error_report(value) if isinstance(value, dict) else None


class OpenAIResponsesClient:
    """See `base.ClientWire`."""

    name = "openai-responses"
    translates = True

    def serves(self, path: str) -> bool:
        """One path. A response that a provider keeps is not to be had here: 404."""
        return path == "/v1/responses"

    def read(self, path: str, query: str, body: bytes) -> StreamRequest:
        """Model and stream; the rest is the provider's business."""
        return read_request(body)

    def conversation(self, request: StreamRequest) -> Conversation:
        """For providers of another wire."""
        return conversation(request)

    def session(self, request: StreamRequest, stream: str) -> ClientSession:
        """A `ResponsesClient`."""
        return ResponsesClient(request, stream)

    def refusal(self, error: BadRequest, stream: str) -> bytes:
        """OpenAI's error object."""
        return bad_request_body(error, stream)
