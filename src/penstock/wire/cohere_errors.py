"""Errors of the Cohere wires: read from a provider, written to a client (wire-formats.md §5.1, §9.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.errors import BadRequest, Fault
from penstock.events import ErrorReport
from penstock.wire import json

_OWN = frozenset({"message", "error", "error_type", "code", "type", "status", "outcome", "stream"})
_STATUS = {
    "TIMEOUT": 504,
    "TOO_MANY_TOKENS": 400,
    "INVALID_TOOL_GENERATION": 422,
    "ERROR_LIMIT": 400,
    "ERROR_TOXIC": 400,
    "USER_CANCEL": 499,
}
_NO_TOKENS = {"input_tokens": 0, "output_tokens": 0}


def error_report(body: Mapping[str, Any]) -> ErrorReport | None:
    """The error that ``{"message": "text", "id": …, "error_type": …}`` reports, or None."""
    message = body.get("message") or body.get("error")
    if isinstance(message, Mapping):
        return error_report(message)
    if not isinstance(message, str) or not message:
        return None
    return _report(message, "", body)


def ended_in_error(reason: str, delta: Mapping[str, Any]) -> ErrorReport:
    """The error of a last event whose ``finish_reason`` is ``reason``. It has the words and a type, where there are
    any, beside the reason."""
    said = delta.get("error") or delta.get("text")
    message = said if isinstance(said, str) and said else f"the provider ended its answer with {reason}"
    return _report(message, reason, {name: delta[name] for name in ("error_type", "code", "status") if name in delta})


def _report(message: str, reason: str, fields: Mapping[str, Any]) -> ErrorReport:
    kind, code = _text(fields.get("error_type")), _text(fields.get("code"))
    status = fields.get("status")
    known = _STATUS.get(kind) or _STATUS.get(reason)
    if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
        known = status
    more = {name: value for name, value in fields.items() if name not in _OWN}
    word = code or kind or (reason if reason != "ERROR" else "")
    return ErrorReport(
        message, type=kind or "server_error", code=word or None, status=known or 502, fields=more or None
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _said(fault: Fault, stream: str) -> dict[str, Any]:
    """What an error says beside its message."""
    fields: dict[str, Any] = dict(fault.fields or {})
    fields |= {"error_type": fault.type, "code": fault.code}
    if fault.outcome and fault.outcome != fault.code:
        fields["outcome"] = fault.outcome
    if fault.status:
        fields["status"] = fault.status
    return fields | {"stream": stream}


def error_body(fault: Fault, stream: str) -> bytes:
    """``{"message": "text", "id": …}``, which the SDKs give out as the error's body."""
    return json.dumps({**_said(fault, stream), "message": fault.message, "id": stream})


def error_frame(fault: Fault, stream: str) -> bytes:
    """The last event, with ``ERROR``: no SDK raises on it, so that the connection is cut behind it. AI SDK wants the
    tokens in it."""
    usage = {"billed_units": _NO_TOKENS, "tokens": _NO_TOKENS}
    delta = {**_said(fault, stream), "finish_reason": "ERROR", "error": fault.message, "usage": usage}
    body = json.dumps({"type": "message-end", "id": stream, "delta": delta})
    return b"event: message-end\ndata: " + json.one_line(body) + b"\n\n"


def bad_request_body(error: BadRequest, stream: str) -> bytes:
    """The JSON body for a request that cannot be served."""
    body: dict[str, Any] = {"message": error.message, "id": stream, "code": error.code}
    if error.param is not None:
        body["param"] = error.param
    return json.dumps(body | {"stream": stream})
