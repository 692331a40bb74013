"""Responses that a provider of OpenAI's Responses wire holds: asked for again, cancelled and deleted at the provider
that made them. Nothing of that is a stream of the gateway's own: it has no row, no journal, and no stages."""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec

from penstock import __version__
from penstock.config.values import Config, Key, Route
from penstock.drive.driver import Driver
from penstock.drive.journal import Facts
from penstock.errors import BadRequest, Fault
from penstock.policy.guards import Guards
from penstock.ports import Exchange, Listener
from penstock.request import StreamRequest
from penstock.server.answers import Send, answer
from penstock.server.calls import Call, CallFailed, Head
from penstock.server.resume import Taken, manner_of, may
from penstock.server.upstreams import Upstream
from penstock.store.shared import Ended, RemoteLog
from penstock.stream.head import header, own, passed_on, scrubbed
from penstock.stream.numbering import EVENTS, Frames
from penstock.upstream.pool import Pool
from penstock.wire.openai_responses_held import Retelling, held, without_output

Scope = MutableMapping[str, Any]
WIRE = "openai-responses"
REMEMBERED = 10_000
"""Responses."""
PATIENCE = 30.0
"""Seconds until an answer begins, and, where it is no stream, until it is whole."""
MOST = 64 * 1024 * 1024
"""Bytes of an answer that is no stream."""
AHEAD = 16 * 1024 * 1024
"""Bytes that are held of one that is: the longest of its events fit."""
_ID = re.compile(r"[A-Za-z0-9_-]{1,256}", re.ASCII)
_TYPE = b"text/event-stream; charset=utf-8"


class Made(msgspec.Struct, frozen=True):
    """Who made a response, and for whom."""

    owner: str | None
    route: str
    provider: str


class Memory:
    """The responses that providers were asked to hold, the latest of them; it outlives configurations."""

    def __init__(self) -> None:
        self._live: dict[str, tuple[Driver, str | None]] = {}
        self._made: OrderedDict[str, Made] = OrderedDict()

    def begin(self, driver: Driver, request: StreamRequest, owner: str | None) -> None:
        """A stream starts."""
        if driver.account.client_wire == WIRE and held(request):
            self._live[driver.stream] = driver, owner

    def over(self, driver: Driver) -> None:
        """It is over."""
        if driver.stream not in self._live:
            return
        _, owner = self._live.pop(driver.stream)
        made = _made(driver, owner)
        if driver.name and made is not None:
            self._made[driver.name] = made
            if len(self._made) > REMEMBERED:
                self._made.popitem(last=False)

    def find(self, name: str) -> Made | None:
        """Who made the response with that id."""
        live = (_made(driver, owner) for driver, owner in self._live.values() if driver.name == name)
        return self._made.get(name) or next(live, None)


def _made(driver: Driver, owner: str | None) -> Made | None:
    served = driver.account.served
    return None if served is None else Made(owner, driver.account.route, served.target.partition("/")[0])


class Holder(msgspec.Struct, frozen=True):
    """A provider that may have a response, and the route that leads to it."""

    upstream: Upstream
    route: Route

    @property
    def plain(self) -> bool:
        """The route's clients get what the provider says, and nobody keeps a copy."""
        route = self.route
        unchanged = route.delivery.mode == "passthrough" and route.delivery.served_model != "hide"
        return unchanged and not route.stages and route.guards == Guards() and route.capture is None


class HeldResponses:
    """What clients ask of one configuration's providers. ``upstream`` knows them by name."""

    def __init__(self, config: Config, upstream: Callable[[str], Upstream], memory: Memory, pool: Callable[[], Pool]):
        self._config = config
        self._upstream = upstream
        self._memory = memory
        self._pool = pool
        self._wires = {provider.name: provider.wire for provider in config.providers}

    def knows(self, name: str) -> bool:
        """A provider holds it, for certain."""
        return self._memory.find(name) is not None

    async def show(self, name: str, scope: Scope, send: Send, key: Key | None) -> None:
        """``GET`` without a stream. Raises BadRequest."""
        query = _query(scope)
        await self._pass_on("GET", name, query, scope, send, _readable(self._holders(name, scope, key)))

    async def delete(self, name: str, scope: Scope, send: Send, key: Key | None) -> None:
        """``DELETE``. Raises BadRequest."""
        await self._pass_on("DELETE", name, _query(scope), scope, send, self._holders(name, scope, key))

    async def cancel(self, name: str, scope: Scope, send: Send, key: Key | None) -> None:
        """``POST …/cancel``. Raises BadRequest."""
        await self._pass_on("POST", f"{name}/cancel", _query(scope), scope, send, self._holders(name, scope, key))

    async def follow(self, name: str, after: int, scope: Scope, send: Send, key: Key | None) -> Taken | None:
        """``GET`` as a stream: what its reader reads. None where the provider has refused, and the client was told so.
        Raises BadRequest."""
        holders = _readable(self._holders(name, scope, key))
        for place, holder in enumerate(holders, 1):
            call = self._call(holder, "GET", name, _query(scope), _TYPE)
            taken = False
            try:
                async with _patient(holder):
                    head = await call.answered()
                    if head.status == 404 and place < len(holders):
                        continue
                    if head.status != 200:
                        await _tell(send, scope, holder, head, await call.whole(MOST))
                        return None
                kind = header(head.headers, b"content-type") or b""
                if not kind.startswith(b"text/event-stream"):
                    message = f"{holder.upstream.provider.name} does not stream the responses that it holds"
                    raise BadRequest(message, status=502, code="not_resumable")
                taken = True
                return self._taken(holder, call, name, after, scope, key)
            finally:
                if not taken:
                    call.close()
        return None

    # -- who holds it ---------------------------------------------------------------------------------------------

    def _holders(self, name: str, scope: Scope, key: Key | None) -> list[Holder]:
        """The one that made it; else those that this key may ask, in the order of the routes. Raises BadRequest."""
        made = self._memory.find(name)
        found: dict[str, Holder] = {}
        for route in self._config.routes:
            if made is not None and route.name != made.route:
                continue
            for target in route.targets:
                provider = target.provider
                if self._wires[provider] != WIRE or (made is not None and provider != made.provider):
                    continue
                holder = Holder(self._upstream(provider), route)
                # Of a provider with several routes nobody knows which of them it was: it is the strictest.
                if provider not in found or found[provider].plain:
                    found[provider] = holder
        if made is not None:
            allowed = found if may(key, made.owner) else {}
        else:
            allowed = {provider: holder for provider, holder in found.items() if self._leads(key, provider)}
        if not allowed or not _ID.fullmatch(name):
            raise BadRequest(f"there is nothing at {scope['penstock.path']}", status=404, code="not_found")
        return list(allowed.values())

    def _leads(self, key: Key | None, provider: str) -> bool:
        """Does a route that this key may use lead there?"""
        if key is None or not key.models:
            return True
        return any(
            target.provider == provider
            for route in self._config.routes
            if route.name in key.models
            for target in route.targets
        )

    # -- asking ---------------------------------------------------------------------------------------------------

    def _call(self, holder: Holder, method: str, path: str, query: str, accept: bytes) -> Call:
        upstream, pool = holder.upstream, self._pool()
        at = upstream.at(f"/responses/{path}{query}", "", method=method)
        fields = {"user-agent": f"penstock/{__version__}", "accept": accept.decode()}
        fields |= {name.lower(): value for name, value in upstream.provider.headers}

        def open(listener: Listener, fresh: bool) -> Exchange:
            return upstream.open(pool, at, list(fields.items()), b"", listener, fresh=fresh)

        return Call(open)

    async def _pass_on(
        self, method: str, path: str, query: str, scope: Scope, send: Send, holders: list[Holder]
    ) -> None:
        for place, holder in enumerate(holders, 1):
            call = self._call(holder, method, path, query, b"application/json")
            try:
                async with _patient(holder):
                    head = await call.answered()
                    body = await call.whole(MOST)
            finally:
                call.close()
            if head.status != 404 or place == len(holders):
                await _tell(send, scope, holder, head, body)
                return

    def _taken(self, holder: Holder, call: Call, name: str, after: int, scope: Scope, key: Key | None) -> Taken:
        stream, route, frames = scope["penstock.stream"], holder.route, Frames(_TYPE)
        retelling, secrets = Retelling(name, after, stream), holder.upstream.secrets
        facts = Facts(
            stream=stream,
            owner=None if key is None else key.name,
            route=route.name,
            model="",
            client_wire=WIRE,
            form=EVENTS,
            ids=False,
            content_type=_TYPE.decode(),
            began=0,
            lost=retelling.error(_fault("not_resumable", "an event of it is too long to be passed on")),
            orphaned=b"",
        )

        async def follow(log: RemoteLog) -> None:
            try:
                async with asyncio.timeout(route.deadlines.total):
                    while log.wanted and not retelling.over and (data := await call.read()) is not None:
                        for frame in (told := frames.take(data)):
                            retelling.take(frame)
                        log.extend(log.ring.last + len(told), [scrubbed(frame, secrets) for frame in told])
                        await log.room()
                if retelling.ended:
                    log.close(Ended(200, None, False))
                elif retelling.heard:
                    log.give_up(retelling.error(_fault("upstream_cut", "its answer ended before the response did")))
                else:
                    log.give_up(retelling.error(_fault("not_resumable", "it told nothing of the response any more")))
            except CallFailed as error:
                log.give_up(retelling.error(_fault("upstream_cut", f"its answer broke off: {error}")))
            except TimeoutError:
                log.give_up(retelling.error(_fault("max_duration", "deadlines.total has passed")))
            finally:
                call.close()

        log = RemoteLog(facts, 0, AHEAD, follow)
        return Taken(source=log, after=0, manner=manner_of(facts, events=True, ids=False))


def _query(scope: Scope) -> str:
    """The client's own query, without a key of the gateway."""
    fields = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept = [(name, value) for name, value in fields if name != "key"]
    return f"?{urlencode(kept)}" if kept else ""


def _readable(holders: list[Holder]) -> list[Holder]:
    """Those whose answers may be read past the gateway. Raises BadRequest (403) where there are none."""
    plain = [holder for holder in holders if holder.plain]
    if not plain:
        message = (
            f"answers of the route {holders[0].route.name} are changed, checked or copied on their way, which what a "
            "provider holds would pass by: ask with x-penstock-resume: on, and resume that stream"
        )
        raise BadRequest(message, status=403, code="not_resumable")
    return plain


@asynccontextmanager
async def _patient(holder: Holder) -> AsyncIterator[None]:
    name = holder.upstream.provider.name
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    except TimeoutError:
        raise BadRequest(f"{name} has not answered in {PATIENCE:g} s", status=504, code="upstream_timeout") from None
    except CallFailed as error:
        message = str(error)
        for secret in holder.upstream.secrets:
            message = message.replace(secret.decode("latin-1"), "***")
        raise BadRequest(f"{name} could not be asked: {message}", status=502, code="upstream_error") from None


async def _tell(send: Send, scope: Scope, holder: Holder, head: Head, body: bytes) -> None:
    """The provider's answer, as the client gets it."""
    secrets = tuple(holder.upstream.secrets)
    kind = header(head.headers, b"content-type") or b"application/json"
    extra = [*passed_on(head.headers, secrets), *own(scope["penstock.stream"], target=None, attempts=0)]
    if not holder.plain and head.status < 300:
        body = without_output(body)
    await answer(send, head.status, scrubbed(body, secrets), content_type=kind, extra=extra)


def _fault(code: str, why: str) -> Fault:
    message = f"the provider holds this response, and {why}; ask for it again"
    return Fault(message, code, "server_error", 502, outcome=code)
