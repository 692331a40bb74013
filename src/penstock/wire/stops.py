"""The stop sequences that a client asked for, in each client wire."""

from __future__ import annotations

from typing import Any

from penstock.request import StreamRequest
from penstock.wire import json

_FIELDS: dict[str, tuple[str, str]] = {
    "openai-chat": ("stop", ""),
    "anthropic-messages": ("stop_sequences", ""),
    "cohere-chat": ("stop_sequences", ""),
    "gemini": ("generationConfig", "stopSequences"),
    "ollama-chat": ("options", "stop"),
}
"""The field of the request, and the one inside it. openai-responses has none."""


def stop_sequences(wire: str, request: StreamRequest) -> tuple[str, ...]:
    """Them. None for a request of several choices, of which one could not be ended without the others."""
    if _several(request):
        return ()
    outer, inner = _FIELDS.get(wire, ("", ""))
    value = _field(request, outer)
    if inner:
        value = value.get(inner) if isinstance(value, dict) else None
    if isinstance(value, str):
        value = [value]
    return tuple(each for each in value if isinstance(each, str) and each) if isinstance(value, list) else ()


def _several(request: StreamRequest) -> bool:
    count = _field(request, "n")
    config = _field(request, "generationConfig")
    if isinstance(config, dict):
        count = config.get("candidateCount", count)
    return type(count) is int and count > 1


def _field(request: StreamRequest, name: str) -> Any:
    raw = request.body.get(name)
    try:
        return None if raw is None else json.loads(bytes(raw))
    except ValueError:
        return None
