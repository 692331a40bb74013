"""The Gemini wire, as its provider speaks it: server-sent events or one JSON array."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
_PATH = re.compile(r"/v1(?:beta|alpha)?/models/(.+):(streamGenerateContent|generateContent)", re.DOTALL)
_ARRAY = "application/json; charset=UTF-8"
_REASONS = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class Gemini:
    """``POST /v1beta/models/{model}:streamGenerateContent`` and ``:generateContent``."""

    name = "gemini"
    content_type = "text/event-stream"
    example_path = "/v1beta/models/sim:streamGenerateContent?alt=sse"

    def matches(self, path: str) -> bool:
        return _PATH.fullmatch(unquote(path)) is not None

    def read(self, path: str, body: dict[str, Any]) -> Call:
        path, _, query = path.partition("?")
        match = _PATH.fullmatch(unquote(path))
        if match is None:
            raise ValueError("the path must name a model and a method")
        config = body.get("generationConfig")
        n = config.get("candidateCount") if isinstance(config, dict) else None
        if n is not None and not (isinstance(n, int) and 1 <= n <= 8):
            raise ValueError("candidateCount must be a whole number from 1 to 8")
        contents = body.get("contents")
        if not isinstance(contents, list) or not contents:
            raise ValueError("contents is not specified")
        sse = parse_qs(query).get("alt") == ["sse"]
        return Call(
            model=match[1],
            stream=match[2] == "streamGenerateContent",
            n=n or 1,
            include_usage=True,
            tools=tuple(_tool_names(body.get("tools"))),
            prompt_tokens=prompt_tokens([contents, body.get("systemInstruction")]),
            content_type=None if sse else _ARRAY,
        )

    def example(self, model: str) -> dict[str, Any]:
        return {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}

    def voice(self, plan: Plan) -> Voice:
        return GeminiVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        word = _STATUS.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
        return msgspec.json.format(_encode({"error": {"code": status, "message": message, "status": word}}), indent=2)


class GeminiVoice:
    """Chunks with the usage so far on each of them, unless it is not to be had."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._array = plan.call.stream and plan.call.content_type == _ARRAY
        # Google ends its lines with CRLF, whether asked or not.
        self._blank = b"\r\r" if plan.options.cr else b"\r\n\r\n"
        self._tail = b',"modelVersion":%b,"responseId":"sim%08d"}' % (_encode(plan.call.model), plan.serial)
        self._counts = plan.options.usage in ("asked", "always") and plan.options.late_usage is None
        self._visible = self._thoughts = 0
        self._begun = False
        self._fragments = [0] * len(plan.tools) * plan.n

    def role(self, choice: int) -> bytes:
        return b""

    def text(self, choice: int, token: str) -> bytes:
        self._visible += 1
        return self._chunk(choice, b'{"text":%b}' % _encode(token))

    def reasoning(self, choice: int, token: str) -> bytes:
        self._thoughts += 1
        return self._chunk(choice, b'{"text":%b,"thought":true}' % _encode(token))

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        """Nothing until the last fragment: calls come whole. A frame without a part stands for the others, since every
        step of a script is one."""
        tool = self._plan.tools[index]
        if not fragment:
            return self._chunk(choice, b"")
        self._visible += 1
        place = index * self._plan.n + choice
        self._fragments[place] += 1
        if self._fragments[place] < len(tool.fragments):
            return self._chunk(choice, b"")
        call = {"id": tool.ident, "name": tool.name, "args": msgspec.Raw("".join(tool.fragments).encode())}
        return self._chunk(choice, b'{"functionCall":%b}' % _encode(call))

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        word = _encode(_REASONS.get(reason, reason.upper()))
        extra = b',"finishReason":' + word
        return self._chunk(choice, b'{"text":""}', extra, usage)

    def usage(self, usage: Usage) -> bytes:
        """Every chunk had it already, unless it is to come late or twice."""
        if self._counts:
            return b""
        return self._frame(b'{"usageMetadata":%b' % _encode(_usage(usage)) + self._tail)

    def end(self) -> bytes:
        if not self._array:
            return b""
        return b"\n]" if self._begun else b"[]"

    def error(self) -> bytes:
        body = {"error": {"code": 500, "message": "The simulated provider had an error", "status": "INTERNAL"}}
        frame = self._frame(_encode(body))
        return frame + b"\n]" if self._array else frame

    def malformed(self) -> bytes:
        return self._frame(b"{bad}" if self._array else b"{bad")

    def ping(self) -> bytes:
        return b"\r\n"

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        plan = self._plan
        parts: list[dict[str, Any]] = []
        if plan.reasoning_count:
            parts.append({"text": "".join(plan.reasoning()), "thought": True})
        if plan.text_count:
            parts.append({"text": "".join(plan.text())})
        for tool in plan.tools:
            arguments = msgspec.Raw("".join(tool.fragments).encode())
            parts.append({"functionCall": {"id": tool.ident, "name": tool.name, "args": arguments}})
        word = {} if reason is None else {"finishReason": _REASONS.get(reason, reason.upper())}
        answer: dict[str, Any] = {
            "candidates": [
                {"content": {"parts": parts, "role": "model"}, **word, "index": choice} for choice in range(plan.n)
            ],
        }
        if usage is not None:
            answer["usageMetadata"] = _usage(usage)
        return _encode({**answer, "modelVersion": plan.call.model, "responseId": f"sim{plan.serial:08d}"})

    def _chunk(self, choice: int, part: bytes, extra: bytes = b"", usage: Usage | None = None) -> bytes:
        counts = b""
        if usage is not None:
            counts = b',"usageMetadata":' + _encode(_usage(usage))
        elif self._counts:
            prompt, total = self._plan.call.prompt_tokens, self._visible + self._thoughts
            thoughts = b',"thoughtsTokenCount":%d' % self._thoughts if self._thoughts else b""
            counts = b',"usageMetadata":{"promptTokenCount":%d,"candidatesTokenCount":%d%b,"totalTokenCount":%d}' % (
                prompt,
                self._visible,
                thoughts,
                prompt + total,
            )
        return self._frame(
            b'{"candidates":[{"content":{"parts":[%b],"role":"model"}%b,"index":%d}]%b%b'
            % (part, extra, choice, counts, self._tail)
        )

    def _frame(self, data: bytes) -> bytes:
        if not self._array:
            return b"data: " + data + self._blank
        before, self._begun = (b",\r\n" if self._begun else b"["), True
        return before + data


def _usage(usage: Usage) -> dict[str, int]:
    said = {"promptTokenCount": usage.input, "candidatesTokenCount": usage.output - usage.reasoning}
    if usage.reasoning:
        said["thoughtsTokenCount"] = usage.reasoning
    return said | {"totalTokenCount": usage.input + usage.output}


def _tool_names(tools: Any) -> list[str]:
    found = []
    for tool in tools if isinstance(tools, list) else []:
        declared = tool.get("functionDeclarations") if isinstance(tool, dict) else None
        for function in declared if isinstance(declared, list) else []:
            name = function.get("name") if isinstance(function, dict) else None
            if isinstance(name, str):
                found.append(name)
    return found
