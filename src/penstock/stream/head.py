"""The head of the client's answer: which headers go on, which are Penstock's own."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.stream.inputs import Headers

# Hop by hop (RFC 9110 §7.6.1), about a body that is re-framed here, or about the provider's own site.
_DROPPED = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"content-length",
        b"content-encoding",
        b"content-type",
        b"content-md5",
        b"etag",
        b"accept-ranges",
        b"cache-control",
        b"expires",
        b"pragma",
        b"x-accel-buffering",
        b"date",
        b"server",
        b"via",
        b"alt-svc",
        b"set-cookie",
        b"strict-transport-security",
        b"vary",
    }
)


def passed_on(headers: Headers, secrets: Iterable[bytes]) -> Headers:
    """The provider's headers that the client gets: all but the hop-by-hop ones, without credentials in them."""
    # The provider may declare more of its headers as hop by hop.
    named = {word.strip().lower() for name, value in headers if name == b"connection" for word in value.split(b",")}
    return tuple(
        (name, scrubbed(value, secrets))
        for name, value in headers
        if name not in _DROPPED and name not in named and not name.startswith((b"access-control-", b"x-penstock-"))
    )


def own(stream: str, *, target: str | None, attempts: int) -> Headers:
    """Penstock's headers. The target (None) and the attempts (0) are only known once an attempt has won."""
    fields = [(b"x-penstock-stream", stream.encode())]
    if target is not None:
        fields.append((b"x-penstock-target", target.encode("ascii", "replace")))
    if attempts:
        fields.append((b"x-penstock-attempts", b"%d" % attempts))
    return tuple(fields)


def event_stream(content_type: bytes) -> Headers:
    """The headers that keep a stream a stream on its way (wire-formats.md §1.6)."""
    return (
        (b"content-type", content_type),
        (b"cache-control", b"no-cache, no-transform"),
        (b"x-accel-buffering", b"no"),
    )


def scrubbed(data: bytes, secrets: Iterable[bytes]) -> bytes:
    """``data`` without the provider's credentials, should the provider echo them."""
    for secret in secrets:
        if secret in data:
            data = data.replace(secret, b"***")
    return data


def header(headers: Headers, name: bytes) -> bytes | None:
    """The first value of a header, by its lower-case name."""
    return next((value for key, value in headers if key == name), None)
