"""How much output a frame holds, where the pace of a provider is measured before its stream is committed to (B5)."""

from __future__ import annotations

from collections.abc import Iterable

from penstock.events import Event, Media, ToolArguments

CHARACTERS = 4
"""Of a token, about. Providers that send whole sentences in a frame are not slow for that."""


def tokens_of(events: Iterable[Event]) -> float:
    """Tokens, by estimate: one for a token event, or more where its text is longer than that."""
    return sum(max(1.0, len(_text(event)) / CHARACTERS) for event in events if event.token)


def _text(event: Event) -> str:
    if isinstance(event, ToolArguments):
        return event.arguments
    return event.transcript if isinstance(event, Media) else getattr(event, "text", "")
