"""cohere-chat (v2) requests to a provider, from no wire's words. There is no way back: see `cohere_chat_client`.

Left behind by decision: ``user``, which names somebody to the provider and says nothing about the answer, and the seals
of earlier reasoning, which only their own provider can read.
"""

from __future__ import annotations

from typing import Any

from penstock.wire import json
from penstock.wire.conversation import (
    Conversation,
    ImagePart,
    Message,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    joined_text,
)

_WIRE = "cohere-chat"
_FIELDS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
# Cohere's own words for the efforts of OpenAI's clients: thinking is on or off.
_THINKING = {"none": "disabled", "high": "enabled"}


def request_body(conversation: Conversation, model: str) -> bytes:
    """A streaming request. Raises BadRequest for what this wire has no place for."""
    conversation.only(
        _WIRE,
        "tools",
        "tool_choice",
        "parallel_tools",
        "stop",
        "format",
        "effort",
        "thinking_budget",
        "user",
        *_FIELDS,
    )
    body: dict[str, Any] = {"model": model, "messages": _messages(conversation), "stream": True}
    for field, name in _FIELDS.items():
        if getattr(conversation, field) is not None:
            body[name] = getattr(conversation, field)
    if conversation.stop:
        body["stop_sequences"] = list(conversation.stop)
    if conversation.format is not None:
        body["response_format"] = {"type": "json_object"}
        if conversation.format.schema is not None:
            body["response_format"]["json_schema"] = conversation.format.schema
    thinking = _thinking(conversation)
    if thinking is not None:
        body["thinking"] = thinking
    _add_tools(conversation, body)
    return json.dumps(body)


def _thinking(conversation: Conversation) -> dict[str, Any] | None:
    budget, effort = conversation.thinking_budget, conversation.effort
    if budget is not None:
        return {"type": "enabled", "token_budget": budget} if budget else {"type": "disabled"}
    if effort is None:
        return None
    if effort not in _THINKING:
        raise conversation.refuse("effort", f"{_WIRE} (its efforts are none and high)")
    return {"type": _THINKING[effort]}


def _add_tools(conversation: Conversation, body: dict[str, Any]) -> None:
    tools, choice = conversation.tools, conversation.tool_choice
    if conversation.parallel_tools is False and tools:
        raise conversation.refuse("parallel_tools", _WIRE)
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    strict = [bool(tool.strict) for tool in tools]
    if any(strict):
        if not all(strict):
            raise conversation.refuse("tools", f"{_WIRE} (all its tools are strict, or none)")
        body["strict_tools"] = True
    if choice is not None and choice.mode == "named":
        raise conversation.refuse("tool_choice", f"{_WIRE} (no tool can be named, only that there must be one)")
    if choice is not None and choice.mode in ("required", "none"):
        body["tool_choice"] = choice.mode.upper()


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": text} for text in conversation.system]
    for message in conversation.messages:
        if message.role == "assistant":
            messages.append(_assistant(conversation, message))
            continue
        messages += [_result(conversation, part) for part in message.parts if isinstance(part, ToolResultPart)]
        content = [_part(part) for part in message.parts if isinstance(part, TextPart | ImagePart)]
        if content:
            plain = len(content) == 1 and content[0]["type"] == "text"
            messages.append({"role": "user", "content": content[0]["text"] if plain else content})
    return messages


def _part(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    image = {"url": part.url or f"data:{part.media_type};base64,{part.data}"}
    return {"type": "image_url", "image_url": image | ({"detail": part.detail} if part.detail else {})}


def _result(conversation: Conversation, part: ToolResultPart) -> dict[str, Any]:
    if any(isinstance(piece, ImagePart) for piece in part.parts):
        raise conversation.refuse("messages", f"{_WIRE} (no images in tool results)")
    return {"role": "tool", "tool_call_id": part.call, "content": joined_text(part.parts)}


def _assistant(conversation: Conversation, message: Message) -> dict[str, Any]:
    """A turn of the model. What it thought before it called tools is its plan."""
    if any(isinstance(part, ImagePart) for part in message.parts):
        raise conversation.refuse("messages", f"{_WIRE} (no images in the assistant's turns)")
    text = joined_text(message.parts)
    thought = "".join(part.text for part in message.parts if isinstance(part, ThinkingPart))
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    written: dict[str, Any] = {"role": "assistant"}
    if calls:
        written["tool_calls"] = calls
        if thought:
            written["tool_plan"] = thought
    elif thought:
        content = [{"type": "thinking", "thinking": thought}, {"type": "text", "text": text}]
        return written | {"content": [part for part in content if part.get("text") != ""]}
    return written | {"content": text} if text or not calls else written
