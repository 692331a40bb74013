"""What a provider's body is, by its first bytes."""

from __future__ import annotations

from penstock.wire.base import Body

_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


def event_stream(start: bytes, content_type: bytes) -> Body:
    """For wires of server-sent events. The content type only decides where the first characters say nothing: there are
    streams labelled as JSON, and documents labelled as streams."""
    seen = start[:4096].removeprefix(_BOM).lstrip(b" \t\r\n")
    if not seen or _BOM.startswith(start):
        return Body.UNKNOWN if len(start) < 4096 else Body.STREAM
    if seen[:1] in b"{[<":
        return Body.WHOLE
    if b"event-stream" in content_type or seen.startswith(_FIELDS):
        return Body.STREAM
    return Body.UNKNOWN if any(field.startswith(seen) for field in _FIELDS) else Body.WHOLE


def lines_of_json(start: bytes) -> Body:
    """For wires of lines of JSON, also in the dress of server-sent events. An object that begins a new line before its
    first member is spread over lines: one document."""
    seen = start[:4096].removeprefix(_BOM).lstrip(b" \t\r\n")
    if not seen or _BOM.startswith(start):
        return Body.UNKNOWN if len(start) < 4096 else Body.STREAM
    if seen[:1] == b"{":
        inside = seen[1:].lstrip(b" \t\r")
        return Body.UNKNOWN if not inside and len(start) < 4096 else Body.WHOLE if inside[:1] == b"\n" else Body.STREAM
    if seen.startswith(_FIELDS):
        return Body.STREAM
    return Body.UNKNOWN if any(field.startswith(seen) for field in _FIELDS) else Body.WHOLE
