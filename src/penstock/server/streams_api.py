"""The endpoints of streams: see them, follow them, stop them; and OpenAI's for its responses, on our own streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from penstock.config.values import Key
from penstock.drive.journal import Facts
from penstock.drive.reader import Source
from penstock.errors import BadRequest
from penstock.framing.sse import parse
from penstock.server.answers import Receive, Send, answer
from penstock.server.asked import fields_of
from penstock.server.auth import Keyring
from penstock.server.held_responses import HeldResponses
from penstock.server.resume import Resuming, Taken, manner_of
from penstock.stream.ring import PIECE
from penstock.wire import json

Scope = MutableMapping[str, Any]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]
Read = Callable[[Taken, Scope, Receive, Send], Awaitable[None]]


class StreamsApi:
    """Handlers by path. ``read`` serves a stream that is taken up."""

    def __init__(self, resuming: Resuming, keyring: Keyring, read: Read, held: HeldResponses):
        self._resuming = resuming
        self._keyring = keyring
        self._read = read
        self._held = held

    def at(self, path: str) -> dict[str, Handler] | None:
        """The methods of a path; None where there is nothing."""
        parts = path.split("/")[1:]
        if parts[:2] == ["v1", "streams"]:
            match parts[2:]:
                case []:
                    return {"GET": self._list}
                case [stream]:
                    return {"GET": partial(self._show, stream)}
                case [stream, "events"]:
                    return {"GET": partial(self._events, stream)}
                case [stream, "stop"]:
                    return {"POST": partial(self._stop, stream)}
        if parts[:2] == ["v1", "responses"]:
            match parts[2:]:
                case [name] if name:
                    return {"GET": partial(self._response, name), "DELETE": partial(self._delete, name)}
                case [name, "cancel"]:
                    return {"POST": partial(self._cancel, name)}
        return None

    def _who(self, scope: Scope) -> Key | None:
        return self._keyring.who(scope["headers"], scope["query_string"])

    async def _list(self, scope: Scope, receive: Receive, send: Send) -> None:
        data = await self._resuming.listed(self._who(scope))
        await answer(send, 200, json.dumps({"object": "list", "data": data}))

    async def _show(self, stream: str, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, json.dumps(await self._resuming.seen(stream, self._who(scope))))

    async def _stop(self, stream: str, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 200, json.dumps(await self._resuming.stop(stream, self._who(scope))))

    async def _events(self, stream: str, scope: Scope, receive: Receive, send: Send) -> None:
        taken = await self._resuming.events(stream, tuple(scope["headers"]), scope["query_string"], self._who(scope))
        if scope["method"] == "HEAD":
            await answer(send, 200, b"", content_type=taken.manner.content_type)
            return
        await self._read(taken, scope, receive, send)

    # -- OpenAI's Responses ---------------------------------------------------------------------------------------

    async def _response(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        key, fields = self._whose(name, scope), fields_of(scope["query_string"])
        streamed = fields.get("stream") == "true" and scope["method"] != "HEAD"
        wanted = fields.get("starting_after", "-1")
        if not wanted.removeprefix("-").isdigit():
            message = "starting_after takes the sequence_number of the last event that was seen"
            raise BadRequest(message, param="starting_after")
        stream = await self._resuming.journaled(name, key)
        if stream is None and streamed:
            if (taken := await self._held.follow(name, int(wanted), scope, send, key)) is not None:
                await self._read(taken, scope, receive, send)
            return
        if stream is None:
            await self._held.show(name, scope, send, key)
            return
        facts, log = await self._resuming.all_of(stream, key)
        if not streamed:
            await answer(send, 200, json.dumps(_object(facts, log)))
            return
        after = _cursor(facts, log, int(wanted))
        if after + 1 < log.ring.first:
            raise BadRequest(f"the events after {wanted} are no longer held", status=410, code="not_resumable")
        manner = manner_of(facts, events=True, ids=facts.ids)
        await self._read(Taken(source=log, after=after, manner=manner), scope, receive, send)

    async def _cancel(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._whose(name, scope)
        stream = None if self._held.knows(name) else await self._resuming.answer(name, key)
        if stream is None:
            await self._held.cancel(name, scope, send, key)
            return
        shown = await self._resuming.stop(stream, key)
        response = {}
        if shown["resumable"]:
            facts, log = await self._resuming.all_of(stream, key)
            response = _object(facts, log)
        state = "completed" if shown["outcome"] == "completed" else "cancelled"
        body = {"id": name, "object": "response", "model": shown["model"], **response, "status": state}
        await answer(send, 200, json.dumps(body))

    async def _delete(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        await self._held.delete(name, scope, send, self._whose(name, scope))

    def _whose(self, name: str, scope: Scope) -> Key | None:
        """The key that asks for a response. Raises BadRequest (404) where it is that of another."""
        key = self._who(scope)
        if self._resuming.foreign(name, key):
            raise BadRequest(f"there is nothing at {scope['penstock.path']}", status=404, code="not_found")
        return key


def _documents(facts: Facts, log: Source) -> list[tuple[int, dict[str, Any]]]:
    """The events that are held, with their cursors; of a folded answer the answer."""
    found, number = [], log.ring.first - 1
    while frames := log.ring.after(number, PIECE):
        for frame in frames:
            number += 1
            data = frame if facts.form == "whole" else parse(frame).data
            try:
                document = json.loads(data or b"")
            except ValueError:
                continue
            if isinstance(document, dict):
                found.append((number, document))
    return found


def _cursor(facts: Facts, log: Source, sequence_number: int) -> int:
    """The cursor of the last event up to that sequence number."""
    found = log.ring.first - 1
    for number, document in _documents(facts, log):
        said = document.get("sequence_number")
        if isinstance(said, int) and said <= sequence_number:
            found = number
    if found < log.ring.first and log.ring.first > 1:
        # What it follows is not held: nor is, perhaps, what follows it.
        return 0
    return found


def _object(facts: Facts, log: Source) -> dict[str, Any]:
    """The response as it was last told."""
    for _, document in reversed(_documents(facts, log)):
        response: Any = document if document.get("object") == "response" else document.get("response")
        if isinstance(response, dict):
            return response
    return {}
