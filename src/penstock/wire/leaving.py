"""Who ends a generation, and the bill, when the connection is closed (wire-formats.md §11)."""

from __future__ import annotations

from penstock.wire.dialects import dialect_of

_BY_WIRE = {
    "anthropic-messages": True,
    "cohere-chat": True,
    "cohere-v1": True,
    "ollama-chat": True,
    "tgi": True,
    "gemini": False,
    "bedrock-converse": False,
    "bedrock-invoke": False,
}


def stops_when_left(wire: str, host: str) -> bool | None:
    """Whether closing the connection saves anything; None: nobody knows."""
    if wire in _BY_WIRE:
        return _BY_WIRE[wire]
    return dialect_of(host).stops_when_left
