"""Every way in which a stream fails, with its words: what happened and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import msgspec

from penstock.errors import Fault
from penstock.events import ErrorReport
from penstock.outcome import Outcome
from penstock.plain import mended
from penstock.policy.failover import RETRYABLE_STATUS
from penstock.policy.silence import Limit
from penstock.stream.head import header
from penstock.stream.inputs import Headers
from penstock.wire import json


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A failure as the machine weighs it. ``status`` is set for HTTP errors only, with ``headers`` and, where it is
    JSON, the ``body`` as the provider sent it."""

    outcome: Outcome
    fault: Fault
    status: int | None = None
    headers: Headers = ()
    body: bytes | None = None
    quoted: bool = False
    """The provider's words are in it."""


def _own(outcome: Outcome, message: str, status: int, kind: str = "server_error") -> Failure:
    return Failure(
        outcome=outcome,
        fault=Fault(message, outcome.value, kind, status, outcome=outcome.value),
    )


def _seconds(limit: float | None) -> str:
    return "its limit" if limit is None else f"{limit:g} s"


def connect_failed(message: str) -> Failure:
    """No connection: refused, unreachable, no such name, TLS not to be trusted."""
    return _own(Outcome.CONNECT_FAILED, f"no connection to the provider: {message}; try again", 502)


def connect_timeout(limit: float) -> Failure:
    """No connection in time."""
    return connect_failed(f"nothing answered within {_seconds(limit)} (deadlines.connect)")


def first_token_timeout(limit: float | None) -> Failure:
    """No output in time."""
    message = f"the provider sent no token within {_seconds(limit)} (deadlines.first_token); try again"
    return _own(Outcome.FIRST_TOKEN_TIMEOUT, message, 504, "timeout_error")


def too_slow(pace: str) -> Failure:
    """Output came, but not fast enough to be committed to."""
    message = f"the provider was too slow: {pace} (deadlines.min_rate); try again"
    return _own(Outcome.TOO_SLOW, message, 504, "timeout_error")


def stalled(limit: float | None, learnt: Limit | None = None) -> Failure:
    """Output stopped. ``learnt``: where the limit comes from, if it was not configured."""
    silent = _seconds(limit if learnt is None else round(learnt.seconds, 3))
    why = "" if learnt is None else f": auto, in its {learnt.phase}: {learnt.why}"
    message = f"the provider sent no token for {silent} (deadlines.between_tokens{why}); the answer is not complete"
    return _own(Outcome.STALLED, message, 504, "timeout_error")


def max_duration(limit: float | None, set_by: str) -> Failure:
    """The stream took too long as a whole."""
    message = f"the stream took longer than {_seconds(limit)} ({set_by}); the answer is not complete"
    return _own(Outcome.MAX_DURATION, message, 504, "timeout_error")


def slow_client(limit: float | None) -> Failure:
    """The client did not read. It is not told: it would not read that either."""
    message = f"the client read nothing for {_seconds(limit)} (delivery.slow_client.timeout)"
    return _own(Outcome.SLOW_CLIENT, message, 0)


def client_closed() -> Failure:
    """The client left."""
    return _own(Outcome.CLIENT_CLOSED, "the client closed the connection", 499)


def abandoned(seconds: float) -> Failure:
    """Nobody followed a resumable stream."""
    message = f"nobody followed the stream for {seconds:g} s (journal.ttl); the answer is not complete"
    return _own(Outcome.CLIENT_CLOSED, message, 499)


def shutdown() -> Failure:
    """The gateway goes down."""
    message = "the gateway is shutting down and the drain time is over; send the request again"
    return _own(Outcome.SHUTDOWN, message, 503)


def crashed() -> Failure:
    """A bug of Penstock. Its words are in the log, not here: they may hold anything."""
    return _own(Outcome.CRASHED, "the gateway failed on a fault of its own; its log says which; try again", 500)


def blocked(reason: str) -> Failure:
    """A stage does not let the answer pass. The reason names the rule, never the text."""
    message = f"the answer was blocked: {reason}; sending the request again will hardly change that"
    return _own(Outcome.BLOCKED, message, 400, "invalid_request_error")


def unchecked(reason: str) -> Failure:
    """Nobody could say whether the answer may pass, and so it does not."""
    return _own(Outcome.BLOCKED, f"the answer was withheld: {reason}; try again", 503)


def empty() -> Failure:
    """A clean end without any output."""
    return _own(Outcome.EMPTY, "the provider ended its answer without any output; try again", 502)


def upstream_cut(missing: str, reason: str) -> Failure:
    """The stream ended before the answer did."""
    detail = f" ({reason})" if reason else ""
    message = f"{missing}{detail}: what arrived is not the whole answer; try again"
    return _own(Outcome.UPSTREAM_CUT, message, 502)


def upstream_error(message: str) -> Failure:
    """The provider sent what it may not."""
    return _own(Outcome.UPSTREAM_ERROR, message, 502)


def compressed(coding: str) -> Failure:
    """A body that cannot be read as it comes."""
    message = f"the provider's answer is compressed ({coding}) though identity was asked for, and cannot be streamed"
    return upstream_error(message)


def reported(event: ErrorReport) -> Failure:
    """An error that the provider reported inside a 200. Its own type and code are kept."""
    outcome = Outcome.UPSTREAM_ERROR
    code = event.code or outcome.value
    fault = _fault(event, code, event.type, event.status)
    return Failure(outcome=outcome, fault=fault, headers=_hinted((), event), quoted=True)


def http_error(status: int, headers: Headers, body: bytes, report: ErrorReport | None, *, verbatim: bool) -> Failure:
    """The provider answered with a status of its own. To a client of the same wire (``verbatim``) a JSON body
    goes on as it is; else the words of its ``report`` do, and where there are none the body is quoted.

    Behind the head of a stream the body cannot go on: there the client gets the words of the error that it holds.
    """
    outcome = Outcome.UPSTREAM_ERROR
    shown = status if 400 <= status <= 599 else 502
    said = _object(body)
    quoted = " ".join(body[:300].decode("utf-8", "replace").split())
    message = f"the provider answered with status {status}" + (f": {quoted}" if quoted else "")
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(shown, "invalid_request_error" if shown < 500 else "server_error")
    fault = Fault(message, outcome.value, kind, shown, outcome=outcome.value)
    if report is not None:
        code, kind = report.code or outcome.value, kind if report.type == "server_error" else report.type
        fault = _fault(report, code, kind, shown)
    return Failure(
        outcome=outcome,
        fault=fault,
        status=shown,
        headers=_hinted(headers, report),
        body=body if said is not None and verbatim else None,
        quoted=True,
    )


def _fault(report: ErrorReport, code: str, kind: str, status: int) -> Fault:
    """In words that every log can hold."""
    param = report.param and mended(report.param)
    outcome = Outcome.UPSTREAM_ERROR.value
    return Fault(mended(report.message), mended(code), mended(kind), status, param, outcome, report.fields)


def _hinted(headers: Headers, report: ErrorReport | None) -> Headers:
    """The headers, with the wait that the body names where none of them does."""
    if report is None or report.retry_after is None or header(headers, b"retry-after") is not None:
        return headers
    return (*headers, (b"retry-after", b"%d" % math.ceil(report.retry_after)))


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def without(failure: Failure, secrets: Iterable[bytes]) -> Failure:
    """The failure with a message that names no credential: it goes into the log too."""
    message = failure.fault.message
    for secret in secrets:
        message = message.replace(secret.decode("utf-8", "replace"), "***")
    if message == failure.fault.message:
        return failure
    return msgspec.structs.replace(failure, fault=msgspec.structs.replace(failure.fault, message=message))


def retry_after(failure: Failure) -> float | None:
    """Seconds, where the provider named a number of them."""
    value = header(failure.headers, b"retry-after")
    try:
        return None if value is None else float(value)
    except ValueError:
        return None


def more_useful(known: Failure | None, new: Failure) -> Failure:
    """Of the failures of several targets, the one to tell the client of.

    Best is an error that only the caller can mend, then 429 (of several, the one that lets the client come back
    soonest), then the provider's own words, then anything else; of equals the last.
    """
    if known is None:
        return new
    if _rank(known) == _rank(new) == 2:
        waits = retry_after(known), retry_after(new)
        if waits[0] is not None and (waits[1] is None or waits[0] < waits[1]):
            return known
    return new if _rank(new) >= _rank(known) else known


def _rank(failure: Failure) -> int:
    status = failure.status
    if status is not None and status < 500 and status not in RETRYABLE_STATUS:
        return 3
    if status == 429 or failure.fault.status == 429:
        return 2
    return 1 if failure.outcome is Outcome.UPSTREAM_ERROR else 0
