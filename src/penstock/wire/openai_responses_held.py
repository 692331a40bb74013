"""Responses that the provider holds: which requests make them, and how what it tells of one again is read."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.errors import Fault
from penstock.framing.sse import parse
from penstock.request import StreamRequest
from penstock.wire import json
from penstock.wire.openai_responses_answer import Answer

_FINAL = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})
_SHOWN = ("id", "object", "created_at", "background", "status")


class _Event(msgspec.Struct):
    type: str = ""
    sequence_number: int | None = None


_EVENT = msgspec.json.Decoder(_Event)


def in_background(request: StreamRequest) -> bool:
    """The provider generates whether somebody listens or not, and holds the response."""
    return _true(request, "background")


def held(request: StreamRequest) -> bool:
    """The request says that the provider is to hold the response."""
    return in_background(request) or _true(request, "store")


def _true(request: StreamRequest, name: str) -> bool:
    return bytes(request.body.get(name, b"")) == b"true"


class Retelling:
    """The events of the response ``name`` after ``number``, as they come. ``stream`` is what told errors name."""

    def __init__(self, name: str, number: int, stream: str):
        self._name = name
        self._stream = stream
        self._last = number
        self.heard = False
        """There was an event."""
        self.ended = False
        """The last event was one that ends a response."""
        self.over = False
        """Nothing can follow it."""

    def take(self, frame: bytes) -> None:
        """A frame that has data."""
        self.heard = True
        try:
            event = _EVENT.decode(parse(frame).data or b"")
        except (msgspec.DecodeError, msgspec.ValidationError):
            return
        self.over = event.type in _FINAL
        self.ended = self.over or event.type == "error"
        if event.sequence_number is not None:
            self._last = event.sequence_number

    def error(self, fault: Fault) -> bytes:
        """Its end, where it cannot be had."""
        answer = Answer({"id": self._name, "object": "response", "output": []})
        answer.next = self._last + 1
        return answer.fail(fault, self._stream)


def without_output(body: bytes) -> bytes:
    """A response as JSON, of which only the state is left; anything else as it is."""
    try:
        response: Any = json.loads(body)
    except ValueError:
        return body
    if not isinstance(response, dict) or "output" not in response:
        return body
    return json.dumps({**{name: response[name] for name in _SHOWN if name in response}, "output": []})
