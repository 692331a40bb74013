"""Errors of Bedrock's wires: in the headers of a frame, in the body of an HTTP error (wire-formats.md §7.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.events import ErrorReport
from penstock.framing import eventstream
from penstock.framing.eventstream import Headers
from penstock.wire import json

STATUS = {
    "accessdenied": 403,
    "conflict": 409,
    "expiredtoken": 403,
    "incompletesignature": 400,
    "internalfailure": 500,
    "internalserver": 500,
    "invalidsignature": 403,
    "missingauthenticationtoken": 403,
    "modelerror": 424,
    "modelnotready": 429,
    "modelstreamerror": 424,
    "modeltimeout": 408,
    "resourcenotfound": 404,
    "servicequotaexceeded": 400,
    "serviceunavailable": 503,
    "throttling": 429,
    "toomanyrequests": 429,
    "unrecognizedclient": 403,
    "validation": 400,
}
"""The HTTP status of each exception, by its name in lower case without ``exception``."""
_SILENT = "the provider reported an error without a message"


def status_of(name: str) -> int:
    """The HTTP status of an exception."""
    return STATUS.get(name.lower().removesuffix("exception"), 502)


def bare_name(name: str) -> str:
    """``ValidationException`` of ``ValidationException:http://…`` and of ``com.amazon.coral#ValidationException``."""
    return name.partition(":")[0].rpartition("#")[2]


def in_headers(headers: Headers, payload: bytes) -> ErrorReport | None:
    """The error that a frame is, or None: ``:message-type`` says so, and nothing else does."""
    kind = eventstream.text(headers, ":message-type")
    if kind == "exception":
        name = bare_name(eventstream.text(headers, ":exception-type") or "exception")
        return _report(name, _object(payload), status_of(name))
    if kind == "error":
        name = bare_name(eventstream.text(headers, ":error-code") or "error")
        message = eventstream.text(headers, ":error-message") or _SILENT
        return ErrorReport(message, name, name, status_of(name))
    return None


def error_report(body: Mapping[str, Any]) -> ErrorReport | None:
    """The error that a JSON document is: ``{"message": …, "__type": …}`` in AWS's spellings, or None. The name is
    mostly in a header only; without it the type says nothing."""
    named = body.get("__type") or body.get("code")
    name = bare_name(named) if isinstance(named, str) else ""
    if not name and not any(isinstance(body.get(field), str) for field in ("message", "Message")):
        return None
    return _report(name, body, status_of(name))


def _report(name: str, body: Mapping[str, Any], status: int) -> ErrorReport:
    message = body.get("message") or body.get("Message")
    more = {field: value for field, value in body.items() if field not in ("message", "Message", "__type", "code", "p")}
    return ErrorReport(
        message=message if isinstance(message, str) else _SILENT,
        type=name or "server_error",
        code=name or None,
        status=status,
        fields=more or None,
    )


def _object(payload: bytes) -> dict[str, Any]:
    try:
        body = json.loads(payload)
    except ValueError:
        body = payload[:300].decode("utf-8", "replace").strip()
    if isinstance(body, dict):
        return body
    return {"message": body} if isinstance(body, str) and body else {}
