"""gemini, both sides: what the gateway needs of the wire, put together."""

from __future__ import annotations

import msgspec

from penstock.errors import BadRequest, FrameTooLarge
from penstock.events import ErrorReport
from penstock.framing.jsonarray import JSONArrayFramer
from penstock.framing.sse import SSEFramer
from penstock.request import StreamRequest
from penstock.wire import json, sniff
from penstock.wire.base import Body, ClientSession, Decoder, Framer, View
from penstock.wire.conversation import Conversation
from penstock.wire.gemini import GeminiDecoder
from penstock.wire.gemini_client import GeminiClient, read_request, serves, unsupported, upstream_path, wants_sse
from penstock.wire.gemini_errors import bad_request_body, error_report
from penstock.wire.gemini_translate import request_body

_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"


class GeminiFramer:
    """Server-sent events or a JSON array, as the first character says. Space before it is kept for either."""

    def __init__(self, limit: int):
        self._limit = limit
        self._start = b""
        self._framer: Framer | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that ``data`` completes. Raises FrameTooLarge."""
        if self._framer is not None:
            return self._framer.feed(data)
        self._start += data
        first = self._start.removeprefix(_BOM).lstrip(_SPACE)[:1]
        if not first or _BOM.startswith(self._start):
            if len(self._start) > self._limit:
                raise FrameTooLarge(self._limit)
            return []
        framer = self._framer = JSONArrayFramer(self._limit) if first == b"[" else SSEFramer(self._limit)
        start, self._start = self._start, b""
        return framer.feed(start)

    @property
    def idle(self) -> bool:
        """What comes next begins a frame."""
        return self._framer is not None and self._framer.idle

    @property
    def pending(self) -> int:
        """Bytes of the frame that is not whole yet."""
        return len(self._start) if self._framer is None else self._framer.pending

    def close(self) -> bytes:
        """The bytes of a frame that was not finished."""
        if self._framer is not None:
            return self._framer.close()
        rest, self._start = self._start, b""
        return rest


class GeminiUpstream:
    """See `base.UpstreamWire`."""

    name = "gemini"
    passed_headers = frozenset({b"x-goog-api-client"})

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """Google's own header; never in the query, which is logged on the way."""
        return [("x-goog-api-key", api_key)]

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """The form that is wanted."""
        accept = "text/event-stream" if wants_sse(request) else "application/json"
        return [("content-type", "application/json"), ("accept", accept)]

    def path(self, request: StreamRequest, model: str) -> str:
        """The base URL is the bare host. A client of this wire gets the form that it asked for, all others and whole
        answers are made of server-sent events."""
        return upstream_path(request, model)

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """The client's own body: model and streaming are in the path."""
        return msgspec.json.encode(request.body)

    def translate(self, conversation: Conversation, model: str, *, ask_usage: bool) -> bytes:
        """A body written anew."""
        return request_body(conversation, model)

    def framer(self, limit: int) -> Framer:
        """Either form."""
        return GeminiFramer(limit)

    def sniff(self, start: bytes, content_type: bytes) -> Body:
        """By the first characters: an array is a stream too."""
        if start.removeprefix(_BOM).lstrip(_SPACE)[:1] == b"[":
            return Body.STREAM
        return sniff.event_stream(start, content_type)

    def decoder(self, view: View, session: ClientSession | None) -> Decoder:
        """A `GeminiDecoder`."""
        return GeminiDecoder(session if isinstance(session, GeminiClient) else None)

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """A ``GenerateContentResponse``, or an error object."""
        try:
            value = json.loads(body)
        except ValueError:
            return None
        report = error_report(value)
        if report is not None:
            return report
        if not isinstance(value, dict) or not ("candidates" in value or "promptFeedback" in value):
            return None
        return [b"data: " + json.dumps(value) + b"\r\n\r\n"]

    def error(self, body: bytes) -> ErrorReport | None:
        """Google's error object, alone or in a list."""
        try:
            return error_report(json.loads(body))
        except ValueError:
            return None


class GeminiClientWire:
    """See `base.ClientWire`."""

    name = "gemini"
    translates = False

    def serves(self, path: str) -> bool:
        """Two methods of every model."""
        return serves(path)

    def read(self, path: str, query: str, body: bytes) -> StreamRequest:
        """Model and method from the path; the rest is the provider's business."""
        return read_request(path, query, body)

    def conversation(self, request: StreamRequest) -> Conversation:
        """Not to be had: Gemini clients are served by gemini providers only."""
        raise unsupported()

    def session(self, request: StreamRequest, stream: str) -> ClientSession:
        """A `GeminiClient`."""
        return GeminiClient(request, stream)

    def refusal(self, error: BadRequest, stream: str) -> bytes:
        """Google's error object."""
        return bad_request_body(error, stream)
