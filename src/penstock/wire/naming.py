"""The name of the model that a client is shown: the provider's own, or the one that it asked for (`served_model`)."""

from __future__ import annotations

import re

import msgspec

from penstock.events import Event, Start
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Decoded, Decoder

PLACES: dict[str, tuple[str, ...]] = {
    "openai-chat": ("model",),
    "openai-responses": ("response", "model"),
    "anthropic-messages": ("message", "model"),
    "gemini": ("modelVersion",),
    "ollama-chat": ("model",),
}
"""Where a client wire's frames name the model. Those of cohere-chat do not."""

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_DATA = re.compile(rb"(?m)^((?:data: ?)?)(\{[^\r\n]*\})")
_VERSION = re.compile(rb'("modelVersion"\s*:\s*)"(?:[^"\\]|\\.)*"')
"""Gemini's frames may run over several lines. A text cannot hold this: its quotes are escaped."""


def renamed(data: bytes, wire: str, model: str) -> bytes:
    """Whole frames of a client wire, with ``model`` for the name that they give; all else is as it was."""
    place = PLACES.get(wire, ())
    if not place or place[-1].encode() not in data:
        return data
    name = json.dumps(model)
    if wire == "gemini":
        return _VERSION.sub(lambda found: found[1] + b'"' + name[1:], data, count=1)
    return _DATA.sub(lambda found: found[1] + _replaced(found[2], place, name), data)


def _replaced(data: bytes, place: tuple[str, ...], name: bytes) -> bytes:
    try:
        fields = _FIELDS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return data
    first, rest = place[0], place[1:]
    value = bytes(fields.get(first, b""))
    if rest:
        new = _replaced(value, rest, name)
    elif value[:1] == b'"':
        new = name
    else:
        return data
    if new == value:
        return data
    fields[first] = msgspec.Raw(new)
    return msgspec.json.encode(fields)


class Renamed:
    """A decoder (see `base.Decoder`) whose frames give the client ``model`` as the name. Its events tell the truth."""

    alike = None

    def __init__(self, decoder: Decoder, wire: str, model: str):
        self.inner = decoder
        self._wire = wire
        self._model = model

    def decode(self, frame: bytes) -> Decoded:
        """One frame."""
        return self._told(self.inner.decode(frame))

    def close(self, rest: bytes) -> Decoded:
        """What is left."""
        return self._told(self.inner.close(rest))

    def _told(self, decoded: Decoded) -> Decoded:
        frame, events = decoded
        return (frame if frame is None else renamed(frame, self._wire, self._model)), events

    @property
    def marked(self) -> bool:
        """The end marker came."""
        return self.inner.marked

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete, or None."""
        return self.inner.incomplete(clean=clean)

    def ending(self) -> bytes:
        """The wire's own end."""
        return renamed(self.inner.ending(), self._wire, self._model)

    def stop(self, usage: Usage | None = None) -> bytes:
        """The finish of an answer that was stopped."""
        return renamed(self.inner.stop(usage), self._wire, self._model)

    def oddities(self) -> list[str]:
        """What was tolerated."""
        return self.inner.oddities()

    @property
    def finished(self) -> bool:
        """Every choice has its finish."""
        return self.inner.finished

    @property
    def empty_is_right(self) -> bool:
        """No output is what the provider meant."""
        return self.inner.empty_is_right


def shown(events: tuple[Event, ...], model: str) -> tuple[Event, ...]:
    """The events as a writer is to tell them: the answer is that of ``model``."""
    if not any(type(event) is Start for event in events):
        return events
    return tuple(msgspec.structs.replace(event, model=model) if isinstance(event, Start) else event for event in events)
