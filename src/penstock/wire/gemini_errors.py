"""Errors of the gemini wire: ``google.rpc.Status`` as JSON, read and written (wire-formats.md §6.5, §9.6)."""

from __future__ import annotations

import re
from typing import Any

from penstock.errors import BadRequest, Fault
from penstock.events import ErrorReport
from penstock.wire import json

DOMAIN = "penstock"
_TYPES = "type.googleapis.com/google.rpc."

STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    410: "NOT_FOUND",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_HTTP = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def error_report(value: Any) -> ErrorReport | None:
    """The error that a JSON value reports: ``{"error": {code, message, status, details}}``, alone or as the element of
    a list, or with a text in place of the object. None when it reports none."""
    if isinstance(value, list):
        return next((report for report in map(error_report, value[:1]) if report is not None), None)
    error = value.get("error") if isinstance(value, dict) else None
    if not error:
        return None
    fields: dict[str, Any] = error if isinstance(error, dict) else {"message": error}
    code, word = fields.get("code"), fields.get("status")
    message = fields.get("message")
    return ErrorReport(
        message=str(message) if message else "the provider reported an error without a message",
        type=word if isinstance(word, str) and word else "server_error",
        code=None if code is None else str(code),
        status=_http_status(code, word),
        fields=fields if isinstance(error, dict) else None,
        retry_after=retry_delay(fields),
    )


def _http_status(code: Any, word: Any) -> int:
    if isinstance(code, str) and code.isdigit():
        code = int(code)
    if isinstance(code, int | float) and 400 <= code <= 599:
        return int(code)
    return _HTTP.get(str(word).upper(), 502)


def retry_delay(fields: dict[str, object] | None) -> float | None:
    """Seconds to wait, where the error's details name them (``RetryInfo``)."""
    details = (fields or {}).get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type")).endswith("RetryInfo"):
            match = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(detail.get("retryDelay")))
            if match:
                return float(match[1])
    return None


def error_object(fault: Fault, stream: str) -> dict[str, Any]:
    """``{"error": …}``, with ``error`` as the only key and a number as its code, as Google's SDKs want it. Penstock's
    own words (outcome, stream) stand in an ``ErrorInfo`` behind the provider's details."""
    fields: dict[str, Any] = dict(fault.fields or {})
    code = fault.status if 400 <= fault.status <= 599 else 502
    word = fields.pop("status", None)
    details = fields.pop("details", None)
    outcome = fault.outcome or fault.code
    metadata = {"stream": stream, "outcome": outcome, "type": fault.type}
    if fault.param:
        metadata["param"] = fault.param
    reason = _reason(outcome if fault.code.isdigit() else fault.code)
    info = {"@type": _TYPES + "ErrorInfo", "reason": reason, "domain": DOMAIN, "metadata": metadata}
    retry = [{"@type": _TYPES + "RetryInfo", "retryDelay": "1s"}] if outcome == "shutdown" else []
    return {
        "error": {
            "code": code,
            "message": fault.message,
            "status": word if isinstance(word, str) and word else STATUS_WORDS.get(code, "INTERNAL"),
            **{name: value for name, value in fields.items() if name not in ("code", "message")},
            "details": [*(details if isinstance(details, list) else ()), info, *retry],
        }
    }


def bad_request_body(error: BadRequest, stream: str) -> bytes:
    """The JSON body for a request that cannot be served."""
    info = {
        "@type": _TYPES + "ErrorInfo",
        "reason": _reason(error.code),
        "domain": DOMAIN,
        "metadata": {"stream": stream, "code": error.code},
    }
    details: list[dict[str, Any]] = [info]
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.insert(0, {"@type": _TYPES + "BadRequest", "fieldViolations": [violation]})
    word = STATUS_WORDS.get(error.status, "INVALID_ARGUMENT" if error.status < 500 else "INTERNAL")
    return json.dumps({"error": {"code": error.status, "message": error.message, "status": word, "details": details}})


def _reason(code: str) -> str:
    """A word as ``ErrorInfo`` has them: UPPER_SNAKE_CASE."""
    return re.sub(r"[^A-Z0-9]+", "_", code.upper()).strip("_") or "UNKNOWN"
