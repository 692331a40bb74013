"""What a client asks for, as far as the gateway needs to know."""

from __future__ import annotations

import msgspec


class StreamRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was accepted. ``body`` keeps every field as the client sent it, undecoded, by name."""

    model: str
    stream: bool
    include_usage: bool
    """The client asked to see usage in the stream."""
    body: dict[str, msgspec.Raw]
    accepted: int = 0
    """When it was accepted, Unix seconds: what Penstock's own frames say where the provider names no time."""
    query: str | None = None
    """What of the request's query goes on to a provider of the same wire; None on wires that have none."""
