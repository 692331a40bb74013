"""bedrock-converse and bedrock-invoke: what the gateway needs of the wires, put together. Clients speak neither."""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

from penstock.events import ErrorReport
from penstock.framing import sse
from penstock.framing.eventstream import EventStreamFramer
from penstock.request import StreamRequest
from penstock.wire import json
from penstock.wire.anthropic_errors import error_report as anthropic_error
from penstock.wire.anthropic_messages_fold import frames_of_answer as frames_of_message
from penstock.wire.anthropic_messages_request import request_body as anthropic_body
from penstock.wire.base import Body, ClientSession, Decoder, Framer, View
from penstock.wire.bedrock_converse import ConverseDecoder
from penstock.wire.bedrock_converse_request import request_body
from penstock.wire.bedrock_converse_whole import chunk_frame, frames_of_answer
from penstock.wire.bedrock_errors import error_report
from penstock.wire.bedrock_invoke import InvokeDecoder
from penstock.wire.conversation import Conversation

EVENT_STREAM = "application/vnd.amazon.eventstream"
_REGION = re.compile(r"(?:^|[.])bedrock-runtime(?:-fips)?[.]([a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})[.]")
VERSION = "bedrock-2023-05-31"
"""The ``anthropic_version`` that is written where the client's body names none."""


def region_of(host: str) -> str | None:
    """The region in the name of an endpoint of AWS: ``bedrock-runtime.us-east-1.amazonaws.com`` and its kin."""
    if not host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")):
        return None
    match = _REGION.search(host)
    return match[1] if match else None


class _Bedrock:
    """What the wires have in common."""

    passed_headers: frozenset[bytes] = frozenset()

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """A bearer token: a Bedrock API key. Requests without one are signed."""
        return [("authorization", f"Bearer {api_key}")]

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """A stream of AWS's own framing is what is wanted."""
        return [("content-type", "application/json"), ("accept", EVENT_STREAM)]

    def framer(self, limit: int) -> Framer:
        """AWS's event stream."""
        return EventStreamFramer(limit)

    def sniff(self, start: bytes, content_type: bytes) -> Body:
        """By the first byte: of a frame it is the top of its length, which no text begins with."""
        if not start:
            return Body.UNKNOWN
        return Body.STREAM if start[0] < 9 or (EVENT_STREAM.encode() in content_type and start[0] < 32) else Body.WHOLE

    def error(self, body: bytes) -> ErrorReport | None:
        """AWS's error object."""
        return self.error_with(body, ())

    def error_with(self, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> ErrorReport | None:
        """AWS's error object, whose name is mostly in a header."""
        value = _object(body)
        named = next((value.decode("latin-1") for name, value in headers if name == b"x-amzn-errortype"), None)
        return None if value is None else error_report({"__type": named, **value} if named else value)


class BedrockConverseUpstream(_Bedrock):
    """See `base.UpstreamWire`."""

    name = "bedrock-converse"

    def path(self, request: StreamRequest, model: str) -> str:
        """The base URL is the bare host. ``:`` and ``/`` in a model's id are written as ``%3A`` and ``%2F``."""
        return f"/model/{quote(model, safe='-._~')}/converse-stream"

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """Never asked for: there are no clients of this wire."""
        return msgspec.json.encode(request.body)

    def translate(self, conversation: Conversation, model: str, *, ask_usage: bool) -> bytes:
        """A body written anew. Usage need not be asked for."""
        return request_body(conversation, model)

    def decoder(self, view: View, session: ClientSession | None) -> Decoder:
        """A `ConverseDecoder`."""
        return ConverseDecoder()

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """An answer of Converse, or an error object."""
        value = _object(body)
        return None if value is None else frames_of_answer(value) or error_report(value)


class BedrockInvokeUpstream(_Bedrock):
    """See `base.UpstreamWire`. For Anthropic's models: their own events in AWS's framing."""

    name = "bedrock-invoke"
    client_wires = frozenset({"anthropic-messages"})

    def adopt(self, request: StreamRequest, headers: tuple[tuple[bytes, bytes], ...]) -> StreamRequest:
        """``anthropic-beta`` of a client is a field of the body here."""
        named = [value.decode("latin-1") for name, value in headers if name == b"anthropic-beta"]
        betas = [beta.strip() for value in named for beta in value.split(",") if beta.strip()]
        said = json.loads(bytes(request.body.get("anthropic_beta", b"[]")))
        if not betas or not isinstance(said, list):
            return request
        body = {
            **request.body,
            "anthropic_beta": msgspec.Raw(json.dumps([*said, *(b for b in betas if b not in said)])),
        }
        return msgspec.structs.replace(request, body=body)

    def path(self, request: StreamRequest, model: str) -> str:
        """As for Converse."""
        return f"/model/{quote(model, safe='-._~')}/invoke-with-response-stream"

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """An Anthropic client's own body, but for the model and for streaming, which the path says."""
        return _invoke_body(request.body)

    def translate(self, conversation: Conversation, model: str, *, ask_usage: bool) -> bytes:
        """Anthropic's body, written anew."""
        return _invoke_body(msgspec.json.decode(anthropic_body(conversation, model), type=dict[str, msgspec.Raw]))

    def decoder(self, view: View, session: ClientSession | None) -> Decoder:
        """An `InvokeDecoder`."""
        return InvokeDecoder()

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """A ``message``, or an error object."""
        value = _object(body)
        if value is None:
            return None
        if not isinstance(value.get("content"), list):
            return anthropic_error(value) or error_report(value)
        events = (sse.parse(frame).data for frame in frames_of_message(value))
        return [chunk_frame(event) for event in events if event]


def _invoke_body(fields: dict[str, msgspec.Raw]) -> bytes:
    kept = {name: value for name, value in fields.items() if name not in ("model", "stream")}
    return msgspec.json.encode({"anthropic_version": VERSION, **kept})


def _object(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
