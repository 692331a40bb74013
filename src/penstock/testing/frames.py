"""Frames of the openai-chat wire, as short to write as to read."""

from __future__ import annotations

from typing import Any

from penstock.wire import json

DONE = b"data: [DONE]\n\n"
SSE = ((b"content-type", b"text/event-stream"),)
JSON = ((b"content-type", b"application/json"),)
COMMENT = b": keep-alive\n\n"
"""What Penstock writes to keep a connection alive, and many providers too."""


def frame(body: dict[str, Any], *, newline: bytes = b"\n") -> bytes:
    """Any object as a data frame."""
    return b"data: " + json.dumps(body) + newline + newline


def delta(fields: dict[str, Any], *, choice: int = 0, finish: str | None = None, **more: Any) -> bytes:
    """A chunk with one choice; ``more`` are fields at its top."""
    top = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return frame({**top, "choices": [{"index": choice, "delta": fields, "finish_reason": finish}], **more})


def chunk(text: str, *, choice: int = 0, **more: Any) -> bytes:
    """Generated text."""
    return delta({"content": text}, choice=choice, **more)


def role(*, choice: int = 0, **more: Any) -> bytes:
    """The first chunk of most providers: a role and no output."""
    return delta({"role": "assistant", "content": ""}, choice=choice, **more)


def reasoning(text: str, *, choice: int = 0) -> bytes:
    """Generated reasoning, as DeepSeek and its kin write it."""
    return delta({"reasoning_content": text}, choice=choice)


def tool(call: int = 0, *, id: str | None = None, name: str | None = None, arguments: str = "") -> bytes:
    """A fragment of a tool call."""
    function: dict[str, Any] = {"arguments": arguments}
    fragment: dict[str, Any] = {"index": call, "function": function}
    if name is not None:
        function["name"] = name
    if id is not None:
        fragment |= {"id": id, "type": "function"}
    return delta({"tool_calls": [fragment]})


def finish(reason: str = "stop", *, choice: int = 0, **more: Any) -> bytes:
    """The last chunk of a choice."""
    return delta({}, choice=choice, finish=reason, **more)


def usage(prompt: int = 9, completion: int = 2, **more: Any) -> bytes:
    """The usage frame: no choices, only tokens."""
    tokens = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}
    top = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return frame({**top, "choices": [], "usage": tokens})


def error(message: str = "The server had an error", *, type: str = "server_error", code: Any = None) -> bytes:
    """An error inside the stream."""
    return frame({"error": {"message": message, "type": type, "param": None, "code": code}})


def answer(*texts: str) -> bytes:
    """A whole answer: role, texts, finish, end marker."""
    return role() + b"".join(chunk(text) for text in texts) + finish() + DONE
