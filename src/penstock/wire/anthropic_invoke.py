"""Claude on Bedrock's InvokeModelWithResponseStream: Anthropic's own events in another envelope (wire-formats.md §7.3).

A ``chunk`` holds the JSON of one event of the Messages stream, ``amazon-bedrock-invocationMetrics`` on the last one
included. Put back into server-sent events it is that stream, with nothing lost.
"""

from __future__ import annotations

import base64
import binascii

import msgspec


class _Chunk(msgspec.Struct, gc=False):
    bytes: str


class _Typed(msgspec.Struct, gc=False):
    type: str


_CHUNK = msgspec.json.Decoder(_Chunk)
_TYPED = msgspec.json.Decoder(_Typed)


def chunk_event(payload: bytes) -> bytes:
    """The provider's own JSON in a ``chunk`` payload ``{"bytes": "<base64>", "p": "<padding>"}``. Raises ValueError."""
    try:
        return base64.b64decode(_CHUNK.decode(payload).bytes, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error) as error:
        raise ValueError("a chunk without base64 bytes") from error


def sse_frame(event: bytes) -> bytes:
    """The server-sent event for the JSON of one Anthropic event, whose bytes stay as they are; line ends between its
    tokens become spaces. Raises ValueError for what is no JSON object with a ``type``."""
    try:
        kind = _TYPED.decode(event).type
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError("not an event of Anthropic's") from error
    if not kind or not kind.isprintable():
        raise ValueError("not an event of Anthropic's")
    data = event.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in event or b"\r" in event else event
    return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"
