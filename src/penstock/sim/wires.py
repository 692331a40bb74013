"""The wires that the simulated provider speaks; a new one is a line here."""

from __future__ import annotations

from penstock.sim.openai_chat import OpenAIChat
from penstock.sim.voice import Wire

WIRES: tuple[Wire, ...] = (OpenAIChat(),)


def wire_named(name: str) -> Wire:
    """The wire of that name. Raises KeyError."""
    return {wire.name: wire for wire in WIRES}[name]
