"""openai-responses requests from no wire's words."""

from __future__ import annotations

from typing import Any

from penstock.wire import json
from penstock.wire.conversation import (
    Conversation,
    Format,
    ImagePart,
    Message,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolResultPart,
)

_SUPPORTED = (
    "tools", "tool_choice", "parallel_tools", "max_tokens", "temperature", "top_p", "format", "effort", "user",
)  # fmt: skip
_THINKING_MODELS = ("o1", "o3", "o4", "gpt-5", "gpt-oss", "codex")


def request_body(conversation: Conversation, model: str) -> bytes:
    """A streaming request that leaves nothing with the provider. Raises BadRequest for what this wire has no place for.

    Reasoning is asked for in its sealed form, so that it can come back; but not of models that refuse the question
    (OpenAI's do that do not reason)."""
    conversation.only("openai-responses", *_SUPPORTED)
    body: dict[str, Any] = {"model": model, "input": _input(conversation), "stream": True, "store": False}
    if conversation.system:
        body["instructions"] = "\n\n".join(conversation.system)
    if _thinks(conversation, model):
        body["include"] = ["reasoning.encrypted_content"]
    if conversation.effort is not None:
        body["reasoning"] = {"effort": conversation.effort}
    if conversation.tools:
        body["tools"] = [_tool(tool) for tool in conversation.tools]
    choice = conversation.tool_choice
    if choice is not None:
        body["tool_choice"] = {"type": "function", "name": choice.name} if choice.mode == "named" else choice.mode
    if conversation.format is not None:
        body["text"] = {"format": _format(conversation.format)}
    for field, name in (
        ("parallel_tools", "parallel_tool_calls"),
        ("max_tokens", "max_output_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("user", "user"),
    ):
        value = getattr(conversation, field)
        if value is not None:
            body[name] = value
    return json.dumps(body)


def _thinks(conversation: Conversation, model: str) -> bool:
    if conversation.effort is not None:
        return True
    name = model.rpartition("/")[2].lower()
    if name.startswith(_THINKING_MODELS) and "chat" not in name:
        return True
    parts = (part for message in conversation.messages for part in message.parts)
    return any(isinstance(part, ThinkingPart) and part.signature for part in parts)


def _input(conversation: Conversation) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for message in conversation.messages:
        items += _assistant(message) if message.role == "assistant" else _user(message)
    return items


def _user(message: Message) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    content: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ToolResultPart):
            items.append({"type": "function_call_output", "call_id": part.call, "output": _output(part)})
        elif isinstance(part, TextPart | ImagePart):
            content.append(_content(part))
    if content:
        plain = content[0]["text"] if len(content) == 1 and content[0]["type"] == "input_text" else content
        items.append({"type": "message", "role": "user", "content": plain})
    return items


def _output(result: ToolResultPart) -> str | list[dict[str, Any]]:
    if any(isinstance(part, ImagePart) for part in result.parts):
        return [_content(part) for part in result.parts]
    return "".join(part.text for part in result.parts if isinstance(part, TextPart))


def _content(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    url = part.url or f"data:{part.media_type};base64,{part.data}"
    return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}


def _assistant(message: Message) -> list[dict[str, Any]]:
    """Items in the order of the parts. Reasoning goes back only where it is sealed: without, this wire takes none."""
    items: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, ThinkingPart):
            if part.signature:
                summary = [{"type": "summary_text", "text": part.text}] if part.text else []
                items.append({"type": "reasoning", "summary": summary, "encrypted_content": part.signature})
        elif isinstance(part, ToolCallPart):
            call = {"call_id": part.id, "name": part.name, "arguments": part.arguments}
            items.append({"type": "function_call", **call})
        elif isinstance(part, TextPart):
            if items and items[-1].get("type") == "message":
                items[-1]["content"] += part.text
            else:
                items.append({"type": "message", "role": "assistant", "content": part.text})
    return items


def _tool(tool: Tool) -> dict[str, Any]:
    """``strict`` is said always: left out, this wire takes it for true, unlike all others."""
    written: dict[str, Any] = {"type": "function", "name": tool.name, "strict": bool(tool.strict)}
    if tool.description is not None:
        written["description"] = tool.description
    return written | {"parameters": tool.parameters or {"type": "object", "properties": {}}}


def _format(wanted: Format) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"type": "json_schema", "name": wanted.name or "answer", "schema": wanted.schema}
    return schema if wanted.strict is None else {**schema, "strict": wanted.strict}
