"""cohere-chat (v2), both sides: what the gateway needs of the wire, put together."""

from __future__ import annotations

from typing import Any

from penstock.errors import BadRequest
from penstock.events import ErrorReport
from penstock.framing.sse import SSEFramer
from penstock.request import StreamRequest
from penstock.wire import json, sniff
from penstock.wire.base import Body, ClientSession, Decoder, Framer, View
from penstock.wire.cohere_chat import CohereDecoder
from penstock.wire.cohere_chat_client import CohereClient, read_request, unsupported, upstream_body
from penstock.wire.cohere_chat_fold import frames_of_answer
from penstock.wire.cohere_chat_translate import request_body
from penstock.wire.cohere_errors import bad_request_body, error_report
from penstock.wire.conversation import Conversation


class CohereUpstream:
    """See `base.UpstreamWire`."""

    name = "cohere-chat"
    passed_headers = frozenset({b"x-client-name"})

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """A bearer token."""
        return [("authorization", f"Bearer {api_key}")]

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """An event stream is what is wanted."""
        return [("content-type", "application/json"), ("accept", "text/event-stream")]

    def path(self, request: StreamRequest, model: str) -> str:
        """The base URL is the bare host."""
        return "/v2/chat"

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """The client's own body. Usage need not be asked for."""
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
        """A `CohereDecoder`. An answer has one id and always usage: there is nothing to choose."""
        return CohereDecoder()

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """A whole answer, or an error object."""
        value = _object(body)
        if value is None:
            return None
        if isinstance(value.get("message"), dict):
            return frames_of_answer(value)
        return error_report(value)

    def error(self, body: bytes) -> ErrorReport | None:
        """``{"message": "text"}``."""
        value = _object(body)
        return None if value is None else error_report(value)


class CohereClientWire:
    """See `base.ClientWire`."""

    name = "cohere-chat"
    translates = False

    def serves(self, path: str) -> bool:
        """One path."""
        return path == "/v2/chat"

    def read(self, path: str, query: str, body: bytes) -> StreamRequest:
        """Model and stream; the rest is the provider's business."""
        return read_request(body)

    def conversation(self, request: StreamRequest) -> Conversation:
        """None: Cohere's clients are served by providers of this wire only (wire-formats.md §9.9)."""
        raise unsupported()

    def session(self, request: StreamRequest, stream: str) -> ClientSession:
        """A `CohereClient`."""
        return CohereClient(request, stream)

    def refusal(self, error: BadRequest, stream: str) -> bytes:
        """``{"message": "text"}``."""
        return bad_request_body(error, stream)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
