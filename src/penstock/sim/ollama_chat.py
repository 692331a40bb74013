"""The Ollama wire, as its provider speaks it: lines of JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sim.openai_chat import tool_names
from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
_CREATED = "2026-01-01T00:00:00.000000Z"


class OllamaChat:
    """``POST /api/chat``. ``stream`` is true unless it is said to be false."""

    name = "ollama-chat"
    content_type = "application/x-ndjson"
    example_path = "/api/chat"

    def matches(self, path: str) -> bool:
        return path == "/api/chat"

    def read(self, path: str, body: dict[str, Any]) -> Call:
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise ValueError("model is required")
        return Call(
            model=model,
            stream=body.get("stream") is not False,
            include_usage=True,
            tools=tuple(tool_names(body.get("tools"))),
            prompt_tokens=prompt_tokens(body.get("messages")),
        )

    def example(self, model: str) -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}

    def voice(self, plan: Plan) -> Voice:
        return OllamaVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        return _encode({"error": message})


class OllamaVoice:
    """Lines. There is one answer: what is asked of other choices is not said. The wire has no keep-alive, and a lone CR
    ends no line of it."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._eol = b"\r\n" if plan.options.crlf else b"\n"
        self._pad = plan.options.pad
        self._reason: str | None = None
        self._usage: Usage | None = None
        self._fragments = 0

    def role(self, choice: int) -> bytes:
        return b""

    def text(self, choice: int, token: str) -> bytes:
        return self._delta(choice, {"content": token})

    def reasoning(self, choice: int, token: str) -> bytes:
        return self._delta(choice, {"content": "", "thinking": token})

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        """A call goes out whole, in the place of its last fragment."""
        tool = self._plan.tools[index]
        if choice:
            return b""
        self._fragments = self._fragments + 1 if fragment else 0
        if self._fragments < len(tool.fragments):
            return b""
        arguments = msgspec.Raw("".join(tool.fragments).encode())
        function = {"index": index, "name": tool.name, "arguments": arguments}
        return self._delta(choice, {"content": "", "tool_calls": [{"id": tool.ident, "function": function}]})

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        self._reason = {"tool_calls": "stop"}.get(reason, reason)
        self._usage = usage or self._usage
        return b""

    def usage(self, usage: Usage) -> bytes:
        self._usage = usage
        return b""

    def end(self) -> bytes:
        return self._line({"message": {"role": "assistant", "content": ""}, **self._last()})

    def error(self) -> bytes:
        return _encode({"error": "The simulated provider had an error"}) + self._eol

    def malformed(self) -> bytes:
        return b"{bad" + self._eol

    def ping(self) -> bytes:
        return b""

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        plan = self._plan
        self.finish(0, reason or "stop", usage)
        message: dict[str, Any] = {"role": "assistant", "content": "".join(plan.text())}
        if plan.reasoning_count:
            message["thinking"] = "".join(plan.reasoning())
        if plan.tools:
            message["tool_calls"] = [
                {"id": tool.ident, "function": {"name": tool.name, "arguments": msgspec.Raw(arguments)}}
                for tool in plan.tools
                if (arguments := "".join(tool.fragments).encode())
            ]
        return _encode({"model": plan.call.model, "created_at": _CREATED, "message": message, **self._last()})

    def _last(self) -> dict[str, Any]:
        fields: dict[str, Any] = {"done": True}
        if self._reason is not None:
            fields["done_reason"] = self._reason
        fields |= {"total_duration": 5_000_000, "load_duration": 1_000_000}
        if self._usage is not None:
            fields |= {"prompt_eval_count": self._usage.input, "prompt_eval_duration": 1_000_000}
            fields |= {"eval_count": self._usage.output, "eval_duration": 3_000_000}
        return fields

    def _delta(self, choice: int, fields: dict[str, Any]) -> bytes:
        if choice:
            return b""
        return self._line({"message": {"role": "assistant", **fields}, "done": False})

    def _line(self, fields: dict[str, Any]) -> bytes:
        line = _encode({"model": self._plan.call.model, "created_at": _CREATED, **fields})
        fill = self._pad - len(line) - len(self._eol) - len(b',"pad":""')
        if fill > 0:
            line = line[:-1] + b',"pad":"' + b"x" * fill + b'"}'
        return line + self._eol
