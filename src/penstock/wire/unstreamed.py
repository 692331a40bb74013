"""The same request without streaming, for providers that cannot stream: the answer comes in one piece and is told as a
stream (see `UpstreamWire.whole`).
"""

from __future__ import annotations

import msgspec

_PATHS = (
    (":streamGenerateContent", ":generateContent"),
    ("/generate_stream", "/generate"),
    ("/converse-stream", "/converse"),
    ("/invoke-with-response-stream", "/invoke"),
)


def path(streamed: str) -> str:
    """The path, query included, where a whole answer is given."""
    where, mark, query = streamed.partition("?")
    for stream, whole in _PATHS:
        if where.endswith(stream):
            fields = [field for field in query.split("&") if field and field != "alt=sse"]
            return where.removesuffix(stream) + whole + ("?" + "&".join(fields) if fields else "")
    return where + mark + query


def headers(streamed: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """A JSON document is what is wanted."""
    return [(name, "application/json" if name == "accept" else value) for name, value in streamed]


def body(streamed: bytes) -> bytes:
    """The body, with ``stream`` off where it has one."""
    fields = msgspec.json.decode(streamed, type=dict[str, msgspec.Raw])
    fields.pop("stream_options", None)
    if "stream" in fields:
        fields["stream"] = msgspec.Raw(b"false")
    return msgspec.json.encode(fields)
