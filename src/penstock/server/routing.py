"""From a client's request to the plan of a stream and the requests that its targets would get."""

from __future__ import annotations

import re

import msgspec

from penstock import __version__
from penstock.config.values import Config, Key, Provider, Route, Target
from penstock.errors import BadRequest
from penstock.ports import Exchange, Listener
from penstock.request import StreamRequest
from penstock.stream.attempt import Decoder
from penstock.stream.inputs import Headers
from penstock.stream.plan import Plan
from penstock.upstream.origin import Endpoint, endpoint
from penstock.upstream.pool import Pool
from penstock.wire.dialects import dialect_of
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.openai_chat_client import ChatClient, upstream_body

_PASSED_ON = frozenset(
    {
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"x-request-id",
        b"openai-beta",
        b"openai-organization",
        b"openai-project",
    }
)
_CREDENTIAL = re.compile("auth|key|token|secret|cookie", re.IGNORECASE)
SECRET_LENGTH = 8


class _Upstream(msgspec.Struct, frozen=True):
    """A provider, ready to be asked."""

    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...]
    secrets: tuple[bytes, ...]
    takes_stream_options: bool


class RequestDialer:
    """Sends one request to any of its targets (see `ports.Dialer`)."""

    def __init__(
        self, pool: Pool, request: StreamRequest, ways: list[tuple[_Upstream, str]], headers: list[tuple[str, str]]
    ):
        self._pool = pool
        self._request = request
        self._ways = ways
        self._headers = headers

    def open(self, target: int, listener: Listener, *, fresh: bool, ask_usage: bool) -> Exchange:
        """Send it."""
        upstream, model = self._ways[target]
        body = upstream_body(self._request, model, ask_usage=ask_usage)
        return self._pool.open(upstream.endpoint, [*upstream.headers, *self._headers], body, listener, fresh=fresh)


class Router:
    """The routes and providers of a configuration."""

    def __init__(self, config: Config):
        self._routes = {route.name: route for route in config.routes}
        self._upstreams = {provider.name: _upstream(provider) for provider in config.providers}

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

    def plan(
        self, route: Route, request: StreamRequest, stream: str, headers: Headers, pool: Pool
    ) -> tuple[Plan, RequestDialer]:
        """What the stream is to be, and the way to its targets."""
        ways = [(self._upstreams[target.provider], _model(target, request)) for target in route.targets]
        expose_usage = request.include_usage or not request.stream

        def decoder(target: int) -> Decoder:
            return ChatDecoder(expose_usage=expose_usage, pin_identity=route.delivery.pin_identity)

        plan = Plan(
            stream=stream,
            route=route.name,
            request=request,
            targets=tuple(f"{target.provider}/{model}" for target, (_, model) in zip(route.targets, ways, strict=True)),
            labels=tuple(f"{target.provider}/{target.model}" for target in route.targets),
            decoder=decoder,
            client=ChatClient(request, stream),
            client_wire="openai-chat",
            deadlines=route.deadlines,
            delivery=route.delivery,
            ask_usage=tuple(upstream.takes_stream_options for upstream, _ in ways),
            secrets=tuple({secret for upstream, _ in ways for secret in upstream.secrets}),
        )
        passed_on = [(name.decode(), value.decode("latin-1")) for name, value in headers if name in _PASSED_ON]
        return plan, RequestDialer(pool, request, ways, passed_on)


def _model(target: Target, request: StreamRequest) -> str:
    return request.model if target.model == "*" else target.model


def _upstream(provider: Provider) -> _Upstream:
    at = endpoint(provider.base_url, "/chat/completions", provider.ca)
    headers = [
        ("content-type", "application/json"),
        ("accept", "text/event-stream"),
        ("user-agent", f"penstock/{__version__}"),
    ]
    if provider.api_key:
        headers.append(("authorization", f"Bearer {provider.api_key}"))
    named = {name.lower() for name, _ in provider.headers}
    merged = [(name, value) for name, value in headers if name not in named] + list(provider.headers)
    return _Upstream(at, tuple(merged), _secrets(provider), dialect_of(at.origin.host).takes_stream_options)


def _secrets(provider: Provider) -> tuple[bytes, ...]:
    """What a provider might echo and nobody may see. Short keys are left out: they are none, but words ("ollama")."""
    values = [provider.api_key or ""]
    values += [value.rpartition(" ")[2] for name, value in provider.headers if _CREDENTIAL.search(name)]
    return tuple(value.encode() for value in values if len(value) >= SECRET_LENGTH)
