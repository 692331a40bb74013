"""The wire of Hugging Face's text-generation-inference, as its server speaks it: plain text, token by token."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
_REASONS = {"stop": "eos_token", "tool_calls": "eos_token"}


class TGI:
    """``POST /generate_stream`` and ``/generate``."""

    name = "tgi"
    content_type = "text/event-stream"
    example_path = "/generate_stream"

    def matches(self, path: str) -> bool:
        return path in ("/generate_stream", "/generate")

    def read(self, path: str, body: dict[str, Any]) -> Call:
        if not isinstance(body.get("inputs"), str):
            raise ValueError("Failed to deserialize the JSON body into the target type: missing field `inputs`")
        parameters = body.get("parameters")
        return Call(
            model=body.get("model") or "sim",
            stream=path.partition("?")[0] == "/generate_stream",
            include_usage=isinstance(parameters, dict) and parameters.get("details") is True,
            prompt_tokens=prompt_tokens(body["inputs"]),
        )

    def example(self, model: str) -> dict[str, Any]:
        return {"model": model, "inputs": "Hello", "parameters": {"details": True}}

    def voice(self, plan: Plan) -> Voice:
        return TGIVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        kind = {429: "overloaded", 422: "validation", 400: "validation"}.get(status, "generation")
        return _encode({"error": message, "error_type": kind})


class TGIVoice:
    """Data-only SSE frames. Text is all there is: reasoning is text too, and of tools nothing is said."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._eol = b"\r\n" if plan.options.crlf else b"\r" if plan.options.cr else b"\n"
        self._index = 0
        self._said: list[str] = []
        self._reason: str | None = None
        self._usage: Usage | None = None

    def role(self, choice: int) -> bytes:
        return b""

    def text(self, choice: int, token: str) -> bytes:
        if choice:
            return b""
        self._said.append(token)
        return self._event(token, special=False)

    def reasoning(self, choice: int, token: str) -> bytes:
        return self.text(choice, token)

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        return b""

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        self._reason = reason
        self._usage = usage or self._usage
        return b""

    def usage(self, usage: Usage) -> bytes:
        self._usage = usage
        return b""

    def end(self) -> bytes:
        if self._reason is None:
            return b""
        return self._event("</s>", special=True, text="".join(self._said), details=self._details())

    def error(self) -> bytes:
        error = _encode({"error": "The simulated provider had an error", "error_type": "generation"})
        return b"data: " + error + self._eol * 2

    def malformed(self) -> bytes:
        return b"data: {bad" + self._eol * 2

    def ping(self) -> bytes:
        return b": ping" + self._eol * 2

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        self._reason, self._usage = reason or "stop", usage
        text = "".join(self._plan.reasoning()) + "".join(self._plan.text())
        return _encode({"generated_text": text, "details": self._details()})

    def _details(self) -> dict[str, Any] | None:
        if self._usage is None:
            return None
        reason = _REASONS.get(self._reason or "stop", self._reason)
        counts = {"generated_tokens": self._usage.output, "input_length": self._usage.input}
        return {"finish_reason": reason, "seed": None, **counts}

    def _event(self, token: str, *, special: bool, text: str | None = None, details: Any = None) -> bytes:
        self._index += 1
        said = {"id": self._index, "text": token, "logprob": -0.1, "special": special}
        event = {"index": self._index, "token": said, "generated_text": text, "details": details}
        body = b"data: " + _encode(event)
        fill = self._plan.options.pad - len(body) - 2 * len(self._eol) - len(b',"pad":""')
        if fill > 0:
            body = body[:-1] + b',"pad":"' + b"x" * fill + b'"}'
        return body + self._eol * 2
