"""openai-chat: the last chunks of an answer that Penstock ends itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.openai_chat_writer import usage_object

DONE = b"data: [DONE]\n\n"


def last_chunks(
    top: dict[str, Any], choices: Iterable[int], usage: Usage | None, *, delta: dict[str, str] | None = None
) -> bytes:
    """A finish for each of these choices, the usage where it is to be told, ``[DONE]``. ``top``: what every chunk of
    the answer says; ``delta``: what the finishes still carry."""
    frames: list[dict[str, Any]] = [
        {**top, "choices": [{"index": index, "delta": delta or {}, "finish_reason": "stop"}]} for index in choices
    ]
    if usage is not None:
        frames.append({**top, "choices": [], "usage": usage_object(usage)})
    return b"".join(b"data: " + json.dumps(frame) + b"\n\n" for frame in frames) + DONE


def top_of(chunk: bytes) -> dict[str, Any]:
    """What every chunk of an answer says, by its first one, which is JSON."""
    body = json.loads(chunk)
    top = {"id": "", "object": "chat.completion.chunk", "created": 0, "model": ""}
    return {name: body.get(name, usual) for name, usual in top.items()}
