"""Bedrock's ConverseStream, as its provider speaks it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec

from penstock.framing import eventstream
from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
CONTENT_TYPE = "application/vnd.amazon.eventstream"
SIGNATURE = "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="
"""What closes a block of reasoning."""
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}
_ERRORS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


class BedrockConverse:
    """``POST /model/{modelId}/converse-stream`` and ``…/converse``."""

    name = "bedrock-converse"
    content_type = CONTENT_TYPE
    example_path = "/model/sim/converse-stream"

    def matches(self, path: str) -> bool:
        return model_in(path, "converse-stream", "converse") is not None

    def read(self, path: str, body: dict[str, Any]) -> Call:
        messages, tools = body.get("messages"), body.get("toolConfig")
        if not isinstance(messages, list) or not messages:
            raise ValueError("messages: A conversation must have at least one message")
        offered = tools.get("tools") if isinstance(tools, dict) else None
        specs = (
            [tool.get("toolSpec") for tool in offered if isinstance(tool, dict)] if isinstance(offered, list) else []
        )
        names = [spec.get("name") for spec in specs if isinstance(spec, dict)]
        return Call(
            model=model_in(path, "converse-stream", "converse") or "",
            stream=path.partition("?")[0].endswith("-stream"),
            include_usage=True,
            tools=tuple(name for name in names if isinstance(name, str)),
            prompt_tokens=prompt_tokens([body.get("system"), messages]),
        )

    def example(self, model: str) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}

    def voice(self, plan: Plan) -> Voice:
        return ConverseVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        return aws_error(message, status)


def model_in(path: str, *operations: str) -> str | None:
    """The model of ``/model/{modelId}/{operation}``, or None for another path."""
    parts = path.partition("?")[0].split("/")
    if len(parts) != 4 or parts[:2] != ["", "model"] or parts[3] not in operations:
        return None
    return unquote(parts[2])


def aws_error(message: str, status: int) -> bytes:
    """The body of an HTTP error."""
    name = _ERRORS.get(status, "ValidationException" if status < 500 else "InternalServerException")
    return _encode({"message": message, "__type": name})


def frame(name: str, body: bytes) -> bytes:
    """One event."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return eventstream.encode(headers, body)


def exception() -> bytes:
    """An error inside the stream."""
    headers = {
        ":exception-type": "internalServerException",
        ":content-type": "application/json",
        ":message-type": "exception",
    }
    return eventstream.encode(headers, _encode({"message": "The simulated provider had an error"}))


class ConverseVoice:
    """Frames in AWS's framing. There is one answer: what is asked of other choices is not said."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._index = -1
        self._open = ""
        self._texts: dict[tuple[int, str], bytes] = {}

    def role(self, choice: int) -> bytes:
        return b"" if choice else self._frame("messageStart", {"role": "assistant"})

    def text(self, choice: int, token: str) -> bytes:
        if choice:
            return b""
        opening = self._in("text")
        known = self._texts.get((self._index, token))
        if known is None:
            known = self._texts[self._index, token] = self._delta({"text": token})
        return opening + known

    def reasoning(self, choice: int, token: str) -> bytes:
        if choice:
            return b""
        return self._in("reasoning") + self._delta({"reasoningContent": {"text": token}})

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        if choice:
            return b""
        opening = self._in(f"tool {index}")
        if not fragment:
            tool = self._plan.tools[index]
            start = {"toolUse": {"toolUseId": tool.ident, "name": tool.name}}
            return opening + self._frame("contentBlockStart", {"contentBlockIndex": self._index, "start": start})
        return opening + self._delta({"toolUse": {"input": fragment}})

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        if choice:
            return b""
        return self._close() + self._frame("messageStop", {"stopReason": _REASONS.get(reason, reason)})

    def usage(self, usage: Usage) -> bytes:
        return self._metadata(usage)

    def end(self) -> bytes:
        """The metadata are the last frame, also where they are to say nothing of usage."""
        return self._metadata(None) if self._plan.options.usage == "no" else b""

    def error(self) -> bytes:
        return exception()

    def malformed(self) -> bytes:
        return frame("contentBlockDelta", b"{bad")

    def ping(self) -> bytes:
        return b""

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        plan = self._plan
        content: list[dict[str, Any]] = []
        if plan.reasoning_count:
            thought = {"text": "".join(plan.reasoning()), "signature": SIGNATURE}
            content.append({"reasoningContent": {"reasoningText": thought}})
        if plan.text_count:
            content.append({"text": "".join(plan.text())})
        for tool in plan.tools:
            value = msgspec.json.decode("".join(tool.fragments))
            content.append({"toolUse": {"toolUseId": tool.ident, "name": tool.name, "input": value}})
        answer: dict[str, Any] = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": None if reason is None else _REASONS.get(reason, reason),
            "metrics": {"latencyMs": 1},
        }
        if usage is not None:
            answer["usage"] = _usage(usage)
        return _encode(answer)

    def _in(self, channel: str) -> bytes:
        """What goes before a delta of ``channel``: nothing where its block is open."""
        if channel == self._open:
            return b""
        closing = self._close()
        self._open = channel
        self._index += 1
        return closing

    def _close(self) -> bytes:
        if not self._open:
            return b""
        seal = self._delta({"reasoningContent": {"signature": SIGNATURE}}) if self._open == "reasoning" else b""
        self._open = ""
        return seal + self._frame("contentBlockStop", {"contentBlockIndex": self._index})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._frame("contentBlockDelta", {"contentBlockIndex": self._index, "delta": delta})

    def _metadata(self, usage: Usage | None) -> bytes:
        body: dict[str, Any] = {"metrics": {"latencyMs": 1}}
        return self._frame("metadata", body if usage is None else {"usage": _usage(usage), **body})

    def _frame(self, name: str, body: dict[str, Any]) -> bytes:
        bare = frame(name, _encode(body))
        fill = self._plan.options.pad - len(bare) - len(',"p":""')
        if fill <= 0:
            return bare
        return frame(name, _encode({**body, "p": (_LETTERS * (fill // len(_LETTERS) + 1))[:fill]}))


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "inputTokens": usage.input,
        "outputTokens": usage.output,
        "totalTokens": usage.input + usage.output,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
    }
