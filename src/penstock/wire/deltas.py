"""Which frames of a client wire are a delta of one text and say nothing else, and what the field of that text is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from penstock.wire.edit_splice import only

_CHUNK = frozenset(
    {"id", "object", "created", "model", "choices", "system_fingerprint", "service_tier", "provider", "obfuscation"}
)
_CHOICE = frozenset({"index", "delta"})
_CHAT_TEXTS = frozenset({"content", "reasoning_content", "reasoning", "refusal"})
_CALL = frozenset({"index", "function"})
_RESPONSES = frozenset(
    f"response.{name}.delta"
    for name in (
        "output_text", "refusal", "reasoning_text", "reasoning_summary_text", "function_call_arguments",
        "mcp_call_arguments", "custom_tool_call_input", "code_interpreter_call_code", "audio.transcript",
    )
)  # fmt: skip
_RESPONSES_DELTA = frozenset(
    {"type", "item_id", "output_index", "content_index", "summary_index", "delta", "sequence_number", "obfuscation"}
)
_MESSAGES = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_EVENT = frozenset({"type", "index", "delta"})
_CANDIDATES = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime"})
_LINE = frozenset({"model", "created_at", "message", "done"})

Find = Callable[[dict[str, Any]], "str | None"]


def _chat(body: dict[str, Any]) -> str | None:
    choice = _one(body.get("choices"))
    if not only(body, _CHUNK) or choice is None or not only(choice, _CHOICE):
        return None
    delta = choice.get("delta")
    name = _said(delta)
    if not isinstance(delta, dict) or name is None or name in _CHAT_TEXTS:
        return name
    call = _one(delta["tool_calls"]) if name == "tool_calls" else None
    return "arguments" if call is not None and only(call, _CALL) and _alone(call, "function", "arguments") else None


def _responses(body: dict[str, Any]) -> str | None:
    said = {name: value for name, value in body.items() if name != "logprobs" or value}
    return "delta" if body.get("type") in _RESPONSES and only(said, _RESPONSES_DELTA) else None


def _messages(body: dict[str, Any]) -> str | None:
    delta = body.get("delta")
    if body.get("type") != "content_block_delta" or not only(body, _EVENT) or not isinstance(delta, dict):
        return None
    field = _MESSAGES.get(str(delta.get("type")))
    return field if field is not None and only(delta, frozenset({"type", field})) else None


def _cohere(body: dict[str, Any]) -> str | None:
    delta = body.get("delta")
    if not only(body, _EVENT) or not _alone(body, "delta", "message") or not isinstance(delta, dict):
        return None
    kind, message = body.get("type"), delta["message"]
    if kind == "tool-plan-delta" and _alone(delta, "message", "tool_plan"):
        return "tool_plan"
    if kind == "tool-call-delta" and _alone(delta, "message", "tool_calls"):
        calls = message["tool_calls"]
        deep = _alone(message, "tool_calls", "function") and _alone(calls, "function", "arguments")
        return "arguments" if deep else None
    if kind != "content-delta" or not _alone(delta, "message", "content"):
        return None
    return next((name for name in ("text", "thinking") if _alone(message, "content", name)), None)


def _gemini(body: dict[str, Any]) -> str | None:
    candidate = _one(body.get("candidates"))
    if not only(body, _CANDIDATES) or candidate is None or not only(candidate, frozenset({"content", "index"})):
        return None
    content = candidate.get("content")
    part = _one(content.get("parts")) if isinstance(content, dict) else None
    plain = only(content, frozenset({"parts", "role"})) if isinstance(content, dict) else False
    return "text" if plain and part is not None and only(part, frozenset({"text", "thought"})) else None


def _ollama(body: dict[str, Any]) -> str | None:
    message = body.get("message")
    if body.get("done") or not only(body, _LINE) or not isinstance(message, dict):
        return None
    name = _said(message)
    return name if name in ("content", "thinking") else None


def _said(delta: Any) -> str | None:
    """The name of the only field beside the role that says anything."""
    said = [str(name) for name, value in delta.items() if value and name != "role"] if isinstance(delta, dict) else []
    return said[0] if len(said) == 1 else None


def _one(value: Any) -> dict[str, Any] | None:
    """The only object of a list."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else None


def _alone(holder: Any, key: str, field: str) -> bool:
    """Whether ``holder[key]`` is an object with nothing but ``field``."""
    inner = holder.get(key) if isinstance(holder, dict) else None
    return isinstance(inner, dict) and inner.get(field) is not None and only(inner, frozenset({field}))


FIELDS: dict[str, Find] = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic-messages": _messages,
    "cohere-chat": _cohere,
    "gemini": _gemini,
    "ollama-chat": _ollama,
}
"""By client wire: the field of the text that a frame's object is a delta of; None where it says anything else too."""
