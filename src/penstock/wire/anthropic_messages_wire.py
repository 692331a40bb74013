"""anthropic-messages, both sides: what the gateway needs of the wire, put together."""

from __future__ import annotations

from penstock.errors import BadRequest
from penstock.events import ErrorReport
from penstock.framing.sse import SSEFramer
from penstock.request import StreamRequest
from penstock.wire import json, sniff
from penstock.wire.anthropic_errors import bad_request_body, error_report
from penstock.wire.anthropic_messages import MessagesDecoder
from penstock.wire.anthropic_messages_client import MessagesClient, read_request, upstream_body
from penstock.wire.anthropic_messages_fold import frames_of_answer
from penstock.wire.anthropic_messages_request import request_body
from penstock.wire.anthropic_messages_translate import conversation
from penstock.wire.base import Body, ClientSession, Decoder, Framer, View
from penstock.wire.conversation import Conversation

VERSION = "2023-06-01"
"""The ``anthropic-version`` that is asked for where the client of the same wire names none."""


class AnthropicMessagesUpstream:
    """See `base.UpstreamWire`."""

    name = "anthropic-messages"
    passed_headers = frozenset({b"anthropic-version", b"anthropic-beta"})

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """The key in a header of its own."""
        return [("x-api-key", api_key)]

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """An event stream is what is wanted, of the one version that there is."""
        return [
            ("content-type", "application/json"),
            ("accept", "text/event-stream"),
            ("anthropic-version", VERSION),
        ]

    def path(self, request: StreamRequest, model: str) -> str:
        """The base URL is the bare host."""
        return "/v1/messages"

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
        """A `MessagesDecoder`. An answer has one id and always usage: there is nothing to choose."""
        return MessagesDecoder()

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """A ``message``, or an error object."""
        value = _object(body)
        if value is None:
            return None
        report = error_report(value)
        if report is not None:
            return report
        return frames_of_answer(value) if isinstance(value.get("content"), list) else None

    def error(self, body: bytes) -> ErrorReport | None:
        """Anthropic's error object, and those of the clouds that serve Claude."""
        value = _object(body)
        return None if value is None else error_report(value)


class AnthropicMessagesClient:
    """See `base.ClientWire`."""

    name = "anthropic-messages"
    translates = True

    def serves(self, path: str) -> bool:
        """One path."""
        return path == "/v1/messages"

    def read(self, path: str, query: str, body: bytes) -> StreamRequest:
        """Model and stream; the rest is the provider's business."""
        return read_request(body)

    def conversation(self, request: StreamRequest) -> Conversation:
        """For providers of another wire."""
        return conversation(request)

    def session(self, request: StreamRequest, stream: str) -> ClientSession:
        """A `MessagesClient`."""
        return MessagesClient(request, stream)

    def refusal(self, error: BadRequest, stream: str) -> bytes:
        """Anthropic's error object."""
        return bad_request_body(error, stream)


def _object(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else None
