"""Errors of the Ollama wire: read from a provider, written to a client (wire-formats.md §8.1, §9.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.errors import BadRequest, Fault
from penstock.events import ErrorReport
from penstock.wire import json, openai_errors

_OWN = frozenset({"error", "code", "type", "status", "outcome", "stream", "model", "created_at", "done", "message"})


def error_report(body: Mapping[str, Any]) -> ErrorReport | None:
    """The error that ``{"error": "text"}`` reports (or OpenAI's object, as its ``/v1`` side has it), or None.

    What else the object has goes on beside it, ``signin_url`` for instance.
    """
    report = openai_errors.error_report(body)
    if report is None or isinstance(body.get("error"), Mapping):
        return report
    more = {name: value for name, value in body.items() if name not in _OWN}
    kind = body.get("type")
    return ErrorReport(
        message=report.message,
        type=kind if isinstance(kind, str) and kind else report.type,
        code=report.code,
        status=_status(body) or report.status,
        fields=more or None,
    )


def _status(body: Mapping[str, Any]) -> int:
    for name in ("status", "status_code", "StatusCode"):
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
            return value
    return 0


def error_body(fault: Fault, stream: str) -> bytes:
    """``{"error": "text", …}``: clients look at ``error`` alone, which must be a string."""
    body: dict[str, Any] = {"error": fault.message, **(fault.fields or {})}
    body |= {"error": fault.message, "code": fault.code, "type": fault.type}
    if fault.outcome and fault.outcome != fault.code:
        body["outcome"] = fault.outcome
    if fault.status:
        body["status"] = fault.status
    body["stream"] = stream
    return json.dumps(body)


def bad_request_body(error: BadRequest, stream: str) -> bytes:
    """The JSON body for a request that cannot be served."""
    body: dict[str, Any] = {"error": error.message, "code": error.code}
    if error.param is not None:
        body["param"] = error.param
    return json.dumps(body | {"stream": stream})
