"""``WS /v1/stream``: one request and its answer as messages of a WebSocket (docs/websocket.md).

It runs as the HTTP request that it stands for, so that keys, routes, resuming and endings are the same. Only the way
out differs: one message a frame, and a close code in place of the body's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from penstock import ids
from penstock.errors import BadRequest
from penstock.framing.jsonarray import JSONArrayFramer
from penstock.framing.ndjson import NDJSONFramer
from penstock.framing.sse import SSEFramer
from penstock.outcome import Outcome
from penstock.server.answers import JSON, Receive, Send
from penstock.server.asgi_sink import AbortedBody
from penstock.stream import numbering
from penstock.stream.head import header
from penstock.wire import json
from penstock.wire.openai_errors import bad_request_body

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Http = Callable[[Scope, Receive, Send], Awaitable[None]]
_Framer = SSEFramer | NDJSONFramer | JSONArrayFramer

PATH = "/v1/stream"
ABORT = "penstock.abort"
"""The ASGI extension by which a connection is cut: to a client that reads nothing a close cannot be said."""
ASKED = "penstock.asked"
"""In the scope: the answer is under way, and will say its own close."""
FIRST_MESSAGE = 30.0
"""Seconds within which the first message is to come."""
_CLOSE_WITHIN = 1.0
_UNBOUNDED = 1 << 62
_OF_THE_HANDSHAKE = (b"connection", b"upgrade", b"content-length", b"content-type", b"transfer-encoding", b"accept")
_PATH = re.compile(r"/[\x21-\x7e]*")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_GOOD = (None, Outcome.COMPLETED, Outcome.STOPPED)


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """The first message. Without a body it is a GET."""

    path: str
    body: msgspec.Raw = msgspec.Raw()
    headers: dict[str, str] = {}
    after: int | None = None
    """The number of the last frame that was seen."""
    head: bool = False
    """Tell status and headers in a message of their own."""


class _Later(msgspec.Struct, forbid_unknown_fields=True):
    """What may come after it."""

    type: str


def close_of(status: int, outcome: Outcome | None) -> tuple[int, str]:
    """The close code and its reason. ``outcome`` None: the answer was told whole, or is not of this gateway."""
    if status >= 400:
        return 4000 + status, "" if outcome is None else outcome.value
    if outcome in _GOOD:
        return 1000, "" if outcome is None else outcome.value
    assert outcome is not None
    return {Outcome.SHUTDOWN: 1012, Outcome.SLOW_CLIENT: 1008}.get(outcome, 1011), outcome.value


async def serve(scope: Scope, receive: Receive, send: Send, http: Http, *, keyless: bool) -> None:
    """Serve one WebSocket by ``http``. ``keyless``: nobody has to show a key, so that pages of other sites, which a
    browser lets through to any WebSocket, are to be kept out."""
    await receive()
    path = scope["path"].removeprefix(scope.get("root_path", "")).rstrip("/")
    if path != PATH or (keyless and _foreign(scope)):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    exchange = _Exchange(scope, receive, send, http)
    # Sending to a client that is gone raises OSError.
    with contextlib.suppress(OSError):
        await exchange.run()


def _foreign(scope: Scope) -> bool:
    origin = header(scope["headers"], b"origin")
    if origin is None:
        return False
    host = header(scope["headers"], b"host") or b""
    try:
        # Names alone: proxies do not always hand the port on.
        return urlsplit(origin.decode("latin-1")).hostname != urlsplit("//" + host.decode("latin-1")).hostname
    except ValueError:
        return True


class _Exchange:
    """One request, asked in the first message."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, http: Http):
        self._outer = scope
        self._receive = receive
        self._send = send
        self._http = http
        self._body: bytes | None = None
        self._gone = False
        self._status = 0
        self._tell_head = False
        self._framer: _Framer | None = None
        self._opened = False
        self._whole: list[bytes] = []
        self._stream = ""
        self._scope: Scope = {}

    async def run(self) -> None:
        """From the first message to the close."""
        stream = ids.stream_id(os.urandom(13))
        try:
            ask = await self._first()
            if ask is None:
                return
            self._outer[ASKED] = True
            self._scope = self._http_scope(ask)
        except BadRequest as error:
            await self._text(bad_request_body(error, stream))
            await self._close(4000 + error.status, error.code)
            return
        try:
            await self._http(self._scope, self._take, self._put)
            cut = False
        except AbortedBody:
            cut = True
        if self._gone:
            return
        code, reason = close_of(self._status, self._scope.get("penstock.outcome"))
        await self._close(1011 if cut and code == 1000 else code, reason)

    async def _first(self) -> Ask | None:
        """The first message. None: the client has left. Raises BadRequest."""
        try:
            async with asyncio.timeout(FIRST_MESSAGE):
                message = await self._receive()
        except TimeoutError:
            raise BadRequest("no first message came", status=408, code="request_timeout") from None
        if message["type"] == "websocket.disconnect":
            return None
        try:
            return msgspec.json.decode(_data(message), type=Ask)
        except msgspec.MsgspecError as error:
            wanted = '{"path": "/v1/chat/completions", "body": {…}}'
            raise BadRequest(f"the first message is to be such as {wanted}: {error}") from None

    def _http_scope(self, ask: Ask) -> Scope:
        path, _, query = ask.path.partition("?")
        if not _PATH.fullmatch(ask.path):
            raise BadRequest("path takes the path of a request, such as /v1/chat/completions", param="path")
        self._body, self._tell_head = bytes(ask.body), ask.head
        # What a server's parser would refuse is refused here too: some headers go on to providers.
        if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in ask.headers.items()):
            raise BadRequest("a header has a character that no header may have", param="headers")
        said = [(name.lower().encode(), value.strip().encode("latin-1")) for name, value in ask.headers.items()]
        headers = {
            name: value
            for name, value in (*self._outer["headers"], *said)
            if name not in _OF_THE_HANDSHAKE and not name.startswith(b"sec-websocket-")
        }
        after = [] if ask.after is None else [f"after={ask.after}"]
        fields = [self._outer["query_string"].decode("latin-1"), query, *after]
        return {
            **self._outer,
            "type": "http",
            "method": "POST" if self._body else "GET",
            "scheme": "https" if self._outer.get("scheme") == "wss" else "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": "&".join(filter(None, fields)).encode("latin-1"),
            "headers": [*headers.items(), (b"content-length", b"%d" % len(self._body))],
            "extensions": {},
        }

    # -- as the application's own receive and send ----------------------------------------------------------------

    async def _take(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._gone = True
                return {"type": "http.disconnect"}
            try:
                later = msgspec.json.decode(_data(message), type=_Later)
            except msgspec.MsgspecError:
                later = _Later("")
            if later.type == "stop":
                await self._stop()
            else:
                self._gone = True
                await self._close(4400, 'after the first message only {"type": "stop"} is known')
                return {"type": "http.disconnect"}

    async def _put(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
            return
        data = message.get("body", b"")
        if self._framer is None:
            self._whole.append(data)
        elif data:
            for frame in self._frames(self._framer, data):
                await self._text(frame)
        if not message.get("more_body", False):
            rest = b"".join(self._whole).lstrip() if self._framer is None else self._framer.close()
            self._whole = []
            if rest:
                await self._text(rest)

    def _frames(self, framer: _Framer, data: bytes) -> list[bytes]:
        opened, self._opened = self._opened, True
        if opened or not isinstance(framer, JSONArrayFramer) or data[:1] == b"[":
            return framer.feed(data)
        # An array that is taken up in its middle.
        first, *others = framer.feed(b"[" + data) or [b"["]
        return [first[1:], *others] if len(first) > 1 else []

    async def _begin(self, message: Message) -> None:
        self._status = message["status"]
        kind = header(message["headers"], b"content-type") or b""
        self._stream = (header(message["headers"], b"x-penstock-stream") or b"").decode("latin-1")
        if self._status == 200 and header(message["headers"], b"content-length") is None:
            self._framer = _framer(kind)
        if self._tell_head:
            fields = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
            await self._text(json.dumps({"type": "head", "status": self._status, "headers": fields}))

    async def _stop(self) -> None:
        """As `POST /v1/streams/{id}/stop`, with what this request carries to say who asks."""
        stream = self._stream or self._scope.get("penstock.stream", "")
        path = f"/v1/streams/{stream}/stop"
        scope = {**self._scope, "method": "POST", "path": path, "raw_path": path.encode()}
        await self._http(scope, _nothing, _into_nothing)

    # -- messages -------------------------------------------------------------------------------------------------

    async def _text(self, data: bytes) -> None:
        await self._send({"type": "websocket.send", "text": data.decode("utf-8", "replace")})

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(_CLOSE_WITHIN):
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except TimeoutError:
            abort = self._outer.get("extensions", {}).get(ABORT)
            if abort is not None:
                abort()


def _framer(content_type: bytes) -> _Framer | None:
    """What splits an answer of that type; None: it is one document."""
    if content_type == JSON:
        return None
    form = numbering.form_of(content_type)
    if form == numbering.EVENTS:
        return SSEFramer(_UNBOUNDED)
    return NDJSONFramer(_UNBOUNDED) if form == numbering.LINES else JSONArrayFramer(_UNBOUNDED)


def _data(message: Message) -> bytes:
    text = message.get("text")
    return message.get("bytes") or b"" if text is None else text.encode("utf-8", "surrogatepass")


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _into_nothing(message: Message) -> None:
    pass
