"""ollama-chat requests to a provider, from no wire's words.

Left behind by decision: ``user``, which names somebody to the provider and says nothing about the answer, and the seals
of earlier reasoning, which only their own provider can read.
"""

from __future__ import annotations

from typing import Any

from penstock.errors import BadRequest
from penstock.wire import json
from penstock.wire.conversation import (
    Conversation,
    ImagePart,
    Message,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
    joined_text,
)

_WIRE = "ollama-chat"
_OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_THINK: dict[str, bool | str] = {"none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high"}


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
        *_OPTIONS,
    )
    body: dict[str, Any] = {"model": model, "messages": _messages(conversation), "stream": True}
    options = {
        name: getattr(conversation, field)
        for field, name in _OPTIONS.items()
        if getattr(conversation, field) is not None
    }
    if conversation.stop:
        options["stop"] = list(conversation.stop)
    if options:
        body["options"] = options
    if conversation.format is not None:
        body["format"] = "json" if conversation.format.schema is None else conversation.format.schema
    think = _think(conversation)
    if think is not None:
        body["think"] = think
    tools = _tools(conversation)
    if tools:
        body["tools"] = tools
    return json.dumps(body)


def _think(conversation: Conversation) -> bool | str | None:
    if conversation.thinking_budget:
        raise conversation.refuse("thinking_budget", f"{_WIRE} (it has no budget for thinking, only an effort)")
    if conversation.thinking_budget == 0:
        return False
    if conversation.effort is None:
        return None
    if conversation.effort not in _THINK:
        raise conversation.refuse("effort", f"{_WIRE} (its efforts are low, medium and high)")
    return _THINK[conversation.effort]


def _tools(conversation: Conversation) -> list[dict[str, Any]]:
    """The tools; none where none may be called, since this wire cannot say so otherwise."""
    choice = conversation.tool_choice
    if choice is not None and choice.mode in ("required", "named"):
        raise conversation.refuse("tool_choice", f"{_WIRE} (it leaves the choice of tools to the model)")
    if conversation.parallel_tools is False and conversation.tools:
        raise conversation.refuse("parallel_tools", _WIRE)
    if any(tool.strict for tool in conversation.tools):
        raise conversation.refuse("tools", f"{_WIRE} (it has no strict tools)")
    if choice is not None and choice.mode == "none":
        return []
    return [_tool(tool) for tool in conversation.tools]


def _tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": text} for text in conversation.system]
    names: dict[str, str] = {}
    for message in conversation.messages:
        if message.role == "assistant":
            names |= {part.id: part.name for part in message.parts if isinstance(part, ToolCallPart)}
            messages.append(_assistant(conversation, message))
            continue
        messages += [_result(conversation, part, names) for part in message.parts if isinstance(part, ToolResultPart)]
        user: dict[str, Any] = {"role": "user", "content": joined_text(message.parts)}
        images = [_image(conversation, part) for part in message.parts if isinstance(part, ImagePart)]
        if images:
            user["images"] = images
        if user["content"] or images:
            messages.append(user)
    return messages


def _result(conversation: Conversation, part: ToolResultPart, names: dict[str, str]) -> dict[str, Any]:
    written: dict[str, Any] = {"role": "tool", "content": joined_text(part.parts), "tool_call_id": part.call}
    name = part.name or names.get(part.call)
    if name:
        written["tool_name"] = name
    images = [_image(conversation, piece) for piece in part.parts if isinstance(piece, ImagePart)]
    return written | {"images": images} if images else written


def _image(conversation: Conversation, image: ImagePart) -> str:
    """The bare data: Ollama does not fetch, and knows the type by itself."""
    if image.data is None:
        raise conversation.refuse("messages", f"{_WIRE} (images only as data, not by URL)")
    return image.data


def _assistant(conversation: Conversation, message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": "assistant", "content": joined_text(message.parts)}
    thinking = "".join(part.text for part in message.parts if isinstance(part, ThinkingPart))
    if thinking:
        written["thinking"] = thinking
    images = [_image(conversation, part) for part in message.parts if isinstance(part, ImagePart)]
    if images:
        written["images"] = images
    calls = [_call(conversation, part) for part in message.parts if isinstance(part, ToolCallPart)]
    return written | {"tool_calls": calls} if calls else written


def _call(conversation: Conversation, part: ToolCallPart) -> dict[str, Any]:
    try:
        arguments = json.loads(part.arguments.encode("utf-8", "surrogatepass"))
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        name = conversation.names.get("messages", "messages")
        raise BadRequest(f"{name}: the arguments of the call {part.id!r} must be a JSON object", param=name)
    return {"id": part.id, "function": {"name": part.name, "arguments": arguments}}
