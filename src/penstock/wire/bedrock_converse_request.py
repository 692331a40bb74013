"""bedrock-converse requests to a provider, written from no wire's words.

Left behind by decision: ``detail`` of images (a hint on their cost), reasoning of earlier turns without a signature
(the models refuse it), empty texts (likewise). What Converse has no field of its own for, and its models have, stands
in ``additionalModelRequestFields``, in the words of the model's family.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from penstock.errors import BadRequest
from penstock.wire import json
from penstock.wire.bedrock_blocks import redacted_of
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

_WIRE = "bedrock-converse"
_FORMATS = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_NOT_IN_IDS = re.compile(r"[^a-zA-Z0-9_.:-]")
_LONGEST_ID = 64
_USER = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
"""What a value of ``requestMetadata`` may be."""
_INFERENCE = (
    ("max_tokens", "maxTokens"),
    ("temperature", "temperature"),
    ("top_p", "topP"),
)


def request_body(conversation: Conversation, model: str) -> bytes:
    """A request; that it streams is said by its path. Raises BadRequest for what this wire has no place for."""
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
    body: dict[str, Any] = {"messages": _messages(conversation)}
    system = [{"text": text} for text in conversation.system if text]
    inference = {name: value for field, name in _INFERENCE if (value := getattr(conversation, field)) is not None}
    if conversation.stop:
        inference["stopSequences"] = list(conversation.stop)
    more = {
        "system": system,
        "inferenceConfig": inference,
        "toolConfig": _tool_config(conversation),
        "additionalModelRequestFields": _more(conversation, model),
        "outputConfig": _output_config(conversation, model),
        "requestMetadata": _metadata(conversation),
    }
    body |= {name: value for name, value in more.items() if value}
    return json.dumps(body)


# -- turns --------------------------------------------------------------------------------------------------------


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The turns, whose roles must alternate also where one had nothing to carry."""
    messages: list[dict[str, Any]] = []
    for message in conversation.messages:
        content = _content(conversation, message)
        if content and messages and messages[-1]["role"] == message.role:
            messages[-1]["content"] += content
        elif content:
            messages.append({"role": message.role, "content": content})
    return messages


def _content(conversation: Conversation, message: Message) -> list[dict[str, Any]]:
    # The results of tools stand before everything else that a turn says.
    parts = sorted(message.parts, key=lambda part: not isinstance(part, ToolResultPart))
    return [written for part in parts if (written := _part(conversation, message.role, part)) is not None]


def _part(conversation: Conversation, role: str, part: Part) -> dict[str, Any] | None:
    if isinstance(part, TextPart):
        return {"text": part.text} if part.text else None
    if isinstance(part, ImagePart):
        if role == "assistant":
            raise conversation.refuse("messages", f"{_WIRE} (no images in the assistant's turns)")
        return _image(conversation, part)
    if isinstance(part, ThinkingPart):
        return _thinking(part)
    if isinstance(part, ToolCallPart):
        use = {"toolUseId": _id(part.id), "name": part.name, "input": _input(conversation, part)}
        return {"toolUse": use}
    pieces = [written for piece in part.parts if (written := _part(conversation, role, piece)) is not None]
    result = {"toolUseId": _id(part.call), "content": pieces}
    return {"toolResult": result | {"status": "error"} if part.is_error else result}


def _thinking(part: ThinkingPart) -> dict[str, Any] | None:
    if not part.signature:
        return None
    if part.redacted:
        return {"reasoningContent": {"redactedContent": redacted_of(part.signature)}}
    return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}


def _image(conversation: Conversation, image: ImagePart) -> dict[str, Any]:
    """By its bytes, which are base64 in JSON, or where it lies in S3; Bedrock fetches no other address."""
    if image.url is not None:
        kind = _FORMATS.get("image/" + image.url.rpartition(".")[2].lower())
        if not image.url.startswith("s3://") or kind is None:
            raise conversation.refuse("messages", f"{_WIRE} (images as data or from s3://, not by another URL)")
        return {"image": {"format": kind, "source": {"s3Location": {"uri": image.url}}}}
    kind = _FORMATS.get((image.media_type or "").lower())
    if kind is None:
        raise conversation.refuse("messages", f"{_WIRE} (images are {', '.join(sorted(set(_FORMATS.values())))})")
    return {"image": {"format": kind, "source": {"bytes": image.data}}}


def _id(call: str) -> str:
    """A call's id in the letters and the length that this wire allows; the same on the call and on its result."""
    if len(call) > _LONGEST_ID:
        return hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()
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


# -- everything else ----------------------------------------------------------------------------------------------


def _tool_config(conversation: Conversation) -> dict[str, Any]:
    choice = conversation.tool_choice
    if conversation.parallel_tools is False:
        raise conversation.refuse("parallel_tools", f"{_WIRE} (its models may always call several tools at once)")
    if choice is not None and choice.mode == "none":
        # No choice of that name: tools that are not offered are not called. But calls in earlier turns want them.
        if any(
            isinstance(part, ToolCallPart | ToolResultPart) for each in conversation.messages for part in each.parts
        ):
            raise conversation.refuse("tool_choice", f'{_WIRE} (no "none" once tools were called)')
        return {}
    if not conversation.tools:
        return {}
    config: dict[str, Any] = {"tools": [{"toolSpec": _tool(tool)} for tool in conversation.tools]}
    if choice is not None:
        named = {"tool": {"name": choice.name}}
        config["toolChoice"] = {"auto": {"auto": {}}, "required": {"any": {}}, "named": named}[choice.mode]
    return config


def _tool(tool: Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name}
    if tool.description:
        written["description"] = tool.description
    written["inputSchema"] = {"json": tool.parameters or {"type": "object", "properties": {}}}
    return written | {"strict": True} if tool.strict else written


def _more(conversation: Conversation, model: str) -> dict[str, Any]:
    """What only some families of models have."""
    nova = _is_nova(model)
    fields: dict[str, Any] = {}
    if conversation.top_k is not None:
        fields |= {"inferenceConfig": {"topK": conversation.top_k}} if nova else {"top_k": conversation.top_k}
    if conversation.thinking_budget:
        if nova:
            raise conversation.refuse("thinking_budget", f"{_WIRE} (Nova's models think by effort, not by a budget)")
        fields["thinking"] = {"type": "enabled", "budget_tokens": conversation.thinking_budget}
    if nova and conversation.effort not in (None, "none"):
        fields["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": conversation.effort}
    return fields


def _is_nova(model: str) -> bool:
    return "amazon.nova" in model


def _output_config(conversation: Conversation, model: str) -> dict[str, Any]:
    config: dict[str, Any] = {}
    wanted = conversation.format
    if conversation.effort not in (None, "none") and not _is_nova(model):
        config["effort"] = conversation.effort
    if wanted is not None:
        if wanted.schema is None:
            raise conversation.refuse("format", f"{_WIRE} (JSON only by a schema)")
        schema = {"schema": json.dumps(wanted.schema).decode()}
        if wanted.name is not None:
            schema["name"] = wanted.name
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    return config


def _metadata(conversation: Conversation) -> dict[str, str]:
    user = conversation.user
    if user is None:
        return {}
    if not _USER.fullmatch(user):
        raise conversation.refuse("user", f"{_WIRE} (of a user's name it takes letters, digits and some marks)")
    return {"user": user}
