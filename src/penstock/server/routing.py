"""From a client's request to the plan of a stream and the requests that its targets would get."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from functools import partial

import msgspec

from penstock.config.values import Config, Key, Route, Target
from penstock.drive.sliced import with_breaths
from penstock.drive.targets import Targets
from penstock.errors import BadRequest
from penstock.metering.tally import Meter
from penstock.policy.deadlines import Deadlines
from penstock.policy.leaving import Drains
from penstock.ports import Checker, Exchange, Listener
from penstock.request import StreamRequest
from penstock.server.balance import Balancer
from penstock.server.copying import metadata_of
from penstock.server.patience import patience
from penstock.server.staging import Shared, Staging
from penstock.server.upstreams import Upstream, upstream
from penstock.stream.inputs import Headers
from penstock.stream.plan import Plan, Way
from penstock.upstream.authority import Secrets
from penstock.upstream.pool import Pool
from penstock.wire import unstreamed
from penstock.wire.base import ClientSession, ClientWire, Decoder, UpstreamWire, View, adopted, clients_of
from penstock.wire.continued import Beginning, Prefix, Remembered, rest_of
from penstock.wire.conversation import Conversation
from penstock.wire.dialects import dialect_of, runs_on
from penstock.wire.leaving import stops_when_left
from penstock.wire.naming import Renamed
from penstock.wire.openai_responses_client import ResponsesClient
from penstock.wire.openai_responses_held import in_background
from penstock.wire.prefill import Prefill, is_plain, with_beginning
from penstock.wire.translated import Translated


class _Target(msgspec.Struct, frozen=True):
    """One target of one request."""

    target: Target
    upstream: Upstream
    model: str
    way: Way
    body: Callable[[bool], bytes]
    """The request's body; the argument is whether usage is asked for."""
    prefill: Prefill
    """How it is given a beginning."""
    whole: bool
    """No stream is asked for."""


class RequestDialer:
    """Sends one request to any of its targets (see `ports.Dialer`)."""

    def __init__(self, pool: Pool, request: StreamRequest, targets: list[_Target], headers: Headers):
        self._pool = pool
        self._request = request
        self._targets = targets
        self._headers = headers

    def open(
        self, target: int, listener: Listener, *, fresh: bool, ask_usage: bool, behind: Prefix | None = None
    ) -> Exchange:
        """Send it."""
        chosen = self._targets[target]
        upstream = chosen.upstream
        headers = upstream.headers(self._request, self._headers, same_wire=chosen.way.same_wire, whole=chosen.whole)
        at = upstream.endpoint(self._request, chosen.model, whole=chosen.whole)
        body = chosen.body(ask_usage)
        if behind is not None:
            body = with_beginning(body, behind, chosen.prefill)
        return upstream.open(self._pool, at, headers, body, listener, fresh=fresh)


class Router:
    """The routes and providers of a configuration."""

    def __init__(
        self,
        config: Config,
        known: Targets,
        chance: Callable[[], float] = random.random,
        meter: Callable[[str, str], Meter | None] | None = None,
    ):
        self._balancer = Balancer(known, chance)
        self._meter = meter
        self._routes = {route.name: route for route in config.routes}
        self._drains = {route.name: Drains(route.delivery.drain.streams) for route in config.routes}
        shared = Shared()
        self._staging = {route.name: Staging(route, shared) for route in config.routes}
        self._upstreams = {provider.name: upstream(provider) for provider in config.providers}

    async def prepare(self) -> None:
        """Fetch what credentials must be fetched, so that the first requests need not wait. What fails here is logged
        and fails again, with words for the client, where it is needed."""
        waiting = [each.authority.get() for each in self._upstreams.values() if each.authority.renews]
        await asyncio.gather(*waiting, return_exceptions=True)

    async def close(self) -> None:
        """Give up what is being fetched."""
        for each in self._upstreams.values():
            await each.authority.close()

    def upstream(self, provider: str) -> Upstream:
        """A provider by its name."""
        return self._upstreams[provider]

    @property
    def models(self) -> list[Route]:
        """The routes that have a name of their own."""
        return [route for name, route in self._routes.items() if name != "*"]

    def route(self, model: str, key: Key | None) -> Route:
        """The route for a model name. Raises BadRequest (403, 404)."""
        route = self._routes.get(model) or self._routes.get("*")
        if route is None:
            known = ", ".join(sorted(self._routes)) or "none"
            raise BadRequest(
                f"there is no route for the model {model!r}; routes: {known}",
                status=404,
                code="model_not_found",
                param="model",
            )
        if key is not None and key.models and route.name not in key.models:
            message = f"the key {key.name!r} may not use the model {model!r}"
            raise BadRequest(message, status=403, code="model_not_allowed", param="model")
        return route

    def redacted(self, route: Route, request: StreamRequest) -> StreamRequest | None:
        """See `Staging.redacted`. For a thread."""
        return with_breaths(partial(self._staging[route.name].redacted, request))

    def checker(self, route: Route, pool: Pool) -> Checker | None:
        """Asks a route's moderation service for one stream, where it has one."""
        return self._staging[route.name].checker(pool)

    def plan(
        self,
        route: Route,
        wire: ClientWire,
        request: StreamRequest,
        stream: str,
        headers: Headers,
        pool: Pool,
        now: float,
    ) -> tuple[Plan, RequestDialer]:
        """What the stream is to be, and the way to its targets. Raises BadRequest when none of these can carry
        it, or all are full."""
        staging = self._staging[route.name]
        request, prompts = staging.prompted(request)
        deadlines, total_from = _deadlines(route, headers)
        session = wire.session(request, stream)
        reading = _Reading(
            session=session,
            view=View(request.include_usage or not request.stream, route.delivery.pin_identity),
            model=request.model if route.delivery.served_model == "hide" else None,
            continues=route.mid_stream == "continue" and is_plain(wire.name, request),
        )
        if reading.model is not None and isinstance(session, ResponsesClient):
            session.shown_model = reading.model
        translation = _Translation(wire, request)
        targets: list[_Target] = []
        refusal: BadRequest | None = None
        for target in route.targets:
            try:
                whole = route.fake_stream or self._upstreams[target.provider].provider.fake_stream
                targets.append(self._target(target, wire, request, reading, translation, headers, whole))
            except BadRequest as error:
                refusal = refusal or error
        if not targets and refusal is not None:
            raise refusal
        targets = [targets[place] for place in self._balancer.order(route, [each.target for each in targets], now)]
        plan = Plan(
            stream=stream,
            route=route.name,
            request=request,
            ways=tuple(target.way for target in targets),
            client=session,
            client_wire=wire.name,
            deadlines=deadlines,
            total_from=total_from,
            retries=route.retries,
            delivery=route.delivery,
            drains=self._drains[route.name],
            metadata=metadata_of(route, headers),
            tags=route.tags,
            secrets=_Secrets(tuple({id(target.upstream): target.upstream.secrets for target in targets}.values())),
        )
        return staging.planned(plan, prompts), RequestDialer(pool, request, targets, headers)

    def _target(
        self,
        target: Target,
        wire: ClientWire,
        request: StreamRequest,
        reading: _Reading,
        translation: _Translation,
        headers: Headers,
        whole: bool,
    ) -> _Target:
        upstream = self._upstreams[target.provider]
        model = request.model if target.model == "*" else target.model
        # Its clients get the provider's own bytes; error bodies as they are only where the wires are one.
        same = wire.name in clients_of(upstream.wire)
        asked = adopted(upstream.wire, request, headers) if same else request

        def decoder() -> Decoder:
            return reading.decoder(upstream.wire, wire.name, same=same)

        def goes_on(beginning: Beginning) -> Decoder:
            return rest_of(beginning, upstream.wire.decoder(View(), None), reading.session)

        def body(ask_usage: bool) -> bytes:
            if same:
                return upstream.wire.body(asked, model, ask_usage=ask_usage)
            return upstream.wire.translate(translation.conversation(), model, ask_usage=ask_usage)

        def whole_body(ask_usage: bool) -> bytes:
            return unstreamed.body(body(ask_usage))

        if not same:
            # Refused now, before anything is sent, or never.
            body(True)
        prefill = upstream.provider.given_to(model)
        goes_on_alone = same and wire.name == "openai-responses" and in_background(request)
        way = Way(
            name=f"{target.provider}/{model}",
            label=target.name,
            wire=upstream.wire,
            same_wire=upstream.wire.name == wire.name,
            decoder=decoder,
            stops_when_left=not goes_on_alone and stops_when_left(upstream.wire.name, upstream.host),
            ask_usage=dialect_of(upstream.host).takes_stream_options,
            goes_on=goes_on,
            continues=reading.continues and prefill != "none",
            meter=None if self._meter is None else self._meter(target.provider, model),
            runs_on=goes_on_alone or runs_on(upstream.wire.name, upstream.host),
        )
        return _Target(target, upstream, model, way, whole_body if whole else body, prefill, whole)


def _deadlines(route: Route, headers: Headers) -> tuple[Deadlines, str]:
    """The route's deadlines under the client's own, and who has set the total."""
    seconds, name = patience(headers) or (None, "")
    deadlines = route.deadlines.capped(seconds)
    return deadlines, "deadlines.total" if deadlines is route.deadlines else name


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How the answers to one request are read. ``model``: the name that the client is to see, if not the provider's
    own; ``continues``: an answer that breaks off may go on with another attempt."""

    session: ClientSession
    view: View
    model: str | None
    continues: bool

    def decoder(self, wire: UpstreamWire, client: str, *, same: bool) -> Decoder:
        """A fresh decoder. What goes on needs the provider's own name of an answer: it is replaced behind that."""
        if same:
            decoder = wire.decoder(self.view, self.session)
            if self.model is not None:
                decoder = Renamed(decoder, client, self.model)
        else:
            decoder = Translated(wire.decoder(View(), None), self.session.writer(), self.model)
        return Remembered(decoder) if self.continues else decoder


class _Translation:
    """The request in no wire's words, made when first needed."""

    def __init__(self, wire: ClientWire, request: StreamRequest):
        self._wire = wire
        self._request = request
        self._conversation: Conversation | None = None

    def conversation(self) -> Conversation:
        """It. Raises BadRequest."""
        if self._conversation is None:
            self._conversation = self._wire.conversation(self._request)
        return self._conversation


class _Secrets(msgspec.Struct, frozen=True):
    """The secrets of several providers, as they are when they are looked for."""

    of: tuple[Secrets, ...]

    def __iter__(self) -> Iterator[bytes]:
        return (secret for secrets in self.of for secret in secrets)
