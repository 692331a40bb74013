"""HTTP answers: heads as bytes, short answers as plays."""

from __future__ import annotations

from http import HTTPStatus

import msgspec

from penstock.sim.steps import BODY, DONE, HEAD, Play

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def phrase(status: int) -> str:
    """The reason phrase of a status; of an unknown one its number."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)


def error_type(status: int) -> str:
    """The field's word for an error of that status."""
    return _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")


def error_body(message: str, status: int, code: str | None = None, param: str | None = None) -> bytes:
    """An error as OpenAI words it."""
    error = {"message": message, "type": error_type(status), "param": param, "code": code}
    return msgspec.json.encode({"error": error})


def head(status: int, headers: list[tuple[str, str]]) -> bytes:
    """A response head; the caller says how the body is delimited."""
    lines = [f"HTTP/1.1 {status} {phrase(status)}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")


def stream_head(content_type: str, request_id: str, status: int = 200) -> bytes:
    """The head of a chunked response."""
    return head(
        status,
        [
            ("content-type", content_type),
            ("cache-control", "no-cache"),
            ("x-request-id", request_id),
            ("transfer-encoding", "chunked"),
        ],
    )


def whole_head(
    status: int,
    length: int,
    headers: list[tuple[str, str]] | None = None,
    content_type: str = "application/json",
) -> bytes:
    """The head of a response whose body has ``length`` bytes."""
    return head(status, [("content-type", content_type), ("content-length", str(length)), *(headers or [])])


def whole(status: int, body: bytes, headers: list[tuple[str, str]] | None = None, wait: float = 0.0) -> Play:
    """A play that sends one complete JSON response after ``wait`` seconds."""
    steps = ((wait, whole_head(status, len(body), headers), HEAD, 0), (0.0, body, BODY, 0), (0.0, b"", DONE, 0))
    return Play(iter(steps), batch=True)
