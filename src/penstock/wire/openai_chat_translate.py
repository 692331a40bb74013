"""openai-chat requests from and to no wire's words."""

from __future__ import annotations

from typing import Any

from penstock.errors import BadRequest
from penstock.request import StreamRequest
from penstock.wire import json
from penstock.wire.conversation import (
    Conversation,
    Fields,
    Format,
    ImagePart,
    Message,
    Part,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
    data_url,
)

_SYSTEM = ("system", "developer")


def conversation(request: StreamRequest) -> Conversation:
    """A client's request. Raises BadRequest for what cannot be carried to another wire."""
    fields = Fields({name: json.loads(bytes(raw)) for name, raw in request.body.items()})
    fields.ignore(
        "model", "stream", "stream_options", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"
    )
    fields.neutral("n", 1)
    fields.neutral("logprobs", False)
    fields.neutral("store", False)
    fields.neutral("frequency_penalty", 0, 0.0)
    fields.neutral("presence_penalty", 0, 0.0)
    fields.neutral("service_tier", "auto", "default")
    fields.neutral("modalities", ["text"])
    limit = "max_completion_tokens" if fields.has("max_completion_tokens") else "max_tokens"
    stop = fields.take("stop", str, list, default=())
    result = Conversation(
        tools=tuple(
            _tool(tool, f"tools.{number}") for number, tool in enumerate(fields.take("tools", list, default=()))
        ),
        tool_choice=_tool_choice(fields.take("tool_choice", str, dict)),
        parallel_tools=fields.take("parallel_tool_calls", bool),
        max_tokens=fields.take(limit, int),
        temperature=fields.take("temperature", int, float),
        top_p=fields.take("top_p", int, float),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        seed=fields.take("seed", int),
        frequency_penalty=fields.take("frequency_penalty", int, float),
        presence_penalty=fields.take("presence_penalty", int, float),
        format=_format(fields.take("response_format", dict)),
        effort=fields.take("reasoning_effort", str),
        user=fields.take("user", str),
        names={
            "max_tokens": limit,
            "parallel_tools": "parallel_tool_calls",
            "format": "response_format",
            "effort": "reasoning_effort",
        },
    )
    result.system, result.messages = _messages(fields.need("messages", list))
    fields.done()
    return result


def _messages(raw: list[Any]) -> tuple[tuple[str, ...], tuple[Message, ...]]:
    system: list[str] = []
    messages: list[Message] = []
    names: dict[str, str] = {}
    for number, item in enumerate(raw):
        fields = Fields.of(item, f"messages.{number}")
        role = fields.need("role", str)
        if role in _SYSTEM:
            if messages:
                raise BadRequest(
                    f"{fields.name('role')}: a {role} message after the first turn cannot be carried to the provider "
                    "of this model",
                    code="unsupported_field",
                    param=fields.name("role"),
                )
            system.append("".join(part.text for part in _parts(fields, "content") if isinstance(part, TextPart)))
        elif role == "user":
            _add(messages, "user", _parts(fields, "content"))
        elif role == "assistant":
            parts = _assistant(fields)
            names |= {part.id: part.name for part in parts if isinstance(part, ToolCallPart)}
            _add(messages, "assistant", parts)
        elif role == "tool":
            call = fields.need("tool_call_id", str)
            content = tuple(part for part in _parts(fields, "content") if isinstance(part, TextPart | ImagePart))
            _add(messages, "user", [ToolResultPart(call, content, name=names.get(call))])
        else:
            raise BadRequest(f"{fields.name('role')}: {role!r} is no role", param=fields.name("role"))
        fields.done()
    return tuple(system), tuple(messages)


def _add(messages: list[Message], role: Any, parts: list[Part]) -> None:
    """Turns of one role that follow each other are one: other wires want them to alternate."""
    if messages and messages[-1].role == role:
        messages[-1] = Message(role, messages[-1].parts + tuple(parts))
    else:
        messages.append(Message(role, tuple(parts)))


def _parts(fields: Fields, field: str) -> list[Part]:
    content = fields.take(field, str, list, default=())
    if isinstance(content, str):
        return [TextPart(content)]
    parts: list[Part] = []
    for number, item in enumerate(content):
        part = Fields.of(item, f"{fields.name(field)}.{number}")
        kind = part.need("type", str)
        if kind in ("text", "refusal"):
            parts.append(TextPart(part.need(kind, str)))
        elif kind == "image_url":
            image = Fields.of(part.need("image_url", dict), part.name("image_url"))
            parts.append(_image(image))
            image.done()
        else:
            raise BadRequest(
                f"{part.name('type')}: a part of type {kind!r} cannot be carried to the provider of this model",
                code="unsupported_field",
                param=part.name("type"),
            )
        part.done()
    return parts


def _image(image: Fields) -> ImagePart:
    url = image.need("url", str)
    detail = image.take("detail", str)
    inline = data_url(url)
    if inline is None:
        return ImagePart(url=url, detail=detail)
    return ImagePart(data=inline[1], media_type=inline[0], detail=detail)


def _assistant(fields: Fields) -> list[Part]:
    parts: list[Part] = []
    details = fields.take("reasoning_details", list, default=())
    for item in details:
        if isinstance(item, dict) and item.get("type") == "reasoning.text" and item.get("signature"):
            parts.append(ThinkingPart(item.get("text") or "", item["signature"]))
        elif isinstance(item, dict) and item.get("type") == "reasoning.encrypted":
            parts.append(ThinkingPart(signature=item.get("data"), redacted=True))
    reasoning = fields.take("reasoning_content", str) or fields.take("reasoning", str)
    if reasoning and not parts:
        parts.append(ThinkingPart(reasoning))
    fields.ignore("reasoning", "annotations", "audio")
    parts += [part for part in _parts(fields, "content") if not (isinstance(part, TextPart) and not part.text)]
    refusal = fields.take("refusal", str)
    if refusal:
        parts.append(TextPart(refusal))
    for number, item in enumerate(fields.take("tool_calls", list, default=())):
        call = Fields.of(item, f"{fields.name('tool_calls')}.{number}")
        function = Fields.of(call.need("function", dict), call.name("function"))
        extra = call.take("extra_content", dict, default={})
        signature = (extra.get("google") or {}).get("thought_signature")
        arguments = function.take("arguments", str, default="") or "{}"
        parts.append(ToolCallPart(call.need("id", str), function.need("name", str), arguments, signature))
    return parts


def _tool(raw: Any, path: str) -> Tool:
    fields = Fields.of(raw, path)
    if fields.need("type", str) != "function":
        raise BadRequest(
            f"{fields.name('type')}: only functions can be carried to the provider of this model",
            code="unsupported_field",
            param=fields.name("type"),
        )
    function = Fields.of(fields.need("function", dict), fields.name("function"))
    tool = Tool(
        name=function.need("name", str),
        description=function.take("description", str),
        parameters=function.take("parameters", dict),
        strict=function.take("strict", bool),
    )
    function.done()
    return tool


def _tool_choice(raw: Any) -> ToolChoice | None:
    if raw is None:
        return None
    if isinstance(raw, str):
        if raw not in ("auto", "none", "required"):
            raise BadRequest("tool_choice must be auto, none, required or a function", param="tool_choice")
        return ToolChoice(raw)  # type: ignore[arg-type]
    function = raw.get("function")
    if raw.get("type") != "function" or not isinstance(function, dict) or not function.get("name"):
        raise BadRequest(
            "tool_choice: only a function can be carried to the provider of this model",
            code="unsupported_field",
            param="tool_choice",
        )
    return ToolChoice("named", function["name"])


def _format(raw: dict[str, Any] | None) -> Format | None:
    if raw is None or raw.get("type") == "text":
        return None
    if raw.get("type") == "json_object":
        return Format()
    schema = raw.get("json_schema")
    if raw.get("type") == "json_schema" and isinstance(schema, dict):
        return Format(schema.get("schema") or {}, schema.get("name"), schema.get("strict"))
    raise BadRequest("response_format must be of type text, json_object or json_schema", param="response_format")


# -- to a provider ------------------------------------------------------------------------------------------------


def request_body(conversation: Conversation, model: str, *, ask_usage: bool) -> bytes:
    """A streaming request. Raises BadRequest for what this wire has no place for."""
    conversation.only(
        "openai-chat",
        "tools",
        "tool_choice",
        "parallel_tools",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "format",
        "effort",
        "user",
    )
    body: dict[str, Any] = {"model": model, "messages": _written_messages(conversation), "stream": True}
    if ask_usage:
        body["stream_options"] = {"include_usage": True}
    if conversation.tools:
        body["tools"] = [_written_tool(tool) for tool in conversation.tools]
    choice = conversation.tool_choice
    if choice is not None:
        named = {"type": "function", "function": {"name": choice.name}}
        body["tool_choice"] = named if choice.mode == "named" else choice.mode
    if conversation.format is not None:
        body["response_format"] = _written_format(conversation.format)
    if conversation.stop:
        body["stop"] = list(conversation.stop)
    for field, name in (
        ("parallel_tools", "parallel_tool_calls"),
        ("max_tokens", "max_completion_tokens"),
        ("temperature", "temperature"),
        ("top_p", "top_p"),
        ("seed", "seed"),
        ("frequency_penalty", "frequency_penalty"),
        ("presence_penalty", "presence_penalty"),
        ("effort", "reasoning_effort"),
        ("user", "user"),
    ):
        value = getattr(conversation, field)
        if value is not None:
            body[name] = value
    return json.dumps(body)


def _written_messages(conversation: Conversation) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": text} for text in conversation.system]
    for message in conversation.messages:
        if message.role == "assistant":
            messages.append(_written_assistant(message))
            continue
        content: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                if any(isinstance(piece, ImagePart) for piece in part.parts):
                    raise conversation.refuse("messages", "openai-chat (no images in tool results)")
                text = "".join(piece.text for piece in part.parts if isinstance(piece, TextPart))
                messages.append({"role": "tool", "tool_call_id": part.call, "content": text})
            elif isinstance(part, TextPart):
                content.append({"type": "text", "text": part.text})
            elif isinstance(part, ImagePart):
                content.append({"type": "image_url", "image_url": _written_image(part)})
        if content:
            plain = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" else content
            messages.append({"role": "user", "content": plain})
    return messages


def _written_image(image: ImagePart) -> dict[str, Any]:
    url = image.url or f"data:{image.media_type};base64,{image.data}"
    return {"url": url, "detail": image.detail} if image.detail else {"url": url}


def _written_assistant(message: Message) -> dict[str, Any]:
    """Reasoning of earlier turns stays behind: this wire has no place for it, and its models do not want it back."""
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    calls = [
        {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    written: dict[str, Any] = {"role": "assistant", "content": text or None}
    return written | {"tool_calls": calls} if calls else written


def _written_tool(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    for name in ("description", "parameters", "strict"):
        value = getattr(tool, name)
        if value is not None:
            function[name] = value
    return {"type": "function", "function": function}


def _written_format(wanted: Format) -> dict[str, Any]:
    if wanted.schema is None:
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": wanted.name or "answer", "schema": wanted.schema}
    if wanted.strict is not None:
        schema["strict"] = wanted.strict
    return {"type": "json_schema", "json_schema": schema}
