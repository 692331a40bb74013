"""A request as far as its tokens count: read as the conversation that it is, where that can be done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.errors import BadRequest
from penstock.metering.images import HEAD, Image
from penstock.metering.prompt import Prompt
from penstock.request import StreamRequest
from penstock.wire import json
from penstock.wire.base import ClientWire
from penstock.wire.conversation import (
    Conversation,
    ImagePart,
    Part,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolResultPart,
    data_url,
)


def prompt_of(wire: ClientWire, request: StreamRequest) -> Prompt:
    """The prompt of a request."""
    try:
        return _of_conversation(wire.conversation(request))
    except BadRequest:
        # It says something that only its own provider understands.
        texts = [text for raw in request.body.values() for text in _texts(json.loads(bytes(raw)))]
        return Prompt(texts=tuple(texts), plain=False)


def tier_of(request: StreamRequest) -> str:
    """The service tier that a request asks for."""
    raw = request.body.get("service_tier")
    tier = None if raw is None else json.loads(bytes(raw))
    return tier if isinstance(tier, str) else ""


def _of_conversation(conversation: Conversation) -> Prompt:
    texts = list(conversation.system)
    tools = [msgspec.json.encode(tool).decode() for tool in conversation.tools]
    images: list[Image] = []
    for part in (part for message in conversation.messages for part in message.parts):
        _part(part, texts, tools, images)
    if conversation.format is not None and conversation.format.schema is not None:
        tools.append(msgspec.json.encode(conversation.format.schema).decode())
    return Prompt(
        texts=tuple(texts),
        messages=len(conversation.system) + len(conversation.messages),
        tools=tuple(tools),
        images=tuple(images),
    )


def _part(part: Part, texts: list[str], tools: list[str], images: list[Image]) -> None:
    if isinstance(part, TextPart | ThinkingPart):
        texts.append(part.text)
    elif isinstance(part, ImagePart):
        images.append(_image(part))
    elif isinstance(part, ToolCallPart):
        tools.append(part.name + part.arguments)
    elif isinstance(part, ToolResultPart):
        for inner in part.parts:
            _part(inner, texts, tools, images)


def _image(part: ImagePart) -> Image:
    data = part.data
    if data is None and (found := data_url(part.url or "")) is not None:
        data = found[1]
    return Image((data or "")[:HEAD], part.detail)


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, but for files in base64."""
    if isinstance(value, str):
        if not value.startswith("data:"):
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
