"""Errors of the OpenAI wires: read from a provider, written to a client (wire-formats.md §2.6, §9.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.errors import BadRequest, Fault
from penstock.events import ErrorReport
from penstock.wire import json

_STATUS_BY_WORD = (
    ("insufficient_quota", 429),
    ("rate_limit", 429),
    ("too_many_requests", 429),
    ("throttl", 429),
    ("overload", 503),
    ("unavailable", 503),
    ("capacity", 503),
    ("timeout", 504),
    ("deadline", 504),
    ("authentication", 401),
    ("invalid_api_key", 401),
    ("unauthorized", 401),
    ("permission", 403),
    ("forbidden", 403),
    ("not_found", 404),
    ("context_length", 400),
    ("content_filter", 400),
    ("invalid_request", 400),
    ("bad_request", 400),
    ("validation", 422),
)
_STATUS_FIELDS = ("status_code", "http_status_code", "status", "code")


def error_report(body: Mapping[str, Any]) -> ErrorReport | None:
    """The error that a JSON object of the stream reports, or None.

    Known shapes: ``error`` as an object or a string (at the top, or inside ``x_groq``), xAI's
    ``{"code": …, "error": "text"}`` and TGI's ``{"error": "text", "error_type": …}``.
    """
    error = body.get("error")
    if not error and isinstance(body.get("x_groq"), Mapping):
        error = body["x_groq"].get("error")
    if not error:
        return None
    if isinstance(error, Mapping):
        fields: Mapping[str, Any] = error
        message = _text(error.get("message")) or _text(error.get("detail"))
    else:
        fields = {"code": body.get("code"), "type": body.get("error_type")}
        message = _text(error)
    code = fields.get("code")
    return ErrorReport(
        message=message or "the provider reported an error without a message",
        type=_text(fields.get("type")) or _text(fields.get("status")) or "server_error",
        code=None if code is None else _text(code),
        status=_status(fields),
        param=_text(fields.get("param")) or None,
        fields=dict(error) if isinstance(error, Mapping) else None,
    )


def http_error_report(body: Mapping[str, Any]) -> ErrorReport | None:
    """The error that the JSON body of an HTTP error has, or is (vLLM), or tells in ``detail`` (FastAPI)."""
    known = error_report(body)
    if known is None and isinstance(body.get("message"), str):
        return error_report({"error": body})
    if known is None and isinstance(body.get("detail"), str):
        return error_report({"error": body["detail"]})
    return known


def _status(fields: Mapping[str, Any]) -> int:
    for name in _STATUS_FIELDS:
        value = fields.get(name)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    words = " ".join(_text(fields.get(name)).lower() for name in ("code", "type", "status"))
    return next((status for word, status in _STATUS_BY_WORD if word in words), 502)


def _text(value: Any) -> str:
    if value is None or value is False:
        return ""
    return value if isinstance(value, str) else str(value)


def error_in_text(text: bytes) -> ErrorReport | None:
    """An error written into the stream without a ``data`` field: llama.cpp's ``error: {…}``, Gemini's bare JSON."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    if not isinstance(body, dict):
        return None
    return error_report(body) or error_report({"error": body.get("detail")})


def error_in_field(value: bytes) -> ErrorReport | None:
    """The value of a field named ``error``: an object that has the error or is it, or plain words."""
    try:
        body = json.loads(value)
    except ValueError:
        body = value.decode("utf-8", "replace")
    if not isinstance(body, dict):
        return error_report({"error": body})
    return error_report(body) or error_report({"error": body.get("detail") or body})


def error_object(fault: Fault, stream: str) -> dict[str, Any]:
    """The ``error`` object of bodies and frames. Never null where a client tests for truth: absent instead."""
    body: dict[str, Any] = dict(fault.fields or {})
    body |= {"message": fault.message, "type": fault.type, "param": fault.param, "code": fault.code}
    if fault.outcome and fault.outcome != fault.code:
        body["outcome"] = fault.outcome
    if fault.status:
        body["status"] = fault.status
    body["stream"] = stream
    return body


def error_body(fault: Fault, stream: str) -> bytes:
    """The JSON body of an error before the commit."""
    return json.dumps({"error": error_object(fault, stream)})


def error_frame(fault: Fault, stream: str) -> bytes:
    """The frame of an error after the commit: an ordinary data frame without ``choices``, on which SDKs raise."""
    return b"data: " + error_body(fault, stream) + b"\n\n"


def bad_request_body(error: BadRequest, stream: str) -> bytes:
    """The JSON body for a request that cannot be served."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(error.status, "invalid_request_error" if error.status < 500 else "server_error")
    detail = {"message": error.message, "type": kind, "param": error.param, "code": error.code, "stream": stream}
    return json.dumps({"error": detail})
