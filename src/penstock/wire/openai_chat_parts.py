"""openai-chat: the rarer shapes of a delta's content."""

from __future__ import annotations

from typing import Any

from penstock.events import Event, Media, Reasoning, Text


def content_parts(parts: Any, index: int, events: list[Event]) -> None:
    """Mistral's list form of ``content``: text and thinking parts."""
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            pieces = part.get("thinking")
            text = (
                "".join(string(p.get("text")) for p in pieces if isinstance(p, dict))
                if isinstance(pieces, list)
                else ""
            )
            if text:
                events.append(Reasoning(text, index))
        elif part.get("text"):
            events.append(Text(string(part["text"]), index))


def audio_parts(audio: Any, index: int, events: list[Event]) -> None:
    """Audio data and its transcript."""
    if isinstance(audio, dict) and (audio.get("data") or audio.get("transcript")):
        events.append(Media(string(audio.get("transcript")), index))


def string(value: Any) -> str:
    """Text, whatever a provider wrote in its place."""
    if value is None:
        return ""
    return value if type(value) is str else str(value)
