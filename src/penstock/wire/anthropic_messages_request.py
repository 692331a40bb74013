"""anthropic-messages requests to a provider, written from no wire's words.

What this wire needs and the client left open is filled in: ``max_tokens`` (`MAX_TOKENS`), an empty schema for a tool
without parameters. Left behind by decision: ``detail`` of images (a hint on their cost), reasoning of earlier turns
without a signature (this wire refuses it), empty texts (likewise).
"""

from __future__ import annotations

import re
from typing import Any

from penstock.errors import BadRequest
from penstock.wire import json
from penstock.wire.conversation import (
    Conversation,
    ImagePart,
    Message,
    Part,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

MAX_TOKENS = 4096
"""What stands for ``max_tokens``, which this wire cannot do without: all of its models can say that much. With a budget
for thinking it comes on top of that."""

_WIRE = "anthropic-messages"
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_-]")


def request_body(conversation: Conversation, model: str) -> bytes:
    """A streaming request. Raises BadRequest for what this wire has no place for."""
    conversation.only(
        _WIRE,
        "tools",
        "tool_choice",
        "parallel_tools",
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "format",
        "effort",
        "thinking_budget",
        "user",
    )
    budget = conversation.thinking_budget or 0
    limit = MAX_TOKENS + budget if conversation.max_tokens is None else conversation.max_tokens
    body: dict[str, Any] = {"model": model, "max_tokens": limit, "stream": True}
    if conversation.system:
        system = conversation.system
        body["system"] = system[0] if len(system) == 1 else [{"type": "text", "text": text} for text in system if text]
    body["messages"] = [written for message in conversation.messages if (written := _message(conversation, message))]
    for name in ("temperature", "top_p", "top_k"):
        if getattr(conversation, name) is not None:
            body[name] = getattr(conversation, name)
    if conversation.stop:
        body["stop_sequences"] = list(conversation.stop)
    if conversation.user is not None:
        body["metadata"] = {"user_id": conversation.user}
    if budget:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]
    choice = _tool_choice(conversation)
    if choice is not None:
        body["tool_choice"] = choice
    config = _output_config(conversation)
    if config:
        body["output_config"] = config
    return json.dumps(body)


def _message(conversation: Conversation, message: Message) -> dict[str, Any] | None:
    parts = message.parts
    if message.role == "user":
        # This wire wants the results of tools before everything else that a turn says.
        parts = tuple(sorted(parts, key=lambda part: not isinstance(part, ToolResultPart)))
    content = [written for part in parts if (written := _part(conversation, message.role, part)) is not None]
    if not content:
        return None
    only = content[0]
    plain = len(content) == 1 and only["type"] == "text"
    return {"role": message.role, "content": only["text"] if plain else content}


def _part(conversation: Conversation, role: str, part: Part) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text} if part.text else None
    if isinstance(part, ImagePart):
        if role == "assistant":
            raise conversation.refuse("messages", f"{_WIRE} (no images in the assistant's turns)")
        return _image(part)
    if isinstance(part, ThinkingPart):
        if part.redacted:
            return {"type": "redacted_thinking", "data": part.signature}
        return {"type": "thinking", "thinking": part.text, "signature": part.signature} if part.signature else None
    if isinstance(part, ToolCallPart):
        return {"type": "tool_use", "id": _id(part.id), "name": part.name, "input": _input(conversation, part)}
    pieces = [written for piece in part.parts if (written := _part(conversation, role, piece)) is not None]
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(part.call), "content": pieces}
    if len(pieces) == 1 and pieces[0]["type"] == "text":
        result["content"] = pieces[0]["text"]
    return result | {"is_error": True} if part.is_error else result


def _image(image: ImagePart) -> dict[str, Any]:
    if image.url is not None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}


def _id(call: str) -> str:
    """A call's id in the letters that this wire allows; the same on the call and on its result."""
    return _NOT_IN_IDS.sub("_", call)


def _input(conversation: Conversation, part: ToolCallPart) -> dict[str, Any]:
    try:
        value = json.loads(part.arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        value = None
    if not isinstance(value, dict):
        name = conversation.names.get("messages", "messages")
        raise BadRequest(f"{name}: the arguments of the call {part.id!r} must be a JSON object", param=name)
    return value


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        written["description"] = tool.description
    written["input_schema"] = tool.parameters or {"type": "object", "properties": {}}
    return written | {"strict": True} if tool.strict else written


def _tool_choice(conversation: Conversation) -> dict[str, Any] | None:
    choice = conversation.tool_choice
    alone = conversation.parallel_tools is False
    if choice is None and not (alone and conversation.tools):
        return None
    mode = "auto" if choice is None else choice.mode
    written: dict[str, Any] = {"type": {"required": "any", "named": "tool"}.get(mode, mode)}
    if choice is not None and mode == "named":
        written["name"] = choice.name
    return written | {"disable_parallel_tool_use": True} if alone and mode != "none" else written


def _output_config(conversation: Conversation) -> dict[str, Any]:
    """Effort in this wire's words, which are OpenAI's but for ``minimal``; ``none`` is how it is by default."""
    config: dict[str, Any] = {}
    effort, wanted = conversation.effort, conversation.format
    if effort not in (None, "none"):
        if effort not in _EFFORTS:
            raise conversation.refuse("effort", f"{_WIRE} (its efforts are {', '.join(sorted(_EFFORTS))})")
        config["effort"] = effort
    if wanted is not None:
        if wanted.schema is None:
            raise conversation.refuse("format", f"{_WIRE} (JSON only by a schema)")
        config["format"] = {"type": "json_schema", "schema": wanted.schema}
    return config
