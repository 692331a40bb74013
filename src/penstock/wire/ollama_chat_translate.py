"""ollama-chat requests of clients in no wire's words. The way back is in `ollama_chat_request`.

Left behind by decision, for they say nothing to a provider of another wire: ``keep_alive`` and the options that are
about the machine which runs the model (`MACHINE`), and ``think: false``: the same as leaving it out, but for models
that only Ollama serves.
"""

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
    ToolResultPart,
)

MACHINE = (
    "num_ctx",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_keep",
    "numa",
    "low_vram",
    "f16_kv",
    "vocab_only",
    "use_mmap",
    "use_mlock",
)
# Samplers that other wires do not have, with the values at which they do nothing or what Ollama does anyway.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "repeat_penalty": (1, 1.0, 1.1),
    "repeat_last_n": (0, 64),
    "min_p": (0, 0.0),
    "typical_p": (1, 1.0),
    "tfs_z": (1, 1.0),
    "mirostat": (0,),
    "penalize_newline": (True,),
}
# The first characters of base64 data: there is nothing else to know an image's type by.
_IMAGES = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
)


def conversation(request: StreamRequest) -> Conversation:
    """A client's request. Raises BadRequest for what cannot be carried to another wire."""
    fields = Fields({name: json.loads(bytes(raw)) for name, raw in request.body.items()})
    fields.ignore("model", "stream", "keep_alive")
    fields.neutral("logprobs", False)
    fields.neutral("top_logprobs", 0)
    fields.neutral("truncate", True)
    fields.neutral("shift", True)
    tools = fields.take("tools", list, default=())
    result = Conversation(
        tools=tuple(_tool(Fields.of(tool, f"tools.{number}")) for number, tool in enumerate(tools)),
        format=_format(fields.take("format", str, dict)),
        effort=_effort(fields.take("think", bool, str)),
        names={
            "max_tokens": "options.num_predict",
            "temperature": "options.temperature",
            "top_p": "options.top_p",
            "top_k": "options.top_k",
            "stop": "options.stop",
            "seed": "options.seed",
            "frequency_penalty": "options.frequency_penalty",
            "presence_penalty": "options.presence_penalty",
            "effort": "think",
        },
    )
    _options(Fields.of(fields.take("options", dict, default={}), "options"), result)
    result.system, result.messages = _messages(fields.take("messages", list, default=[]))
    if not result.messages:
        raise BadRequest(
            "messages: without any the model would be loaded or unloaded, which the provider of this model does not do",
            code="unsupported_field",
            param="messages",
        )
    fields.done()
    return result


def _options(options: Fields, result: Conversation) -> None:
    options.ignore(*MACHINE)
    for name, values in _NEUTRAL.items():
        options.neutral(name, *values)
    limit = options.take("num_predict", int)
    # -1: without an end, -2: until the context is full; 0 is no limit either, but for load requests.
    result.max_tokens = limit if limit is not None and limit > 0 else None
    stop = options.take("stop", str, list, default=())
    result.stop = (stop,) if isinstance(stop, str) else tuple(stop)
    result.temperature = options.take("temperature", int, float)
    result.top_p = options.take("top_p", int, float)
    result.top_k = options.take("top_k", int)
    result.seed = options.take("seed", int)
    for name in ("frequency_penalty", "presence_penalty"):
        options.neutral(name, 0, 0.0)
        setattr(result, name, options.take(name, int, float))
    options.done()


def _format(raw: str | dict[str, Any] | None) -> Format | None:
    if raw is None or raw == "":
        return None
    if raw == "json":
        return Format()
    if isinstance(raw, dict):
        return Format(raw)
    raise BadRequest("format must be json or a JSON schema", param="format")


def _effort(raw: bool | str | None) -> str | None:
    """``true`` is to think as the model does by default."""
    if raw is None or raw is False or raw == "":
        return None
    if raw is True:
        return "medium"
    if raw in ("low", "medium", "high"):
        return raw
    raise BadRequest("think must be true, false, low, medium or high", param="think")


def _tool(fields: Fields) -> Tool:
    fields.neutral("type", "function")
    function = Fields.of(fields.need("function", dict), fields.name("function"))
    tool = Tool(
        name=function.need("name", str),
        description=function.take("description", str),
        parameters=function.take("parameters", dict),
        strict=function.take("strict", bool),
    )
    function.done()
    fields.done()
    return tool


# -- turns --------------------------------------------------------------------------------------------------------


class _Calls:
    """The calls that were made: ids are fabricated where there are none, and results find the call they are of."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[tuple[str, str]] = []
        """Ids and names of the calls of the last turn that have no result yet."""
        self._names: dict[str, str] = {}

    def turn(self) -> None:
        """Another turn of the assistant begins."""
        self._open = []

    def made(self, ident: str | None, name: str) -> str:
        """A call; its id, which is the same however often the conversation is sent."""
        self._count += 1
        ident = ident or f"call_{self._count}"
        self._open.append((ident, name))
        self._names[ident] = name
        return ident

    def answered(self, fields: Fields) -> tuple[str, str | None]:
        """The id and the name of the call that a tool message answers."""
        ident, name = fields.take("tool_call_id", str), fields.take("tool_name", str) or fields.take("name", str)
        if not ident:
            ident = next((known for known, called in self._open if name in (None, called)), None)
        if ident is None:
            raise BadRequest(
                f"{fields.name('tool_name')}: there is no call of the turn before that has no result yet"
                + (f" and is of {name!r}" if name else ""),
                param=fields.name("tool_name"),
            )
        self._open = [pair for pair in self._open if pair[0] != ident]
        return ident, name or self._names.get(ident)


def _messages(raw: list[Any]) -> tuple[tuple[str, ...], tuple[Message, ...]]:
    system: list[str] = []
    messages: list[Message] = []
    calls = _Calls()
    for number, item in enumerate(raw):
        fields = Fields.of(item, f"messages.{number}")
        role = fields.need("role", str)
        text = fields.take("content", str, default="")
        if role == "system":
            if messages:
                raise BadRequest(
                    f"{fields.name('role')}: a system message after the first turn cannot be carried to the provider "
                    "of this model",
                    code="unsupported_field",
                    param=fields.name("role"),
                )
            system.append(text)
        elif role == "user":
            _add(messages, "user", [*([TextPart(text)] if text else []), *_images(fields)])
        elif role == "assistant":
            calls.turn()
            _add(messages, "assistant", _assistant(fields, text, calls))
        elif role == "tool":
            ident, name = calls.answered(fields)
            _add(messages, "user", [ToolResultPart(ident, (TextPart(text), *_images(fields)), name=name)])
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


def _images(fields: Fields) -> list[ImagePart]:
    images = []
    for number, data in enumerate(fields.take("images", list, default=())):
        path = f"{fields.name('images')}.{number}"
        kind = next((kind for start, kind in _IMAGES if isinstance(data, str) and data.startswith(start)), None)
        if kind is None:
            raise BadRequest(f"{path} must be base64 data of a PNG, JPEG, GIF or WebP", param=path)
        images.append(ImagePart(data=data, media_type=kind))
    return images


def _assistant(fields: Fields, text: str, calls: _Calls) -> list[Part]:
    parts: list[Part] = []
    thinking = fields.take("thinking", str)
    if thinking:
        parts.append(ThinkingPart(thinking))
    if text:
        parts.append(TextPart(text))
    parts += _images(fields)
    fields.ignore("tool_name")
    for number, item in enumerate(fields.take("tool_calls", list, default=())):
        call = Fields.of(item, f"{fields.name('tool_calls')}.{number}")
        call.neutral("type", "function")
        function = Fields.of(call.need("function", dict), call.name("function"))
        function.ignore("index")
        name = function.need("name", str)
        arguments = json.dumps(function.take("arguments", dict, default={})).decode()
        parts.append(ToolCallPart(calls.made(call.take("id", str), name), name, arguments))
        function.done()
        call.done()
    return parts
