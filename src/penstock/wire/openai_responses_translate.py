"""openai-responses requests to no wire's words."""

from __future__ import annotations

from collections.abc import Iterable
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
from penstock.wire.openai_responses_writer import REDACTED

_SYSTEM = ("system", "developer")
# What an earlier answer's items carry besides their content: names and states that mean something to their provider.
_OF_ITEMS = ("id", "status", "phase", "created_by")


def conversation(request: StreamRequest) -> Conversation:
    """A client's request. Raises BadRequest for what cannot be carried to another wire, as is everything that leans on
    what a provider keeps: ``store``, ``previous_response_id``, ``background``, references to items."""
    fields = Fields({name: json.loads(bytes(raw)) for name, raw in request.body.items()})
    fields.ignore(
        "model", "stream", "stream_options", "metadata", "safety_identifier",
        "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options",
    )  # fmt: skip
    fields.neutral("store", False)
    fields.neutral("background", False)
    fields.neutral("truncation", "disabled")
    fields.neutral("service_tier", "auto", "default")
    fields.neutral("include", [], ["reasoning.encrypted_content"])
    fields.neutral("top_logprobs", 0)
    text = _inner(fields, "text")
    text.neutral("verbosity", "medium")
    reasoning = _inner(fields, "reasoning")
    # How much of the reasoning is shown is the provider's way; what it shows goes on.
    reasoning.ignore("summary", "generate_summary")
    result = Conversation(
        tools=tuple(_tool(tool, f"tools.{place}") for place, tool in enumerate(fields.take("tools", list, default=()))),
        tool_choice=_tool_choice(fields.take("tool_choice", str, dict)),
        parallel_tools=fields.take("parallel_tool_calls", bool),
        max_tokens=fields.take("max_output_tokens", int),
        temperature=fields.take("temperature", int, float),
        top_p=fields.take("top_p", int, float),
        format=_format(text.take("format", dict)),
        effort=reasoning.take("effort", str),
        user=fields.take("user", str),
        names={
            "max_tokens": "max_output_tokens",
            "parallel_tools": "parallel_tool_calls",
            "format": "text.format",
            "effort": "reasoning.effort",
            "messages": "input",
            "system": "instructions",
        },
    )
    instructions = fields.take("instructions", str)
    system, result.messages = _input(fields.need("input", str, list))
    result.system = (instructions, *system) if instructions else system
    for part in (text, reasoning, fields):
        part.done()
    return result


def _inner(fields: Fields, name: str) -> Fields:
    return Fields(fields.take(name, dict, default={}), name)


def _input(raw: str | list[Any]) -> tuple[tuple[str, ...], tuple[Message, ...]]:
    if isinstance(raw, str):
        return (), (Message("user", (TextPart(raw),)),)
    system: list[str] = []
    messages: list[Message] = []
    names: dict[str, str] = {}
    for number, item in enumerate(raw):
        fields = Fields.of(item, f"input.{number}")
        kind = fields.take("type", str, default="message")
        fields.ignore(*_OF_ITEMS)
        if kind == "message":
            _message(fields, system, messages)
        elif kind == "function_call":
            call = _call(fields)
            names[call.id] = call.name
            _add(messages, "assistant", [call])
        elif kind == "function_call_output":
            call_id = fields.need("call_id", str)
            content = tuple(part for part in _parts(fields, "output") if isinstance(part, TextPart | ImagePart))
            _add(messages, "user", [ToolResultPart(call_id, content, name=names.get(call_id))])
        elif kind == "reasoning":
            _add(messages, "assistant", _thinking(fields))
        elif kind == "item_reference":
            what = "a reference to what a provider keeps (send the item itself, as clients do with store: false)"
            raise _unsupported(fields.name("type"), what)
        else:
            raise _unsupported(fields.name("type"), f"an item of type {kind!r}")
        fields.done()
    return tuple(system), tuple(messages)


def _message(fields: Fields, system: list[str], messages: list[Message]) -> None:
    role = fields.need("role", str)
    parts = _parts(fields, "content")
    if role in _SYSTEM:
        if messages:
            raise _unsupported(fields.name("role"), f"a {role} message after the first turn")
        system.append("".join(part.text for part in parts if isinstance(part, TextPart)))
    elif role in ("user", "assistant"):
        _add(messages, role, [part for part in parts if role == "user" or part != TextPart("")])
    else:
        raise BadRequest(f"{fields.name('role')}: {role!r} is no role", param=fields.name("role"))


def _add(messages: list[Message], role: Any, parts: Iterable[Part]) -> None:
    """Turns of one role that follow each other are one: other wires want them to alternate."""
    parts = tuple(parts)
    if messages and messages[-1].role == role:
        messages[-1] = Message(role, messages[-1].parts + parts)
    elif parts:
        messages.append(Message(role, parts))


def _parts(fields: Fields, field: str) -> list[Part]:
    content = fields.take(field, str, list, default=())
    if isinstance(content, str):
        return [TextPart(content)]
    parts: list[Part] = []
    for number, item in enumerate(content):
        part = Fields.of(item, f"{fields.name(field)}.{number}")
        kind = part.need("type", str)
        if kind in ("input_text", "output_text", "text"):
            part.ignore("annotations", "logprobs")
            parts.append(TextPart(part.need("text", str)))
        elif kind == "refusal":
            parts.append(TextPart(part.need("refusal", str)))
        elif kind == "input_image":
            parts.append(_image(part))
        else:
            raise _unsupported(part.name("type"), f"a part of type {kind!r}")
        part.done()
    return parts


def _image(part: Fields) -> ImagePart:
    if part.has("file_id"):
        raise _unsupported(part.name("file_id"), "a file that another provider keeps")
    url = part.need("image_url", str)
    part.neutral("detail", "auto")
    detail = part.take("detail", str)
    inline = data_url(url)
    if inline is None:
        return ImagePart(url=url, detail=detail)
    return ImagePart(data=inline[1], media_type=inline[0], detail=detail)


def _call(fields: Fields) -> ToolCallPart:
    extra = fields.take("extra_content", dict, default={})
    google = extra.get("google")
    return ToolCallPart(
        id=fields.need("call_id", str),
        name=fields.need("name", str),
        arguments=fields.take("arguments", str, default="") or "{}",
        signature=google.get("thought_signature") if isinstance(google, dict) else None,
    )


def _thinking(fields: Fields) -> list[Part]:
    """What the writer made of reasoning, made reasoning again: text and signature, or what stands for the text."""
    summary = _texts(fields, "summary", "summary_text")
    content = _texts(fields, "content", "reasoning_text")
    text = "\n\n".join(content or summary)
    sealed = fields.take("encrypted_content", str)
    if sealed and sealed.startswith(REDACTED):
        return [ThinkingPart(signature=sealed.removeprefix(REDACTED), redacted=True)]
    return [ThinkingPart(text, sealed)] if text or sealed else []


def _texts(fields: Fields, field: str, kind: str) -> list[str]:
    texts = []
    for number, item in enumerate(fields.take(field, list, default=())):
        part = Fields.of(item, f"{fields.name(field)}.{number}")
        if part.need("type", str) != kind:
            raise BadRequest(f"{part.name('type')} must be {kind}", param=part.name("type"))
        texts.append(part.need("text", str))
        part.done()
    return texts


def _tool(raw: Any, path: str) -> Tool:
    fields = Fields.of(raw, path)
    kind = fields.need("type", str)
    if kind != "function":
        raise _unsupported(fields.name("type"), f"the tool {kind!r}, which its provider runs itself,")
    tool = Tool(
        name=fields.need("name", str),
        description=fields.take("description", str),
        parameters=fields.take("parameters", dict),
        strict=fields.take("strict", bool),
    )
    fields.done()
    return tool


def _tool_choice(raw: Any) -> ToolChoice | None:
    if raw is None:
        return None
    if isinstance(raw, str):
        if raw not in ("auto", "none", "required"):
            raise BadRequest("tool_choice must be auto, none, required or a function", param="tool_choice")
        return ToolChoice(raw)  # type: ignore[arg-type]
    if raw.get("type") != "function" or not isinstance(raw.get("name"), str):
        raise _unsupported("tool_choice", f"a choice of type {raw.get('type')!r}")
    return ToolChoice("named", raw["name"])


def _format(raw: dict[str, Any] | None) -> Format | None:
    if raw is None or raw.get("type") == "text":
        return None
    if raw.get("type") == "json_object":
        return Format()
    if raw.get("type") != "json_schema":
        raise BadRequest("text.format must be of type text, json_object or json_schema", param="text.format")
    fields = Fields(raw, "text.format")
    fields.ignore("type")
    wanted = Format(fields.need("schema", dict), fields.take("name", str), fields.take("strict", bool))
    fields.done()
    return wanted


def _unsupported(path: str, what: str) -> BadRequest:
    return BadRequest(
        f"{path}: {what} cannot be carried to the provider of this model, which speaks another wire",
        code="unsupported_field",
        param=path,
    )
