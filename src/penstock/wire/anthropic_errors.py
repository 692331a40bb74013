"""Errors of the Anthropic wire: read from a provider, written to a client (wire-formats.md §4.8, §9.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.errors import BadRequest, Fault
from penstock.events import ErrorReport
from penstock.wire import json, openai_errors

STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The HTTP status of each of the wire's words for an error."""
_TYPES = {status: word for word, status in STATUS.items()} | {
    408: "timeout_error",
    422: "invalid_request_error",
    503: "overloaded_error",
}


def error_type(status: int) -> str:
    """The wire's word for an error of that status; ``api_error`` for what is nobody's fault in particular."""
    return _TYPES.get(status, "invalid_request_error" if 400 <= status < 500 and status != 499 else "api_error")


def error_report(body: Mapping[str, Any]) -> ErrorReport | None:
    """The error that a JSON object reports, or None.

    Known shapes: ``{"type": "error", "error": {"type", "message"}, "request_id"}``, and those of the providers in
    front of Claude: OpenAI's, Google's, and a bare ``{"type": "error", "message"}``.
    """
    report = openai_errors.error_report(body)
    if report is None:
        if body.get("type") != "error":
            return None
        message = body.get("message")
        words = message if isinstance(message, str) and message else "the provider reported an error without a message"
        return ErrorReport(words, "api_error", status=500)
    fields = report.fields or {}
    if isinstance(body.get("request_id"), str):
        fields = {**fields, "request_id": body["request_id"]}
    kind = report.type if fields.get("type") or report.type != "server_error" else "api_error"
    return msgspec.structs.replace(report, type=kind, status=STATUS.get(kind, report.status), fields=fields or None)


def error_in_text(text: bytes) -> ErrorReport | None:
    """An error written into the stream without a ``data`` field: bare JSON."""
    try:
        body = json.loads(text)
    except ValueError:
        return None
    return error_report(body) if isinstance(body, dict) else None


def _error(fault: Fault, stream: str) -> dict[str, Any]:
    """The whole object. A type of another wire is put in this wire's words; its own stands in ``provider_type``."""
    error: dict[str, Any] = dict(fault.fields or {})
    request = error.pop("request_id", None)
    kind = fault.type
    if kind not in STATUS:
        if kind != "server_error":
            error["provider_type"] = kind
        kind = error_type(fault.status)
    error |= {"type": kind, "message": fault.message, "code": fault.code}
    if fault.param:
        error["param"] = fault.param
    if fault.outcome and fault.outcome != fault.code:
        error["outcome"] = fault.outcome
    if fault.status:
        error["status"] = fault.status
    error["stream"] = stream
    return {"type": "error", "error": error, "request_id": request or stream}


def error_body(fault: Fault, stream: str) -> bytes:
    """The JSON body of an error before the commit. ``request_id`` is the provider's, where it named one."""
    return json.dumps(_error(fault, stream))


def error_frame(fault: Fault, stream: str) -> bytes:
    """The frame of an error after the commit: the SDKs raise on the event's name, and on nothing else."""
    return b"event: error\ndata: " + error_body(fault, stream) + b"\n\n"


def bad_request_body(error: BadRequest, stream: str) -> bytes:
    """The JSON body for a request that cannot be served."""
    detail: dict[str, Any] = {"type": error_type(error.status), "message": error.message, "code": error.code}
    if error.param:
        detail["param"] = error.param
    return json.dumps({"type": "error", "error": {**detail, "stream": stream}, "request_id": stream})
