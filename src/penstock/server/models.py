"""``GET /v1/models`` and ``/v1/models/{model}``: routes in OpenAI's words, or in Anthropic's for its clients."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from penstock.config.values import Key
from penstock.errors import BadRequest
from penstock.server.answers import Receive, Send, answer
from penstock.server.auth import Keyring
from penstock.server.routing import Router
from penstock.stream.head import header
from penstock.wire import json
from penstock.wire.anthropic_messages_wire import AnthropicMessagesClient

Scope = MutableMapping[str, Any]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]
_ANTHROPIC = AnthropicMessagesClient()


class Models:
    """Handlers by path. A key sees the models that it may use."""

    def __init__(self, router: Router, keyring: Keyring):
        self._router = router
        self._keyring = keyring

    def at(self, path: str) -> dict[str, Handler] | None:
        """The methods of a path; None where there is nothing. A model's name may have slashes."""
        if path == "/v1/models":
            return {"GET": self._list}
        name = path.removeprefix("/v1/models/")
        return {"GET": partial(self._show, name)} if name != path else None

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        key, anthropic = self._who(scope)
        routes = [each for each in self._router.models if key is None or not key.models or each.name in key.models]
        data = [_model(each.name, each.targets[0].provider, anthropic) for each in routes]
        if anthropic:
            first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
            body = {"data": data, "has_more": False, "first_id": first, "last_id": last}
        else:
            body = {"object": "list", "data": data}
        await answer(send, 200, json.dumps(body))

    async def _show(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        key, anthropic = self._who(scope)
        try:
            route = self._router.route(name, key)
        except BadRequest as error:
            if error.status != 403:
                raise
            # Whoever may not use a model is not told that there is one.
            raise BadRequest(
                f"there is no model {name!r} for the key {key.name if key else ''!r}; GET /v1/models lists its models",
                status=404,
                code="model_not_found",
                param="model",
            ) from None
        await answer(send, 200, json.dumps(_model(name, route.targets[0].provider, anthropic)))

    def _who(self, scope: Scope) -> tuple[Key | None, bool]:
        anthropic = header(scope["headers"], b"anthropic-version") is not None
        if anthropic:
            # Errors are told in its words, too.
            scope["penstock.wire"] = _ANTHROPIC
        return self._keyring.who(scope["headers"]), anthropic


def _model(name: str, provider: str, anthropic: bool) -> dict[str, Any]:
    if anthropic:
        return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}
    return {"id": name, "object": "model", "created": 0, "owned_by": provider}
