"""The Cohere wire, v2, as its provider speaks it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sim.openai_chat import tool_names
from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
_REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "stop_sequence": "STOP_SEQUENCE"}
TEMPLATE = 60
"""Tokens that Cohere adds to a prompt and does not bill."""


class CohereChat:
    """``POST /v2/chat``."""

    name = "cohere-chat"
    content_type = "text/event-stream"
    example_path = "/v2/chat"

    def matches(self, path: str) -> bool:
        return path == "/v2/chat"

    def read(self, path: str, body: dict[str, Any]) -> Call:
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise ValueError("invalid request: model is required")
        return Call(
            model=model,
            stream=body.get("stream") is True,
            include_usage=True,
            tools=tuple(tool_names(body.get("tools"))),
            prompt_tokens=prompt_tokens(body.get("messages")),
        )

    def example(self, model: str) -> dict[str, Any]:
        return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}

    def voice(self, plan: Plan) -> Voice:
        return CohereVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        return _encode({"id": "sim", "message": message})


class CohereVoice:
    """Named SSE frames. There is one answer: what is asked of other choices is not said."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._eol = b"\r\n" if plan.options.crlf else b"\r" if plan.options.cr else b"\n"
        self._ident = f"sim-{plan.serial:08d}"
        self._index = -1
        self._kind = ""
        """Of the content that is open."""
        self._call: int | None = None
        self._reason: str | None = None
        self._usage: Usage | None = None

    def role(self, choice: int) -> bytes:
        if choice:
            return b""
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        return self._frame("message-start", id=self._ident, delta={"message": message})

    def text(self, choice: int, token: str) -> bytes:
        return b"" if choice else self._content("text", token)

    def reasoning(self, choice: int, token: str) -> bytes:
        return b"" if choice else self._content("thinking", token)

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        if choice:
            return b""
        if fragment:
            call = {"function": {"arguments": fragment}}
            return self._frame("tool-call-delta", index=index, delta={"message": {"tool_calls": call}})
        closing = self._close()
        self._call = index
        tool = self._plan.tools[index]
        started = {"id": tool.ident, "type": "function", "function": {"name": tool.name, "arguments": ""}}
        return closing + self._frame("tool-call-start", index=index, delta={"message": {"tool_calls": started}})

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        if choice:
            return b""
        self._reason = reason
        self._usage = usage or self._usage
        return self._close()

    def usage(self, usage: Usage) -> bytes:
        self._usage = usage
        return b""

    def end(self) -> bytes:
        done = b"data: [DONE]" + self._eol * 2
        if self._reason is None:
            return done
        return self._frame("message-end", id=self._ident, delta=self._last()) + done

    def error(self) -> bytes:
        error = {"finish_reason": "ERROR", "error": "The simulated provider had an error", "usage": {}}
        return self._frame("message-end", delta=error)

    def malformed(self) -> bytes:
        return b"event: content-delta" + self._eol + b"data: {bad" + self._eol * 2

    def ping(self) -> bytes:
        return b": ping" + self._eol * 2

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        plan = self._plan
        self._reason, self._usage = reason or "stop", usage
        contents = [("thinking", "".join(plan.reasoning())), ("text", "".join(plan.text()))]
        message: dict[str, Any] = {"role": "assistant"}
        content = [{"type": kind, kind: words} for kind, words in contents if words]
        if content:
            message["content"] = content
        if plan.tools:
            message["tool_calls"] = [
                {
                    "id": tool.ident,
                    "type": "function",
                    "function": {"name": tool.name, "arguments": "".join(tool.fragments)},
                }
                for tool in plan.tools
            ]
        return _encode({"id": self._ident, "message": message, **self._last()})

    def _last(self) -> dict[str, Any]:
        last: dict[str, Any] = {"finish_reason": _REASONS.get(self._reason or "stop", self._reason)}
        if self._usage is not None:
            prompt, output = self._usage.input, self._usage.output
            tokens = {"input_tokens": prompt, "output_tokens": output}
            if self._usage.reasoning:
                tokens["reasoning_tokens"] = self._usage.reasoning
            billed = {"input_tokens": max(0, prompt - TEMPLATE), "output_tokens": output}
            last["usage"] = {"billed_units": billed, "tokens": tokens, "cached_tokens": 0}
        return last

    def _content(self, kind: str, token: str) -> bytes:
        opening = b""
        if self._kind != kind:
            opening = self._close()
            self._index += 1
            self._kind = kind
            start = {"message": {"content": {"type": kind, kind: ""}}}
            opening += self._frame("content-start", index=self._index, delta=start)
        return opening + self._frame("content-delta", index=self._index, delta={"message": {"content": {kind: token}}})

    def _close(self) -> bytes:
        closing = b""
        if self._kind:
            closing, self._kind = self._frame("content-end", index=self._index), ""
        if self._call is not None:
            closing += self._frame("tool-call-end", index=self._call)
            self._call = None
        return closing

    def _frame(self, kind: str, **fields: Any) -> bytes:
        body = _encode({"type": kind, **fields})
        name = b"event: " + kind.encode() + self._eol
        # The provider does not pad: one chunk is longer than another by its text.
        fill = self._plan.options.pad - len(name) - len(b'data: ,"pad":""') - 2 * len(self._eol) - 100
        if fill > 0:
            body = body[:-1] + b',"pad":"' + b"x" * fill + b'"}'
        return name + b"data: " + body + self._eol * 2
