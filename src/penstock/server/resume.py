"""Streams that outlive their connection: who asks for them, who may see and stop them, and how they are taken up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from penstock.config.values import Key, Route
from penstock.drive.driver import Driver
from penstock.drive.journal import Facts, Journal, Log
from penstock.drive.reader import Manner, Source
from penstock.errors import BadRequest, Fault
from penstock.outcome import Outcome
from penstock.server.asked import after_of, fields_of, fingerprint_of, gone, idempotency_key
from penstock.store.shared import Held, Store
from penstock.store.shared import Known as Stands
from penstock.stream import numbering
from penstock.stream.commands import Seal
from penstock.stream.head import header
from penstock.stream.inputs import Followed, Headers, Stop
from penstock.stream.plan import Plan, Resumable
from penstock.wire.base import ClientWire

_T = TypeVar("_T")
_WAITS = (0.02, 0.1, 0.3, 0.6)
_YOUNG = 0.4
"""Seconds. Another gateway's stream is known a batch after its beginning: so long it is asked for again."""
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

    def __init__(self, journal: Journal | None, store: Store | None):
        self.journal = journal
        self.store = store
        if store is not None:
            store.on_stop = self._stop
        self._live: dict[str, Known] = {}
        self._ended: dict[str, dict[str, Any]] = {}
        """What is shown of them, in the order of their ends."""

    # -- a stream begins and ends ---------------------------------------------------------------------------------

    def asked(self, headers: Headers, route: Route) -> Resumable | None:
        """Whether a request makes a resumable stream. Raises BadRequest."""
        mode = (header(headers, b"x-penstock-resume") or b"").decode("latin-1").strip().lower()
        if mode not in ("", "on", "ids", "off"):
            raise BadRequest(f"x-penstock-resume is {mode!r}; allowed: on, ids or off", code="invalid_header")
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
                log.append(log.facts.orphaned)
                log.close(Seal(cut=True))
        if len(self._ended) >= RECENT:
            del self._ended[next(iter(self._ended))]
        self._ended[driver.stream] = _shown(known, driver.outcome)

    # -- taking one up --------------------------------------------------------------------------------------------

    async def taken_up(self, wire: ClientWire, headers: Headers, key: Key | None) -> Taken | None:
        """The stream that a POST goes on with by its cursor; None: it has none. Raises BadRequest (410)."""
        cursor = header(headers, b"last-event-id")
        if cursor is None:
            return None
        named = numbering.cursor(cursor.decode("latin-1"))
        if named is None:
            raise gone("Last-Event-ID names no frame of a stream: it has the form <stream>.<n>")
        found = await self._held(named[0], key)
        if found.facts.client_wire != wire.name:
            raise BadRequest(f"the stream speaks {found.facts.client_wire}, not {wire.name}")
        return await self._taken(found, named[1], events=False, ids=found.facts.ids)

    async def claim(self, headers: Headers, path: str, body: bytes, key: Key | None, stream: str) -> Taken | None:
        """Let the request's idempotency key lead to its stream; None: it does from now on, or there is none. Else the
        stream that it leads to already. Nothing may be waited for between this and the stream's start. Raises
        BadRequest (409, 410)."""
        name = idempotency_key(headers)
        if self.journal is None or name is None:
            return None
        owner, fingerprint = _owner(key), fingerprint_of(path, body)
        claimed = self.journal.claimed(owner, name)
        if claimed is None and self.store is not None:
            claimed = await self.store.claim(owner, name, fingerprint, stream)
            claimed = self.journal.claimed(owner, name) or claimed
        if claimed is None:
            self.journal.claim(owner, name, fingerprint, stream)
            return None
        if claimed[0] != fingerprint:
            message = "this Idempotency-Key was used for another request; take a new key for a new request"
            raise BadRequest(message, status=409, code="idempotency_conflict", param="Idempotency-Key")
        for wait in _WAITS:
            # It may be about to begin.
            if await self._found(claimed[1]) is None:
                await asyncio.sleep(wait)
        found = await self._held(claimed[1], key)
        return await self._taken(found, 0, events=False, ids=found.facts.ids)

    async def events(self, stream: str, headers: Headers, query: bytes, key: Key | None) -> Taken:
        """What ``GET /v1/streams/{id}/events`` reads. Raises BadRequest (400, 410)."""
        found = await self._held(stream, key)
        fields = fields_of(query)
        after, by_id = after_of(stream, header(headers, b"last-event-id"), fields.get("after"))
        wanted = (header(headers, b"x-penstock-resume") or b"").lower() == b"ids" or fields.get("ids") in ("1", "true")
        return await self._taken(found, after, events=True, ids=wanted or by_id or found.facts.ids)

    def readable(self, stream: str, key: Key | None) -> Log:
        """The journal of a stream that this gateway holds and this key may read. Raises BadRequest (410)."""
        log = self._log(stream)
        if log is None or not may(key, log.facts.owner):
            known = self._live.get(stream)
            shown = self._ended.get(stream) if known is None else _shown(known, None)
            if shown is not None and may(key, shown["key"]) and not shown["resumable"]:
                raise gone(f"the stream {stream} is not resumable: send x-penstock-resume: on with its request")
            raise gone(f"the stream {stream} is unknown here, or its journal has expired")
        return log

    async def _found(self, stream: str) -> Log | Held | None:
        log = self._log(stream)
        return log if log is not None or self.store is None else await self.store.find(stream)

    async def _held(self, stream: str, key: Key | None) -> Log | Held:
        """A stream that is held here or in the store. Raises BadRequest (410)."""
        found: Log | Held | None = await self._young(self._found, stream)
        return found if found is not None and may(key, found.facts.owner) else self.readable(stream, key)

    async def _young(self, ask: Callable[[str], Awaitable[_T | None]], stream: str) -> _T | None:
        """What is answered, and asked again for a while where nobody knows the stream: it may have just begun."""
        clock = asyncio.get_running_loop().time
        until = clock() + _YOUNG
        found = await ask(stream)
        own = self.store is None or stream in self._live or stream in self._ended
        while found is None and not own and clock() < until:
            await asyncio.sleep(0.03)
            found = await ask(stream)
        return found

    async def _taken(self, found: Log | Held, after: int, *, events: bool, ids: bool) -> Taken:
        manner = manner_of(found.facts, events=events, ids=ids)
        if isinstance(found, Held):
            assert self.store is not None
            first = await self.store.first(found.facts.stream)
            source: Source = self.store.source(found, after)
        elif after > found.ring.last:
            raise BadRequest(f"the stream has {found.ring.last} frames so far: nobody has seen frame {after}")
        else:
            first, source = found.ring.first, found
        if after + 1 < first:
            raise gone(f"the frames {after + 1} to {first - 1} are no longer held (journal.per_stream)")
        manner = msgspec.structs.replace(manner, served=partial(self._served, found.facts.stream))
        return Taken(source=source, after=after, manner=manner)

    def _served(self, stream: str) -> tuple[str | None, int]:
        """As the head of the stream's own answer says it: who serves it once that is sure, and at a failure how many
        tried. Nothing of a stream of another gateway."""
        known = self._live.get(stream)
        shown = self._ended.get(stream) if known is None else _shown(known, None)
        if shown is None or not (shown["committed"] or shown["outcome"]):
            return None, 0
        return shown["target"] if shown["committed"] else None, shown["attempts"]

    # -- seeing and stopping --------------------------------------------------------------------------------------

    async def listed(self, key: Key | None) -> list[dict[str, Any]]:
        """The streams that this key may see, the latest first: those of this gateway, and what the store knows."""
        found = [self._find(stream, key) for stream in reversed([*self._ended, *self._live])]
        shown = {one["id"]: one for one in found if one is not None}
        if self.store is None:
            return list(shown.values())
        for known in await self.store.listed(RECENT):
            facts = known.held.facts
            if may(key, facts.owner):
                shown.setdefault(facts.stream, _elsewhere(known))
        return sorted(shown.values(), key=lambda one: -int(one["began"]))

    def shown(self, stream: str, key: Key | None) -> dict[str, Any]:
        """One of them. Raises BadRequest (404)."""
        shown = self._find(stream, key)
        if shown is None:
            raise BadRequest(f"there is no stream {stream}", status=404, code="not_found")
        return shown

    async def stop(self, stream: str, key: Key | None) -> dict[str, Any]:
        """End its generation; one that has ended stays as it is. Raises BadRequest (404)."""
        shown = await self.seen(stream, key)
        if stream in self._live:
            self._stop(stream)
            return self.shown(stream, key)
        if stream not in self._ended and self.store is not None and (held := await self.store.find(stream)) is not None:
            heard = await self.store.stop(held)
            return {**shown, "state": "stopping" if heard else shown["state"]}
        return shown

    def _stop(self, stream: str) -> None:
        known = self._live.get(stream)
        if known is not None:
            known.driver.feed(Stop())

    async def seen(self, stream: str, key: Key | None) -> dict[str, Any]:
        """A stream of this gateway, or what the store knows of one. Raises BadRequest (404)."""
        shown = self._find(stream, key)
        if shown is not None or self.store is None:
            return shown or self.shown(stream, key)
        known = await self._young(self.store.known, stream)
        if known is None or not may(key, known.held.facts.owner):
            return self.shown(stream, key)
        return _elsewhere(known)

    async def answer(self, name: str, key: Key | None) -> str | None:
        """As `response`, and of other gateways too."""
        stream = self.response(name, key)
        if stream is None and self.store is not None and (found := await self.store.named(name)) is not None:
            held = await self.store.find(found)
            stream = found if held is not None and may(key, held.facts.owner) else None
        return stream

    async def journaled(self, name: str, key: Key | None) -> str | None:
        """The stream whose answer has this id, where there is a journal of it and the key may see it."""
        live = (self.journal is None or self.journal.named(name) is None) and self.response(name, key) is not None
        return None if live else await self.answer(name, key)

    def foreign(self, name: str, key: Key | None) -> bool:
        """The answer with this id is known here, and not this key's business."""
        log = None if self.journal is None else self.journal.named(name)
        owners = [log.facts.owner] if log is not None else []
        owners += [known.owner for known in self._live.values() if known.driver.name == name]
        return any(not may(key, owner) for owner in owners)

    async def all_of(self, stream: str, key: Key | None) -> tuple[Facts, Source]:
        """All that is held of a stream now, and what comes. Raises BadRequest (410)."""
        found = await self._held(stream, key)
        if isinstance(found, Log):
            return found.facts, found
        assert self.store is not None
        return found.facts, await self.store.snapshot(found)

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
        "committed": account.committed,
        "target": served.target if served is not None else None,
        "attempts": len(account.attempts),
        "token_events": account.token_events,
    }


def _elsewhere(known: Stands) -> dict[str, Any]:
    """The same of a stream that this gateway does not have."""
    facts = known.held.facts
    return {
        "id": facts.stream,
        "object": "stream",
        "state": known.state,
        "outcome": known.outcome,
        "key": facts.owner,
        "resumable": True,
        "began": facts.began,
        "route": facts.route,
        "model": facts.model,
        "client_wire": facts.client_wire,
        "streamed": facts.form != numbering.WHOLE,
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


def _owner(key: Key | None) -> str | None:
    return None if key is None else key.name


def _fault(message: str, code: str) -> Fault:
    return Fault(message, code, "server_error", 502, outcome=code)
