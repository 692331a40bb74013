"""Which providers write on from a beginning that they are given, how they are told, and what may be continued at all.

A provider that takes the beginning for a finished turn would answer anew, so none is asked of which that is not known.
"""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

import msgspec

from penstock.request import StreamRequest
from penstock.wire import json
from penstock.wire.continued import Prefix
from penstock.wire.dialects import dialect_of

Prefill = Literal["none", "message", "prefix", "partial", "final"]
"""How a beginning is given. ``message``: as the last message, the assistant's. ``prefix``, ``partial``: with that word
set to true beside it (Mistral, DeepSeek; Qwen). ``final``: with vLLM's ``continue_final_message``."""
WORDS: tuple[Prefill, ...] = get_args(Prefill)

TAKERS: dict[str, tuple[Prefill, ...]] = {
    "openai-chat": WORDS,
    "anthropic-messages": ("none", "message"),
    "bedrock-invoke": ("none", "message"),
    "ollama-chat": ("none", "message"),
}
"""What can be said to the wires that have a way; the others have none."""

_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:-(\d{1,2})(?!\d))?")
_LAST_CLAUDE = (4, 5)
"""Later ones refuse a conversation that ends with the assistant's words, with status 400."""
_LIMITS = ("max_tokens", "max_completion_tokens")
_BODY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw])


def prefill_of(wire: str, host: str, path: str, model: str) -> Prefill:
    """How the model at a provider is given a beginning, as far as that is known; else ``none``."""
    claude = _CLAUDE.search(model)
    if claude is not None and (int(claude[1]), int(claude[2] or 0)) > _LAST_CLAUDE:
        return "none"
    if wire == "openai-chat":
        dialect = dialect_of(host)
        return dialect.prefill if path.startswith(dialect.prefill_path) else "none"
    return "message" if wire in TAKERS else "none"


def with_beginning(body: bytes, prefix: Prefix, how: Prefill) -> bytes:
    """The body of a request whose answer is to go on behind ``prefix``, within what its limits leave."""
    fields = _BODY.decode(body)
    messages = _LIST.decode(bytes(fields.get("messages", b"[]")))
    last = json.loads(bytes(messages[-1])) if messages else None
    message: dict[str, Any] = {"role": "assistant", "content": prefix.text}
    if isinstance(last, dict) and last.get("role") == "assistant":
        # The client's own beginning, which the answer goes on from.
        message = {**last, "content": _longer(last.get("content"), prefix.text)}
        messages.pop()
    if how in ("prefix", "partial"):
        message[how] = True
    messages.append(msgspec.Raw(json.dumps(message)))
    fields["messages"] = msgspec.Raw(json.dumps(messages))
    if how == "final":
        fields["continue_final_message"] = msgspec.Raw(b"true")
        fields["add_generation_prompt"] = msgspec.Raw(b"false")
    for name in _LIMITS:
        _shorten(fields, name, prefix.pieces)
    if "options" in fields:
        options = json.loads(bytes(fields["options"]))
        if isinstance(options, dict) and type(options.get("num_predict")) is int and options["num_predict"] > 0:
            options["num_predict"] = max(1, options["num_predict"] - prefix.pieces)
            fields["options"] = msgspec.Raw(json.dumps(options))
    return msgspec.json.encode(fields)


def _longer(content: Any, text: str) -> Any:
    if isinstance(content, list):
        return [*content, {"type": "text", "text": text}]
    return (content if isinstance(content, str) else "") + text


def _shorten(fields: dict[str, msgspec.Raw], name: str, by: int) -> None:
    limit = json.loads(bytes(fields[name])) if name in fields else None
    if type(limit) is int:
        fields[name] = msgspec.Raw(str(max(1, limit - by)).encode())


_NOTHING: tuple[Any, ...] = (None, [], {}, False)
_TEXT = {"type": "text"}
_PLAIN: dict[str, dict[str, tuple[Any, ...]]] = {
    "openai-chat": {
        "tools": (), "functions": (), "response_format": (_TEXT,), "audio": (), "modalities": (["text"],), "n": (1,),
        "logprobs": (), "reasoning_effort": ("none",), "reasoning": (), "thinking": ({"type": "disabled"},),
        "web_search_options": (),
    },
    "openai-responses": {
        "tools": (), "text": ({"format": _TEXT},), "reasoning": ({"effort": "none"},), "background": (),
        "include": (), "previous_response_id": (), "conversation": (), "prompt": (),
    },
    "anthropic-messages": {
        "tools": (), "mcp_servers": (), "thinking": ({"type": "disabled"},), "output_format": (), "output_config": (),
        "container": (),
    },
    "ollama-chat": {"tools": (), "format": (), "think": (), "logprobs": ()},
}  # fmt: skip


def is_plain(wire: str, request: StreamRequest) -> bool:
    """Whether the answer to a client's request can be but text, and one: no tools, no structure, no audio, no
    reasoning, no choices. Of wires that are not in the table nothing is."""
    fields = _PLAIN.get(wire)
    if fields is None:
        return False
    for name, neutral in fields.items():
        raw = request.body.get(name)
        try:
            value = None if raw is None else json.loads(bytes(raw))
        except ValueError:
            return False
        if not any(value == plain for plain in (*_NOTHING, *neutral)):
            return False
    return True
