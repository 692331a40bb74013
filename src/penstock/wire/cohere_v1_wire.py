"""cohere-v1, upstream only: what the gateway needs of the wire, and its requests from no wire's words.

A request has one ``message``, the user's last turn; what was said before is ``chat_history``, and the system's words
are the ``preamble``. Tools have flat parameters here: others are refused, as are images. Calls have no ids: a result is
told with the call that it is of.
"""

from __future__ import annotations

from typing import Any

from penstock.errors import BadRequest
from penstock.events import ErrorReport
from penstock.framing.ndjson import NDJSONFramer
from penstock.request import StreamRequest
from penstock.wire import json, sniff
from penstock.wire.base import Body, ClientSession, Decoder, Framer, View
from penstock.wire.cohere_errors import error_report
from penstock.wire.cohere_v1 import CohereV1Decoder, is_answer
from penstock.wire.conversation import (
    Conversation,
    ImagePart,
    Message,
    Tool,
    ToolCallPart,
    ToolResultPart,
    joined_text,
)

_WIRE = "cohere-v1"
_FIELDS = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "p",
    "top_k": "k",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}
_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list", "object": "dict"}
_FLAT = frozenset({"type", "description", "title"})
_TOP = frozenset({"type", "properties", "required", "additionalProperties", "title", "description", "$schema"})


class CohereV1Upstream:
    """See `base.UpstreamWire`."""

    name = _WIRE
    passed_headers: frozenset[bytes] = frozenset()

    def credentials(self, api_key: str) -> list[tuple[str, str]]:
        """A bearer token."""
        return [("authorization", f"Bearer {api_key}")]

    def headers(self, request: StreamRequest) -> list[tuple[str, str]]:
        """Lines of JSON come where no event stream is asked for."""
        return [("content-type", "application/json")]

    def path(self, request: StreamRequest, model: str) -> str:
        """The base URL is the bare host."""
        return "/v1/chat"

    def body(self, request: StreamRequest, model: str, *, ask_usage: bool) -> bytes:
        """Never asked for: no client speaks this wire."""
        fields = {name: json.loads(bytes(raw)) for name, raw in request.body.items()}
        return json.dumps({**fields, "model": model, "stream": True})

    def translate(self, conversation: Conversation, model: str, *, ask_usage: bool) -> bytes:
        """A body written anew."""
        return request_body(conversation, model)

    def framer(self, limit: int) -> Framer:
        """Lines."""
        return NDJSONFramer(limit)

    def sniff(self, start: bytes, content_type: bytes) -> Body:
        """By the first characters."""
        return sniff.lines_of_json(start)

    def decoder(self, view: View, session: ClientSession | None) -> Decoder:
        """A `CohereV1Decoder`."""
        return CohereV1Decoder()

    def whole(self, body: bytes) -> list[bytes] | ErrorReport | None:
        """An answer, or an error object, that is spread over several lines."""
        value = _object(body)
        if value is None:
            return None
        return [json.dumps(value) + b"\n"] if is_answer(value) else error_report(value)

    def error(self, body: bytes) -> ErrorReport | None:
        """``{"message": "text"}``."""
        value = _object(body)
        return None if value is None else error_report(value)


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


# -- requests ---------------------------------------------------------------------------------------------------------


def request_body(conversation: Conversation, model: str) -> bytes:
    """A streaming request. Raises BadRequest for what this wire has no place for."""
    conversation.only(_WIRE, "tools", "tool_choice", "parallel_tools", "stop", "format", "user", *_FIELDS)
    body: dict[str, Any] = {"model": model, "stream": True}
    if conversation.system:
        body["preamble"] = "\n\n".join(conversation.system)
    calls: dict[str, dict[str, Any]] = {}
    turns = [turn for message in conversation.messages for turn in _turns(conversation, message, calls)]
    if not turns or turns[-1]["role"] not in ("USER", "TOOL"):
        raise conversation.refuse("messages", f"{_WIRE} (the last turn is not the user's)")
    last = turns.pop()
    body["message"] = last.get("message", "")
    if last["role"] == "TOOL":
        body["tool_results"] = last["tool_results"]
    if turns:
        body["chat_history"] = turns
    for field, name in _FIELDS.items():
        if getattr(conversation, field) is not None:
            body[name] = getattr(conversation, field)
    if conversation.stop:
        body["stop_sequences"] = list(conversation.stop)
    if conversation.format is not None:
        schema = conversation.format.schema
        body["response_format"] = {"type": "json_object"} | ({} if schema is None else {"schema": schema})
    tools = _tools(conversation)
    if tools:
        body["tools"] = tools
    return json.dumps(body)


def _turns(conversation: Conversation, message: Message, calls: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    if any(isinstance(part, ImagePart) for part in message.parts):
        raise conversation.refuse("messages", f"{_WIRE} (no images)")
    text = joined_text(message.parts)
    if message.role == "assistant":
        made = []
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                calls[part.id] = {"name": part.name, "parameters": _parameters(conversation, part)}
                made.append(calls[part.id])
        return [{"role": "CHATBOT", "message": text} | ({"tool_calls": made} if made else {})]
    results = [_result(conversation, part, calls) for part in message.parts if isinstance(part, ToolResultPart)]
    turns: list[dict[str, Any]] = [{"role": "TOOL", "tool_results": results}] if results else []
    return [*turns, {"role": "USER", "message": text}] if text or not results else turns


def _result(conversation: Conversation, part: ToolResultPart, calls: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if any(isinstance(piece, ImagePart) for piece in part.parts):
        raise conversation.refuse("messages", f"{_WIRE} (no images)")
    if part.call not in calls:
        name = conversation.names.get("messages", "messages")
        raise BadRequest(f"{name}: there is no call {part.call!r} before its result", param=name)
    return {"call": calls[part.call], "outputs": [{"output": joined_text(part.parts)}]}


def _parameters(conversation: Conversation, part: ToolCallPart) -> dict[str, Any]:
    value = _object(part.arguments.encode("utf-8", "surrogatepass"))
    if value is None:
        name = conversation.names.get("messages", "messages")
        raise BadRequest(f"{name}: the arguments of the call {part.id!r} must be a JSON object", param=name)
    return value


def _tools(conversation: Conversation) -> list[dict[str, Any]]:
    """The tools; none where none may be called, since this wire cannot say so otherwise."""
    choice = conversation.tool_choice
    if choice is not None and choice.mode in ("required", "named"):
        raise conversation.refuse("tool_choice", f"{_WIRE} (it leaves the choice of tools to the model)")
    if conversation.parallel_tools is False and conversation.tools:
        raise conversation.refuse("parallel_tools", _WIRE)
    if choice is not None and choice.mode == "none":
        return []
    return [_tool(conversation, tool) for tool in conversation.tools]


def _tool(conversation: Conversation, tool: Tool) -> dict[str, Any]:
    schema = tool.parameters or {}
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    flat = schema.keys() <= _TOP and isinstance(properties, dict) and all(map(_is_flat, properties.values()))
    if tool.strict or not flat:
        raise conversation.refuse("tools", f"{_WIRE} (a parameter has a type and a description, nothing else)")
    definitions = {
        name: {
            "type": _TYPES[one["type"]],
            "required": name in required,
            **({"description": one["description"]} if one.get("description") else {}),
        }
        for name, one in properties.items()
    }
    return {"name": tool.name, "description": tool.description or "", "parameter_definitions": definitions}


def _is_flat(schema: Any) -> bool:
    """A parameter that this wire can say: one type, and what it is for."""
    return isinstance(schema, dict) and schema.keys() <= _FLAT and str(schema.get("type")) in _TYPES
