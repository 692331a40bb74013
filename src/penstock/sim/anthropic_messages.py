"""The Anthropic messages wire, as its provider speaks it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
SIGNATURE = "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="
"""What closes a block of reasoning."""


class AnthropicMessages:
    """``POST /v1/messages``."""

    name = "anthropic-messages"
    content_type = "text/event-stream; charset=utf-8"
    example_path = "/v1/messages"

    def matches(self, path: str) -> bool:
        return path == "/v1/messages"

    def read(self, path: str, body: dict[str, Any]) -> Call:
        model, limit = body.get("model"), body.get("max_tokens")
        if not isinstance(model, str):
            raise ValueError("model: Input should be a valid string")
        if not isinstance(limit, int) or limit < 1:
            raise ValueError("max_tokens: Field required")
        tools = body.get("tools")
        names = [tool.get("name") for tool in tools if isinstance(tool, dict)] if isinstance(tools, list) else []
        return Call(
            model=model,
            stream=body.get("stream") is True,
            include_usage=True,
            tools=tuple(name for name in names if isinstance(name, str)),
            prompt_tokens=prompt_tokens([body.get("system"), body.get("messages")]),
        )

    def example(self, model: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": "Hello"}]
        return {"model": model, "max_tokens": 1024, "stream": True, "messages": messages}

    def voice(self, plan: Plan) -> Voice:
        return MessagesVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        return _encode(_error(message, status))


class MessagesVoice:
    """Named SSE frames. There is one answer: what is asked of other choices is not said."""

    def __init__(self, plan: Plan):
        self._plan = plan
        options = plan.options
        self._ident = f"msg_sim{plan.serial:08d}"
        self._eol = b"\r\n" if options.crlf else b"\r" if options.cr else b"\n"
        self._index = -1
        self._open = ""
        self._reason: str | None = None
        # One message_delta has the reason and the usage: the reason waits for it, unless none comes or it comes late.
        self._waits = options.usage in ("asked", "always") and options.late_usage is None
        self._texts: dict[tuple[int, str], bytes] = {}

    def role(self, choice: int) -> bytes:
        if choice:
            return b""
        message: dict[str, Any] = {
            "id": self._ident,
            "type": "message",
            "role": "assistant",
            "model": self._plan.call.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        if self._plan.options.usage != "no":
            tokens = self._plan.call.prompt_tokens
            message["usage"] = {
                "input_tokens": tokens,
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "output_tokens": 1,
            }
        return self._frame("message_start", message=message)

    def text(self, choice: int, token: str) -> bytes:
        if choice:
            return b""
        opening = self._in("text", {"type": "text", "text": ""})
        frame = self._texts.get((self._index, token))
        if frame is None:
            frame = self._delta({"type": "text_delta", "text": token})
            self._texts[self._index, token] = frame
        return opening + frame

    def reasoning(self, choice: int, token: str) -> bytes:
        if choice:
            return b""
        opening = self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        return opening + self._delta({"type": "thinking_delta", "thinking": token})

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        if choice:
            return b""
        tool = self._plan.tools[index]
        opening = self._in(f"tool {index}", {"type": "tool_use", "id": tool.ident, "name": tool.name, "input": {}})
        return opening + self._delta({"type": "input_json_delta", "partial_json": fragment})

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        if choice:
            return b""
        self._reason = _REASONS.get(reason, reason)
        if self._waits:
            return self._close()
        return self._close() + self._finished(usage)

    def usage(self, usage: Usage) -> bytes:
        return self._finished(usage)

    def end(self) -> bytes:
        return self._frame("message_stop")

    def error(self) -> bytes:
        error = _error("The simulated provider had an error", 500)
        return self._frame("error", **{name: value for name, value in error.items() if name != "type"})

    def malformed(self) -> bytes:
        return b"event: content_block_delta" + self._eol + b"data: {bad" + self._eol * 2

    def ping(self) -> bytes:
        return b"event: ping" + self._eol + b'data: {"type": "ping"}' + self._eol * 2

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        plan = self._plan
        content: list[dict[str, Any]] = []
        if plan.reasoning_count:
            content.append({"type": "thinking", "thinking": "".join(plan.reasoning()), "signature": SIGNATURE})
        if plan.text_count:
            content.append({"type": "text", "text": "".join(plan.text())})
        for tool in plan.tools:
            value = msgspec.json.decode("".join(tool.fragments))
            content.append({"type": "tool_use", "id": tool.ident, "name": tool.name, "input": value})
        answer: dict[str, Any] = {
            "id": self._ident,
            "type": "message",
            "role": "assistant",
            "model": plan.call.model,
            "content": content,
            "stop_reason": None if reason is None else _REASONS.get(reason, reason),
            "stop_sequence": None,
        }
        if usage is not None:
            answer["usage"] = _usage(usage)
        return _encode(answer)

    def _in(self, channel: str, block: dict[str, Any]) -> bytes:
        """What goes before a delta of ``channel``: nothing where its block is open."""
        if channel == self._open:
            return b""
        closing = self._close()
        self._open = channel
        self._index += 1
        return closing + self._frame("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        seal = self._delta({"type": "signature_delta", "signature": SIGNATURE}) if self._open == "thinking" else b""
        self._open = ""
        return seal + self._frame("content_block_stop", index=self._index)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._frame("content_block_delta", index=self._index, delta=delta)

    def _finished(self, usage: Usage | None) -> bytes:
        delta = {"stop_reason": self._reason, "stop_sequence": None}
        if usage is None:
            return self._frame("message_delta", delta=delta)
        return self._frame("message_delta", delta=delta, usage=_usage(usage))

    def _frame(self, kind: str, /, **fields: Any) -> bytes:
        data = _encode({"type": kind, **fields})
        frame = b"event: " + kind.encode() + self._eol + b"data: " + data
        # The provider pads with blanks behind the JSON.
        return frame.ljust(self._plan.options.pad - 2 * len(self._eol)) + self._eol * 2


def _usage(usage: Usage) -> dict[str, Any]:
    tokens: dict[str, Any] = {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": usage.output,
    }
    return tokens | {"output_tokens_details": {"thinking_tokens": usage.reasoning}} if usage.reasoning else tokens


def _error(message: str, status: int) -> dict[str, Any]:
    kind = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_sim"}
