"""ollama-chat, both sides: what the gateway needs of the wire, put together."""

from __future__ import annotations

from typing import Any

from penstock.errors import BadRequest
from penstock.events import ErrorReport
from penstock.framing.ndjson import NDJSONFramer
from penstock.request import StreamRequest
from penstock.wire import json, sniff
from penstock.wire.base import Body, ClientSession, Decoder, Framer, View
from penstock.wire.conversation import Conversation
from penstock.wire.ollama_chat import OllamaDecoder
from penstock.wire.ollama_chat_client import OllamaClient, read_request, upstream_body
from penstock.wire.ollama_chat_fold import frames_of_answer
from penstock.wire.ollama_chat_request import request_body
from penstock.wire.ollama_chat_translate import conversation
from penstock.wire.ollama_errors import bad_request_body, error_report


class OllamaUpstream:
    """See `base.UpstreamWire`."""

    name = "ollama-chat"
    passed_headers: frozenset[bytes] = frozenset()

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """A bearer token, as Ollama's cloud and the proxies before Ollama want it."""
        return [("authorization", f"Bearer {api_key}")]

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """Lines of JSON are what is wanted."""
        return [("content-type", "application/json"), ("accept", "application/x-ndjson")]

    def path(self, request: StreamRequest, model: str) -> str:
        """The base URL is the bare host."""
        return "/api/chat"

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """The client's own body. Usage need not be asked for."""
        return upstream_body(request, model)

    def translate(self, conversation: Conversation, model: str, *, ask_usage: bool) -> bytes:
        """A body written anew."""
        return request_body(conversation, model)

    def framer(self, limit: int) -> Framer:
        """Lines of JSON."""
        return NDJSONFramer(limit)

    def sniff(self, start: bytes, content_type: bytes) -> Body:
        """By the first characters."""
        return sniff.lines_of_json(start)

    def decoder(self, view: View, session: ClientSession | None) -> Decoder:
        """An `OllamaDecoder`. An answer has no id, and always counters: there is nothing to choose."""
        return OllamaDecoder()

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """An answer, or an error object, that is spread over several lines."""
        value = _object(body)
        if value is None:
            return None
        report = error_report(value)
        if report is not None:
            return report
        return frames_of_answer(value) if isinstance(value.get("message"), dict) else None

    def error(self, body: bytes) -> ErrorReport | None:
        """``{"error": "text"}``."""
        value = _object(body)
        return None if value is None else error_report(value)


class OllamaClientWire:
    """See `base.ClientWire`."""

    name = "ollama-chat"
    translates = True

    def serves(self, path: str) -> bool:
        """One path."""
        return path == "/api/chat"

    def read(self, path: str, query: str, body: bytes) -> StreamRequest:
        """Model and stream; the rest is the provider's business."""
        return read_request(body)

    def conversation(self, request: StreamRequest) -> Conversation:
        """For providers of another wire."""
        return conversation(request)

    def session(self, request: StreamRequest, stream: str) -> ClientSession:
        """An `OllamaClient`."""
        return OllamaClient(request, stream)

    def refusal(self, error: BadRequest, stream: str) -> bytes:
        """``{"error": "text"}``."""
        return bad_request_body(error, stream)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
