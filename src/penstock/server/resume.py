"""Streams that outlive their connection: who asks for them, who may see and stop them, and how they are taken up."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qs

import msgspec

from penstock.config.values import Key, Route
from penstock.drive.driver import Driver
from penstock.drive.journal import Facts, Journal, Log
from penstock.drive.reader import Manner, Source
from penstock.drive.streams import Streams
from penstock.errors import BadRequest, Fault
from penstock.outcome import Outcome
from penstock.stream import numbering
from penstock.stream.commands import Seal
from penstock.stream.head import header
from penstock.stream.inputs import Followed, Headers, Stop
from penstock.stream.plan import Plan, Resumable
from penstock.wire.base import ClientWire

RECENT = 1000
"""Streams that are listed after their end."""
_LOST = "what follows in this stream is no longer held; the answer is not complete; send the request again"
_ORPHANED = "the gateway that served this stream is gone; the answer is not complete; send the request again"
_COMMENT, _BLANK = b": keep-alive", b"\r\n"


class Known(msgspec.Struct, kw_only=True):
    """A live stream of this process."""

    owner: str | None
    began: int
    driver: Driver
    resumable: bool


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that is taken up: what to read, from where, and how."""

    source: Source
    after: int
    manner: Manner


class Resuming:
    """The streams of one gateway process, as their clients see them from outside."""

    def __init__(self, streams: Streams, journal: Journal | None):
        self._streams = streams
        self.journal = journal
        self._live: dict[str, Known] = {}
        self._ended: dict[str, dict[str, Any]] = {}
        """What is shown of them, in the order of their ends."""

    # -- a stream begins and ends ---------------------------------------------------------------------------------

    def asked(self, headers: Headers, route: Route) -> Resumable | None:
        """Whether a request makes a resumable stream. Raises BadRequest."""
        mode = (header(headers, b"x-penstock-resume") or b"").decode("latin-1").strip().lower()
        if mode not in ("", "on", "ids", "off"):
            raise BadRequest("x-penstock-resume takes on, ids or off", param="x-penstock-resume")
        asked = mode in ("on", "ids") or header(headers, b"idempotency-key") is not None
        if self.journal is None:
            if asked:
                message = "this gateway keeps no journal: streams cannot be resumed, and Idempotency-Key not be kept"
                raise BadRequest(message, code="not_resumable")
            return None
        if not asked and (mode == "off" or route.delivery.on_disconnect != "detach"):
            return None
        return Resumable(ids=mode == "ids", alone=self.journal.ttl)

    def begin(self, plan: Plan, owner: str | None) -> Log | None:
        """The journal of a stream that is about to start, where it has one."""
        if self.journal is None or plan.resumable is None:
            return None
        request, client = plan.request, plan.client
        facts = Facts(
            stream=plan.stream,
            owner=owner,
            route=plan.route,
            model=request.model,
            client_wire=plan.client_wire,
            form=numbering.form_of(client.content_type) if request.stream else numbering.WHOLE,
            ids=plan.resumable.ids,
            content_type=client.content_type.decode(),
            began=request.accepted,
            lost=client.error_frame(_fault(_LOST, "not_resumable")),
            orphaned=client.error_frame(_fault(_ORPHANED, Outcome.CRASHED.value)),
        )
        return self.journal.begin(facts)

    def add(self, driver: Driver, owner: str | None, log: Log | None, began: int) -> None:
        """A stream starts."""
        self._live[driver.stream] = Known(owner=owner, began=began, driver=driver, resumable=log is not None)
        if log is not None:
            log.on_followers = lambda number: driver.feed(Followed(number))

    def over(self, driver: Driver) -> None:
        """It is over."""
        known = self._live.pop(driver.stream, None)
        if known is None:
            return
        log = self._log(driver.stream)
        if log is not None:
            log.outcome = driver.outcome
            if log.seal is None:
                # Its machine broke: nobody is to wait for more.
                log.append([log.facts.orphaned])
                log.close(Seal(cut=True))
        if len(self._ended) >= RECENT:
            del self._ended[next(iter(self._ended))]
        self._ended[driver.stream] = _shown(known, driver.outcome)

    # -- taking one up --------------------------------------------------------------------------------------------

    def taken_up(self, wire: ClientWire, headers: Headers, path: str, body: bytes, key: Key | None) -> Taken | None:
        """The stream that a POST goes on with: by its cursor, or by its idempotency key; None: it begins its own.
        Raises BadRequest (409, 410)."""
        cursor = header(headers, b"last-event-id")
        if cursor is not None:
            named = numbering.cursor(cursor.decode("latin-1"))
            if named is None:
                raise _gone("Last-Event-ID names no frame of a stream: it has the form <stream>.<n>")
            log = self.readable(named[0], key)
            if log.facts.client_wire != wire.name:
                raise BadRequest(f"the stream speaks {log.facts.client_wire}, not {wire.name}")
            return self._taken(log, named[1], events=False, ids=log.facts.ids)
        if self.journal is None or (name := idempotency_key(headers)) is None:
            return None
        claimed = self.journal.claimed(_owner(key), name)
        if claimed is None:
            return None
        fingerprint, stream = claimed
        if fingerprint != fingerprint_of(path, body):
            message = "this Idempotency-Key was used for another request; take a new key for a new request"
            raise BadRequest(message, status=409, code="idempotency_conflict", param="Idempotency-Key")
        log = self.readable(stream, key)
        return self._taken(log, 0, events=False, ids=log.facts.ids)

    def claim(self, headers: Headers, path: str, body: bytes, key: Key | None, stream: str) -> None:
        """The request's idempotency key leads to its stream from now on. Before the stream starts."""
        name = idempotency_key(headers)
        if self.journal is not None and name is not None:
            self.journal.claim(_owner(key), name, fingerprint_of(path, body), stream)

    def events(self, stream: str, headers: Headers, query: bytes, key: Key | None) -> Taken:
        """What ``GET /v1/streams/{id}/events`` reads. Raises BadRequest (400, 410)."""
        log = self.readable(stream, key)
        fields = fields_of(query)
        after, by_id = _after(stream, header(headers, b"last-event-id"), fields.get("after"))
        wanted = (header(headers, b"x-penstock-resume") or b"").lower() == b"ids" or fields.get("ids", "") in (
            "1",
            "true",
        )
        return self._taken(log, after, events=True, ids=wanted or by_id or log.facts.ids)

    def readable(self, stream: str, key: Key | None) -> Log:
        """The journal of a stream that this key may read. Raises BadRequest (410)."""
        log = self._log(stream)
        if log is None or not may(key, log.facts.owner):
            known = self._live.get(stream)
            shown = self._ended.get(stream) if known is None else _shown(known, None)
            if shown is not None and may(key, shown["key"]) and not shown["resumable"]:
                raise _gone(f"the stream {stream} is not resumable: send x-penstock-resume: on with its request")
            raise _gone(f"the stream {stream} is unknown here, or its journal has expired")
        return log

    def _taken(self, log: Log, after: int, *, events: bool, ids: bool) -> Taken:
        if after > log.ring.last:
            raise BadRequest(f"the stream has {log.ring.last} frames so far: nobody has seen frame {after}")
        if after + 1 < log.ring.first:
            raise _gone(f"the frames {after + 1} to {log.ring.first - 1} are no longer held (journal.per_stream)")
        return Taken(source=log, after=after, manner=manner_of(log.facts, events=events, ids=ids))

    # -- seeing and stopping --------------------------------------------------------------------------------------

    def listed(self, key: Key | None) -> list[dict[str, Any]]:
        """The streams that this key may see, the latest first."""
        found = (self._find(stream, key) for stream in reversed([*self._ended, *self._live]))
        return [shown for shown in found if shown is not None]

    def shown(self, stream: str, key: Key | None) -> dict[str, Any]:
        """One of them. Raises BadRequest (404)."""
        shown = self._find(stream, key)
        if shown is None:
            raise BadRequest(f"there is no stream {stream}", status=404, code="not_found")
        return shown

    def stop(self, stream: str, key: Key | None) -> dict[str, Any]:
        """End its generation; one that has ended stays as it is. Raises BadRequest (404)."""
        self.shown(stream, key)
        known = self._live.get(stream)
        if known is not None:
            known.driver.feed(Stop())
        return self.shown(stream, key)

    def response(self, name: str, key: Key | None) -> str | None:
        """The stream whose answer has this id on OpenAI's Responses wire, if the key may see it."""
        log = None if self.journal is None else self.journal.named(name)
        if log is not None:
            return log.facts.stream if may(key, log.facts.owner) else None
        for stream, known in self._live.items():
            account = known.driver.account
            if account.client_wire == "openai-responses" and known.driver.name == name and may(key, known.owner):
                return stream
        return None

    def _find(self, stream: str, key: Key | None) -> dict[str, Any] | None:
        known = self._live.get(stream)
        shown = _shown(known, None) if known is not None else self._ended.get(stream)
        if shown is None or not may(key, shown["key"]):
            return None
        log = self._log(stream)
        held = {"first": log.ring.first, "last": log.ring.last} if log is not None else None
        readers = len(log.followers) if log is not None else 0
        return {**shown, "resumable": shown["resumable"] and log is not None, "frames": held, "readers": readers}

    def _log(self, stream: str) -> Log | None:
        return None if self.journal is None else self.journal.get(stream)


def _shown(known: Known, outcome: Outcome | None) -> dict[str, Any]:
    """What a stream looks like from outside."""
    account = known.driver.account
    served = account.served
    return {
        "id": account.stream,
        "object": "stream",
        "state": "ended" if outcome is not None else account.leaving or "live",
        "outcome": outcome,
        "key": known.owner,
        "resumable": known.resumable,
        "began": known.began,
        "route": account.route,
        "model": account.model,
        "client_wire": account.client_wire,
        "streamed": account.streamed,
        "target": served.target if served is not None else None,
        "token_events": account.token_events,
    }


def manner_of(facts: Facts, *, events: bool, ids: bool) -> Manner:
    """How a reader gets a stream. ``events``: from the endpoint that speaks server-sent events whatever the wire."""
    spoken = facts.form == numbering.EVENTS or events
    silence = _BLANK if facts.client_wire == "gemini" and not ids else _COMMENT + (b"\n" if ids else b"\n\n")
    return Manner(
        stream=facts.stream,
        form=facts.form,
        content_type=b"text/event-stream; charset=utf-8" if events else facts.content_type.encode(),
        events=events,
        ids=ids and spoken,
        keepalive=silence if spoken else b"",
        patience=0.0 if events else None if facts.form == numbering.WHOLE else 10.0,
        overwritten=numbering.event(facts.lost, facts.form) if events else facts.lost,
    )


def may(key: Key | None, owner: str | None) -> bool:
    """May the bearer of this key see and stop a stream of that owner?"""
    return key is None or key.admin or key.name == owner


def idempotency_key(headers: Headers) -> str | None:
    """The key that a request names itself by. Raises BadRequest."""
    value = header(headers, b"idempotency-key")
    if value is None:
        return None
    if not 1 <= len(value) <= 255 or not all(32 < byte < 127 for byte in value):
        message = "Idempotency-Key takes 1 to 255 visible ASCII characters"
        raise BadRequest(message, param="Idempotency-Key")
    return value.decode()


def fingerprint_of(path: str, body: bytes) -> bytes:
    """The same for the same request."""
    return hashlib.sha256(path.encode() + b"\0" + body).digest()


def fields_of(query: bytes) -> dict[str, str]:
    """The fields of a query, of several of one name the last."""
    found = parse_qs(query.decode("latin-1"), keep_blank_values=True)
    return {name: values[-1] for name, values in found.items()}


def _owner(key: Key | None) -> str | None:
    return None if key is None else key.name


def _gone(message: str) -> BadRequest:
    return BadRequest(message, status=410, code="not_resumable")


def _fault(message: str, code: str) -> Fault:
    return Fault(message, code, "server_error", 502, outcome=code)


def _after(stream: str, last_event_id: bytes | None, after: str | None) -> tuple[int, bool]:
    """The cursor, and whether it came as an event's id, which is the later of the two: a browser asks for the same
    address again. Raises BadRequest."""
    if last_event_id:
        said = last_event_id.decode("latin-1").strip()
        named = numbering.cursor(said if "." in said else f"{stream}.{said}")
        if named is None or named[0] != stream:
            raise BadRequest(f"Last-Event-ID is no frame of the stream {stream}", param="Last-Event-ID")
        return named[1], True
    if after is None:
        return 0, False
    if (named := numbering.cursor(f"{stream}.{after}")) is None:
        raise BadRequest("after takes the number of the last frame that was seen, 0 for none", param="after")
    return named[1], False
