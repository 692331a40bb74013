"""An answer that may not be longer: its last frames with the wire's own length finish."""

from __future__ import annotations

from penstock.wire import json

_WORDS: dict[str, tuple[bytes, bytes]] = {
    "openai-chat": (b'"finish_reason":"stop"', b'"finish_reason":"length"'),
    "anthropic-messages": (b'"stop_reason":"end_turn"', b'"stop_reason":"max_tokens"'),
    "cohere-chat": (b'"finish_reason":"COMPLETE"', b'"finish_reason":"MAX_TOKENS"'),
    "gemini": (b'"finishReason":"STOP"', b'"finishReason":"MAX_TOKENS"'),
    "ollama-chat": (b'"done_reason":"stop"', b'"done_reason":"length"'),
}
"""The finish that Penstock writes for a stopped answer, and that for one which is too long. In a string of JSON every
quotation mark has a backslash: these are never text."""
_COMPLETED = b"event: response.completed\ndata: "


def shortened(wire: str, frames: bytes) -> bytes:
    """The frames that Penstock has written to stop an answer, with the finish of one that was cut at a length."""
    if wire == "openai-responses":
        return _incomplete(frames)
    stopped, longest = _WORDS[wire]
    return frames.replace(stopped, longest)


def _incomplete(frames: bytes) -> bytes:
    """``response.incomplete`` in place of ``response.completed``."""
    before, found, data = frames.rpartition(_COMPLETED)
    if not found:
        return frames
    event = json.loads(data)
    event["type"] = "response.incomplete"
    event["response"] |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    return before + b"event: response.incomplete\ndata: " + json.dumps(event) + b"\n\n"
