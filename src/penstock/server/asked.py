"""What requests say of the streams that they begin or take up."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs

from penstock.errors import BadRequest
from penstock.stream import numbering
from penstock.stream.head import header
from penstock.stream.inputs import Headers


def idempotency_key(headers: Headers) -> str | None:
    """The key that a request names itself by. Raises BadRequest."""
    value = header(headers, b"idempotency-key")
    if value is None:
        return None
    if not 1 <= len(value) <= 255 or not all(32 < byte < 127 for byte in value):
        message = "Idempotency-Key takes 1 to 255 visible ASCII characters"
        raise BadRequest(message, param="Idempotency-Key")
    return value.decode()


def fingerprint_of(path: str, body: bytes) -> bytes:
    """The same for the same request."""
    return hashlib.sha256(path.encode() + b"\0" + body).digest()


def fields_of(query: bytes) -> dict[str, str]:
    """The fields of a query, of several of one name the last."""
    found = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in found.items()}


def gone(message: str) -> BadRequest:
    """There is nothing to go on with."""
    return BadRequest(message, status=410, code="not_resumable")


def after_of(stream: str, last_event_id: bytes | None, after: str | None) -> tuple[int, bool]:
    """The cursor, and whether it came as an event's id, which is the later of the two: a browser asks for the same
    address again. Raises BadRequest."""
    if last_event_id:
        said = last_event_id.decode("latin-1").strip()
        named = numbering.cursor(said if "." in said else f"{stream}.{said}")
        if named is None or named[0] != stream:
            raise BadRequest(f"Last-Event-ID is no frame of the stream {stream}", param="Last-Event-ID")
        return named[1], True
    if after is None:
        return 0, False
    if (named := numbering.cursor(f"{stream}.{after}")) is None:
        raise BadRequest("after takes the number of the last frame that was seen, 0 for none", param="after")
    return named[1], False
