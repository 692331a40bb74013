"""gemini requests from no wire's words (wire-formats.md §6.1). No way back: see `gemini_client.unsupported`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from penstock.errors import BadRequest
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
)

NO_SIGNATURE = "skip_thought_signature_validator"
"""Gemini 3 refuses a call of the current turn that lost its signature on the way; Google documents this word for calls
that never had one (ai.google.dev/gemini-api/docs/thought-signatures)."""

_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}
"""Effort in tokens, as Google's own OpenAI endpoint has it; from Gemini 3 on effort goes in words."""
_RESOLUTIONS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}
_IMAGE_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heif",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "pdf": "application/pdf",
}
_WIRE = "gemini"


def request_body(conversation: Conversation, model: str) -> bytes:
    """The body of a request to ``model``. Raises BadRequest for what this wire has no place for."""
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
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "format",
        "effort",
        "thinking_budget",
        # Only names the end user to the provider, and this one has no place for it: the answer is the same.
        "user",
    )
    if conversation.parallel_tools is False:
        raise conversation.refuse("parallel_tools", "gemini (its models may always call several tools at once)")
    body: dict[str, Any] = {"contents": _Contents(conversation, model).written()}
    if conversation.system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in conversation.system]}
    if conversation.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in conversation.tools]}]
        body["toolConfig"] = {"functionCallingConfig": _calling(conversation)}
    elif conversation.tool_choice is not None and conversation.tool_choice.mode not in ("auto", "none"):
        raise BadRequest("tool_choice wants a call, but there are no tools", param="tool_choice")
    config = _generation(conversation, model)
    if config:
        body["generationConfig"] = config
    return json.dumps(body)


def _declaration(tool: Tool) -> dict[str, Any]:
    """The schema goes as it is: ``parametersJsonSchema`` takes JSON Schema, ``parameters`` only a part of it."""
    declaration: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        declaration["description"] = tool.description
    if tool.parameters is not None:
        declaration["parametersJsonSchema"] = tool.parameters
    return declaration


def _calling(conversation: Conversation) -> dict[str, Any]:
    """``strict`` is a mode here: VALIDATED holds calls to their schemas, as ANY does."""
    choice = conversation.tool_choice
    mode = choice.mode if choice is not None else "auto"
    if mode == "none":
        return {"mode": "NONE"}
    if mode == "required":
        return {"mode": "ANY"}
    if choice is not None and mode == "named":
        return {"mode": "ANY", "allowedFunctionNames": [choice.name]}
    return {"mode": "VALIDATED" if any(tool.strict for tool in conversation.tools) else "AUTO"}


def _generation(conversation: Conversation, model: str) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for field, name in (
        ("max_tokens", "maxOutputTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("top_k", "topK"),
        ("seed", "seed"),
        ("frequency_penalty", "frequencyPenalty"),
        ("presence_penalty", "presencePenalty"),
    ):
        value = getattr(conversation, field)
        if value is not None:
            config[name] = value
    if conversation.stop:
        config["stopSequences"] = list(conversation.stop)
    if conversation.format is not None:
        config["responseMimeType"] = "application/json"
        if conversation.format.schema is not None:
            config["responseJsonSchema"] = conversation.format.schema
    thinking = _thinking(conversation, model)
    if thinking is not None:
        config["thinkingConfig"] = thinking
    resolution = _resolution(conversation)
    if resolution is not None:
        config["mediaResolution"] = resolution
    return config


def _thinking(conversation: Conversation, model: str) -> dict[str, Any] | None:
    """Thoughts are shown wherever the client says something of thinking, and not where it wants none."""
    effort, budget = conversation.effort, conversation.thinking_budget
    if budget is not None:
        if effort is not None:
            raise conversation.refuse("effort", "gemini (one of effort and thinking budget at a time)")
        return {"thinkingBudget": budget, "includeThoughts": budget != 0}
    if effort is None:
        return None
    if effort not in _BUDGETS:
        raise conversation.refuse("effort", f"gemini (no effort {effort!r}; there are {', '.join(_BUDGETS)})")
    if effort == "none" or _generation_of(model) < 3:
        return {"thinkingBudget": _BUDGETS[effort], "includeThoughts": effort != "none"}
    level = "low" if effort == "minimal" and "pro" in model else effort
    return {"thinkingLevel": level, "includeThoughts": True}


def _generation_of(model: str) -> int:
    """The number behind ``gemini-``; the newest known for names that do not say."""
    match = re.search(r"gemini-(\d+)", model)
    return int(match[1]) if match else 3


def _resolution(conversation: Conversation) -> str | None:
    """``detail`` is one for the whole request here."""
    images = [part for message in conversation.messages for part in message.parts if isinstance(part, ImagePart)]
    details = {image.detail for image in images if image.detail not in (None, "auto")}
    if not details:
        return None
    (detail, *more) = details
    if more or detail not in _RESOLUTIONS or any(image.detail != detail for image in images):
        raise conversation.refuse("messages", "gemini (one detail, low or high, for all images of a request)")
    return _RESOLUTIONS[detail]


class _Contents:
    """The turns of a conversation."""

    def __init__(self, conversation: Conversation, model: str):
        self._conversation = conversation
        self._needs_signatures = _generation_of(model) >= 3 and "gemini" in model
        self._names: dict[str, str] = {}

    def written(self) -> list[dict[str, Any]]:
        """``contents``."""
        contents: list[dict[str, Any]] = []
        for message in self._conversation.messages:
            if message.role == "assistant":
                turns = [("model", self._model_parts(message))]
            else:
                # Results are a turn of their own: there are as many of them as there were calls.
                results = [self._result(part) for part in message.parts if isinstance(part, ToolResultPart)]
                turns = [("user", results), ("user", self._user_parts(message))]
            contents += [{"role": role, "parts": parts} for role, parts in turns if parts]
        return contents

    def _user_parts(self, message: Message) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for part in message.parts:
            if isinstance(part, TextPart) and part.text:
                parts.append({"text": part.text})
            elif isinstance(part, ImagePart):
                parts.append(self._image(part))
        return parts or [{"text": ""} for part in message.parts[:1] if isinstance(part, TextPart)]

    def _model_parts(self, message: Message) -> list[dict[str, Any]]:
        """A signature stands on the part that it came with: on a call, else on the text behind the thought. Withheld
        reasoning of other providers stays behind, for only they can read it."""
        parts: list[dict[str, Any]] = []
        seal: str | None = None
        for part in message.parts:
            written: dict[str, Any]
            if isinstance(part, ThinkingPart):
                if part.redacted:
                    continue
                if part.text:
                    parts.append({"text": part.text, "thought": True})
                seal = part.signature or seal
                continue
            if isinstance(part, TextPart) and part.text:
                written = {"text": part.text}
            elif isinstance(part, ToolCallPart):
                written = self._call(part)
            elif isinstance(part, ImagePart):
                written = self._image(part)
            else:
                continue
            if seal is not None and "thoughtSignature" not in written:
                written["thoughtSignature"], seal = seal, None
            parts.append(written)
        if seal is not None:
            parts.append({"text": "", "thoughtSignature": seal})
        calls = [part for part in parts if "functionCall" in part]
        if calls and self._needs_signatures:
            calls[0].setdefault("thoughtSignature", NO_SIGNATURE)
        return parts

    def _call(self, part: ToolCallPart) -> dict[str, Any]:
        self._names[part.id] = part.name
        try:
            arguments = json.loads(part.arguments.encode("utf-8", "surrogatepass")) if part.arguments else {}
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise BadRequest(f"messages: the arguments of the call {part.id!r} are no JSON object", param="messages")
        written: dict[str, Any] = {"functionCall": {"id": part.id, "name": part.name, "args": arguments}}
        if part.signature:
            written["thoughtSignature"] = part.signature
        return written

    def _result(self, part: ToolResultPart) -> dict[str, Any]:
        name = part.name or self._names.get(part.call)
        if name is None:
            message = f"messages: there is a result for {part.call!r}, but no call of that id before it"
            raise BadRequest(message, param="messages")
        text = "".join(piece.text for piece in part.parts if isinstance(piece, TextPart))
        response = {"error": text} if part.is_error else {"output": _output(text)}
        result: dict[str, Any] = {"id": part.call, "name": name, "response": response}
        images = [piece for piece in part.parts if isinstance(piece, ImagePart)]
        if any(image.data is None for image in images):
            raise self._conversation.refuse("messages", "gemini (images in tool results as data only, not by URL)")
        if images:
            result["parts"] = [self._image(image) for image in images]
        return {"functionResponse": result}

    def _image(self, image: ImagePart) -> dict[str, Any]:
        """Inline data; by address what Gemini fetches itself: https (public or signed) and files at Google."""
        if image.data is not None:
            return {"inlineData": {"mimeType": image.media_type or "image/jpeg", "data": image.data}}
        url = image.url or ""
        if not url.startswith(("https://", "gs://")):
            raise self._conversation.refuse("messages", "gemini (images as data, or by an https:// or gs:// address)")
        kind = _IMAGE_TYPES.get(urlsplit(url).path.rpartition(".")[2].lower())
        return {"fileData": {"fileUri": url, "mimeType": kind} if kind else {"fileUri": url}}


def _output(text: str) -> Any:
    """What a tool gave: JSON objects and lists as such, anything else as text."""
    if text[:1] in ("{", "["):
        try:
            return json.loads(text.encode("utf-8", "surrogatepass"))
        except ValueError:
            return text
    return text
