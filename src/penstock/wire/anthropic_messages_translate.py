"""anthropic-messages requests of clients in no wire's words. The way back is in `anthropic_messages_request`.

Left behind by decision, for they say nothing to a provider of another wire: ``cache_control`` (a hint on what the same
request costs again, never on its answer), ``eager_input_streaming`` (how finely input is cut), ``citations`` of an
answer that comes back, ``service_tier``, and ``thinking`` where it is ``disabled`` or ``adaptive``: the same as
leaving it out, but for models that this wire does not know.
"""

from __future__ import annotations

from typing import Any, Literal

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
)

_NAMES = {
    "parallel_tools": "tool_choice.disable_parallel_tool_use",
    "stop": "stop_sequences",
    "format": "output_config.format",
    "effort": "output_config.effort",
    "thinking_budget": "thinking.budget_tokens",
    "user": "metadata.user_id",
}
_MODES: dict[str, Literal["auto", "required", "named", "none"]] = {
    "auto": "auto",
    "any": "required",
    "tool": "named",
    "none": "none",
}


def conversation(request: StreamRequest) -> Conversation:
    """A client's request. Raises BadRequest for what cannot be carried to another wire."""
    fields = Fields({name: json.loads(bytes(raw)) for name, raw in request.body.items()})
    fields.ignore("model", "stream", "cache_control", "service_tier")
    fields.neutral("speed", "standard")
    tools = fields.take("tools", list, default=())
    result = Conversation(
        system=_system(fields.take("system", str, list, default="")),
        tools=tuple(_tool(Fields.of(tool, f"tools.{number}")) for number, tool in enumerate(tools)),
        max_tokens=fields.take("max_tokens", int),
        temperature=fields.take("temperature", int, float),
        top_p=fields.take("top_p", int, float),
        top_k=fields.take("top_k", int),
        stop=_strings(fields.take("stop_sequences", list, default=()), "stop_sequences"),
        user=_user(fields.take("metadata", dict)),
        thinking_budget=_thinking(fields.take("thinking", dict)),
        names=_NAMES,
    )
    result.tool_choice, result.parallel_tools = _tool_choice(fields.take("tool_choice", dict))
    result.effort, result.format = _output_config(fields.take("output_config", dict))
    result.messages = _messages(fields.need("messages", list))
    fields.done()
    return result


def _refused(fields: Fields, kind: str) -> BadRequest:
    name = fields.name("type")
    return BadRequest(
        f"{name}: {kind!r} cannot be carried to the provider of this model, which speaks another wire",
        code="unsupported_field",
        param=name,
    )


def _strings(values: Any, path: str) -> tuple[str, ...]:
    for number, value in enumerate(values):
        if not isinstance(value, str):
            raise BadRequest(f"{path}.{number} must be a string", param=f"{path}.{number}")
    return tuple(values)


def _system(raw: str | list[Any]) -> tuple[str, ...]:
    if isinstance(raw, str):
        return (raw,) if raw else ()
    return tuple(part.text for part in _texts(raw, "system") if part.text)


def _texts(raw: list[Any], path: str) -> list[TextPart]:
    parts = []
    for number, item in enumerate(raw):
        fields = Fields.of(item, f"{path}.{number}")
        kind = fields.need("type", str)
        if kind != "text":
            raise _refused(fields, kind)
        parts.append(_text(fields))
        fields.done()
    return parts


def _text(fields: Fields) -> TextPart:
    fields.ignore("cache_control")
    return TextPart(fields.need("text", str))


# -- turns --------------------------------------------------------------------------------------------------------


def _messages(raw: list[Any]) -> tuple[Message, ...]:
    messages: list[Message] = []
    names: dict[str, str] = {}
    for number, item in enumerate(raw):
        fields = Fields.of(item, f"messages.{number}")
        role = fields.need("role", str)
        if role not in ("user", "assistant"):
            raise BadRequest(f"{fields.name('role')} must be user or assistant", param=fields.name("role"))
        content = fields.need("content", str, list)
        read = _assistant_part if role == "assistant" else _user_part
        if isinstance(content, str):
            parts: list[Part] = [TextPart(content)]
        else:
            parts = [read(Fields.of(each, f"{fields.name('content')}.{at}"), names) for at, each in enumerate(content)]
        fields.done()
        if messages and messages[-1].role == role:
            messages[-1] = Message(messages[-1].role, messages[-1].parts + tuple(parts))
        else:
            messages.append(Message(role, tuple(parts)))
    return tuple(messages)


def _user_part(fields: Fields, names: dict[str, str]) -> Part:
    kind = fields.need("type", str)
    fields.ignore("cache_control")
    part: Part
    if kind == "text":
        part = TextPart(fields.need("text", str))
    elif kind == "image":
        part = _image(fields)
    elif kind == "tool_result":
        call = fields.need("tool_use_id", str)
        content = fields.take("content", str, list, default=())
        parts = (TextPart(content),) if isinstance(content, str) else _result(content, fields.name("content"))
        part = ToolResultPart(call, parts, bool(fields.take("is_error", bool)), names.get(call))
    else:
        raise _refused(fields, kind)
    fields.done()
    return part


def _result(content: list[Any], path: str) -> tuple[TextPart | ImagePart, ...]:
    parts: list[TextPart | ImagePart] = []
    for number, item in enumerate(content):
        fields = Fields.of(item, f"{path}.{number}")
        kind = fields.need("type", str)
        if kind not in ("text", "image"):
            raise _refused(fields, kind)
        fields.ignore("cache_control")
        parts.append(TextPart(fields.need("text", str)) if kind == "text" else _image(fields))
        fields.done()
    return tuple(parts)


def _image(fields: Fields) -> ImagePart:
    source = Fields.of(fields.need("source", dict), fields.name("source"))
    kind = source.need("type", str)
    if kind == "base64":
        image = ImagePart(data=source.need("data", str), media_type=source.need("media_type", str))
    elif kind == "url":
        image = ImagePart(url=source.need("url", str))
    else:
        raise _refused(source, kind)
    source.done()
    return image


def _assistant_part(fields: Fields, names: dict[str, str]) -> Part:
    kind = fields.need("type", str)
    fields.ignore("cache_control")
    part: Part
    if kind == "text":
        fields.ignore("citations")
        part = TextPart(fields.need("text", str))
    elif kind == "thinking":
        part = ThinkingPart(fields.take("thinking", str, default=""), fields.take("signature", str) or None)
    elif kind == "redacted_thinking":
        part = ThinkingPart(signature=fields.need("data", str), redacted=True)
    elif kind == "tool_use":
        fields.neutral("caller", {"type": "direct"})
        call, name = fields.need("id", str), fields.need("name", str)
        names[call] = name
        arguments = json.dumps(fields.take("input", dict, default={})).decode()
        part = ToolCallPart(call, name, arguments, fields.take("thought_signature", str))
    else:
        raise _refused(fields, kind)
    fields.done()
    return part


# -- everything else ----------------------------------------------------------------------------------------------


def _tool(fields: Fields) -> Tool:
    kind = fields.take("type", str, default="custom")
    if kind != "custom":
        raise _refused(fields, kind)
    fields.ignore("cache_control", "eager_input_streaming")
    fields.neutral("defer_loading", False)
    fields.neutral("allowed_callers", ["direct"])
    tool = Tool(
        name=fields.need("name", str),
        description=fields.take("description", str),
        parameters=fields.take("input_schema", dict),
        strict=fields.take("strict", bool),
    )
    fields.done()
    return tool


def _tool_choice(raw: dict[str, Any] | None) -> tuple[ToolChoice | None, bool | None]:
    """How tools are chosen, and whether several may be called at once (None: as it is by default)."""
    if raw is None:
        return None, None
    fields = Fields(raw, "tool_choice")
    kind = fields.need("type", str)
    if kind not in _MODES:
        raise BadRequest(f"tool_choice.type must be one of {', '.join(_MODES)}", param="tool_choice.type")
    name = fields.need("name", str) if kind == "tool" else None
    alone = fields.take("disable_parallel_tool_use", bool, default=False)
    fields.done()
    return ToolChoice(_MODES[kind], name), False if alone else None


def _user(raw: dict[str, Any] | None) -> str | None:
    if raw is None:
        return None
    fields = Fields(raw, "metadata")
    user: str | None = fields.take("user_id", str)
    fields.done()
    return user


def _thinking(raw: dict[str, Any] | None) -> int | None:
    if raw is None:
        return None
    fields = Fields(raw, "thinking")
    kind = fields.need("type", str)
    fields.neutral("display", "summarized")
    budget: int | None = None
    if kind == "enabled":
        budget = fields.need("budget_tokens", int)
    elif kind not in ("disabled", "adaptive"):
        raise _refused(fields, kind)
    fields.done()
    return budget


def _output_config(raw: dict[str, Any] | None) -> tuple[str | None, Format | None]:
    if raw is None:
        return None, None
    fields = Fields(raw, "output_config")
    effort = fields.take("effort", str)
    wanted = fields.take("format", dict)
    fields.done()
    if wanted is None:
        return effort, None
    form = Fields(wanted, "output_config.format")
    kind = form.need("type", str)
    if kind != "json_schema":
        raise _refused(form, kind)
    schema = form.need("schema", dict)
    form.done()
    # Anthropic always holds to the schema.
    return effort, Format(schema, strict=True)
