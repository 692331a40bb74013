"""The Cohere wire, v1, as its provider speaks it: lines of JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
_REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "COMPLETE"}


class CohereV1:
    """``POST /v1/chat``."""

    name = "cohere-v1"
    content_type = "application/stream+json"
    example_path = "/v1/chat"

    def matches(self, path: str) -> bool:
        return path == "/v1/chat"

    def read(self, path: str, body: dict[str, Any]) -> Call:
        if not isinstance(body.get("message"), str):
            raise ValueError("invalid request: message must be a string")
        tools = [tool.get("name") for tool in body.get("tools") or () if isinstance(tool, dict)]
        return Call(
            model=body.get("model") or "sim",
            stream=body.get("stream") is True,
            include_usage=True,
            tools=tuple(name for name in tools if isinstance(name, str)),
            prompt_tokens=prompt_tokens([body.get("preamble"), body.get("chat_history"), body["message"]]),
        )

    def example(self, model: str) -> dict[str, Any]:
        return {"model": model, "stream": True, "message": "Hello"}

    def voice(self, plan: Plan) -> Voice:
        return CohereV1Voice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        return _encode({"message": message})


class CohereV1Voice:
    """Lines. There is one answer: what is asked of other choices is not said. The wire has no keep-alive, and a lone CR
    ends no line of it; a plan stands for reasoning."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._eol = b"\r\n" if plan.options.crlf else b"\n"
        self._ident = f"sim-{plan.serial:08d}"
        self._reason: str | None = None
        self._usage: Usage | None = None

    def role(self, choice: int) -> bytes:
        return b"" if choice else self._line("stream-start", generation_id=self._ident)

    def text(self, choice: int, token: str) -> bytes:
        return b"" if choice else self._line("text-generation", text=token)

    def reasoning(self, choice: int, token: str) -> bytes:
        return b"" if choice else self._line("tool-calls-chunk", text=token)

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        if choice:
            return b""
        said = {"parameters": fragment} if fragment else {"name": self._plan.tools[index].name}
        return self._line("tool-calls-chunk", tool_call_delta={"index": index, **said})

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        if choice:
            return b""
        self._reason = reason
        self._usage = usage or self._usage
        return self._line("tool-calls-generation", tool_calls=self._calls()) if self._plan.tools else b""

    def usage(self, usage: Usage) -> bytes:
        self._usage = usage
        return b""

    def end(self) -> bytes:
        if self._reason is None:
            return b""
        reason = _REASONS.get(self._reason, self._reason)
        return self._line("stream-end", finished=True, finish_reason=reason, response=self._response())

    def error(self) -> bytes:
        return self._line("stream-end", finished=True, finish_reason="ERROR", response={})

    def malformed(self) -> bytes:
        return b"{bad" + self._eol

    def ping(self) -> bytes:
        return b""

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        self._reason, self._usage = reason or "stop", usage
        return _encode(self._response())

    def _calls(self) -> list[dict[str, Any]]:
        return [
            {"name": tool.name, "parameters": msgspec.Raw("".join(tool.fragments).encode())}
            for tool in self._plan.tools
        ]

    def _response(self) -> dict[str, Any]:
        reason = _REASONS.get(self._reason or "stop", self._reason)
        response = {"generation_id": self._ident, "text": "".join(self._plan.text()), "finish_reason": reason}
        more: dict[str, Any] = {"tool_calls": self._calls()} if self._plan.tools else {}
        if self._usage is not None:
            tokens = {"input_tokens": self._usage.input, "output_tokens": self._usage.output}
            more["meta"] = {"api_version": {"version": "1"}, "billed_units": tokens, "tokens": tokens}
        return response | more

    def _line(self, kind: str, *, finished: bool = False, **fields: Any) -> bytes:
        line = _encode({"is_finished": finished, "event_type": kind, **fields})
        fill = self._plan.options.pad - len(line) - len(self._eol) - len(b',"pad":""')
        if fill > 0:
            line = line[:-1] + b',"pad":"' + b"x" * fill + b'"}'
        return line + self._eol
