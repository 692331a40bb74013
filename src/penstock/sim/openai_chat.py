"""The OpenAI chat completions wire, as its provider speaks it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.reply import error_body
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
_FILL = b"uoxSQmT3vRzKe8yHcWn5LpJ0aDgXbVf2"


class OpenAIChat:
    """``POST /v1/chat/completions``."""

    name = "openai-chat"
    content_type = "text/event-stream; charset=utf-8"
    example_path = "/v1/chat/completions"

    def matches(self, path: str) -> bool:
        return path in ("/v1/chat/completions", "/chat/completions")

    def read(self, path: str, body: dict[str, Any]) -> Call:
        model, n, options = body.get("model"), body.get("n"), body.get("stream_options")
        if not isinstance(model, str):
            raise ValueError("model must be a string")
        if n is not None and not (isinstance(n, int) and 1 <= n <= 128):
            raise ValueError("n must be a whole number from 1 to 128")
        return Call(
            model=model,
            stream=body.get("stream") is True,
            n=n or 1,
            include_usage=isinstance(options, dict) and options.get("include_usage") is True,
            tools=tuple(tool_names(body.get("tools"))),
            prompt_tokens=prompt_tokens(body.get("messages")),
        )

    def example(self, model: str) -> dict[str, Any]:
        return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}

    def voice(self, plan: Plan) -> Voice:
        return ChatVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        return error_body(message, status, code)


class ChatVoice:
    """Data-only SSE frames. What is the same in every frame is encoded once."""

    def __init__(self, plan: Plan):
        options, call = plan.options, plan.call
        self._plan = plan
        self._ident = f"chatcmpl-sim{plan.serial:08d}"
        eol = b"\r\n" if options.crlf else b"\r" if options.cr else b"\n"
        self._blank = eol * 2
        # Asked for usage, OpenAI says "usage":null on every other chunk.
        null = call.include_usage and options.usage == "asked"
        self._tail = b',"usage":null}' if null else b"}"
        self._close = self._tail + self._blank
        self._pad = options.pad
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":[' % (
            _encode(self._ident),
            plan.created,
            _encode(call.model),
        )
        self._heads = [self._head + b'{"index":%d,"delta":' % choice for choice in range(plan.n)]
        self._texts: list[dict[str, bytes]] = [{} for _ in range(plan.n)]

    def role(self, choice: int) -> bytes:
        content = b"null" if self._plan.tools and not self._plan.text_count else b'""'
        return self._chunk(choice, b'{"role":"assistant","content":%b}' % content)

    def text(self, choice: int, token: str) -> bytes:
        # The simulated provider repeats itself, so most frames of a long answer were already made.
        frame = self._texts[choice].get(token)
        if frame is None:
            frame = self._texts[choice][token] = self._chunk(choice, b'{"content":%b}' % _encode(token))
        return frame

    def reasoning(self, choice: int, token: str) -> bytes:
        return self._chunk(choice, b'{"reasoning_content":%b}' % _encode(token))

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        part: dict[str, Any] = {"index": index}
        function = {"arguments": fragment}
        if not fragment:
            tool = self._plan.tools[index]
            part |= {"id": tool.ident, "type": "function"}
            function = {"name": tool.name, "arguments": ""}
        return self._chunk(choice, _encode({"tool_calls": [part | {"function": function}]}))

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        tail = self._tail if usage is None else b',"usage":%b}' % _encode(_usage(usage))
        return self._heads[choice] + b'{},"finish_reason":%b}]' % _encode(reason) + tail + self._blank

    def usage(self, usage: Usage) -> bytes:
        return self._head + b'],"usage":%b}' % _encode(_usage(usage)) + self._blank

    def end(self) -> bytes:
        return b"data: [DONE]" + self._blank

    def error(self) -> bytes:
        return b"data: " + error_body("The simulated provider had an error", 500) + self._blank

    def malformed(self) -> bytes:
        return b"data: {bad" + self._blank

    def ping(self) -> bytes:
        return b": ping" + self._blank

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        plan = self._plan
        message: dict[str, Any] = {"role": "assistant", "content": "".join(plan.text()) or None, "refusal": None}
        if plan.reasoning_count:
            message["reasoning_content"] = "".join(plan.reasoning())
        if plan.tools:
            message["tool_calls"] = [
                {
                    "id": tool.ident,
                    "type": "function",
                    "function": {"name": tool.name, "arguments": "".join(tool.fragments)},
                }
                for tool in plan.tools
            ]
        elif message["content"] is None:
            message["content"] = ""
        answer: dict[str, Any] = {
            "id": self._ident,
            "object": "chat.completion",
            "created": plan.created,
            "model": plan.call.model,
            "choices": [{"index": choice, "message": message, "finish_reason": reason} for choice in range(plan.n)],
        }
        if usage is not None:
            answer["usage"] = _usage(usage)
        return _encode(answer)

    def _chunk(self, choice: int, delta: bytes) -> bytes:
        frame = self._heads[choice] + delta + b',"finish_reason":null}]'
        if self._pad:
            fill = self._pad - len(frame) - len(self._close) - len(b',"obfuscation":""')
            if fill > 0:
                letters = (_FILL * (fill // len(_FILL) + 1))[:fill]
                return frame + b',"obfuscation":"' + letters + b'"' + self._close
        return frame + self._close


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def tool_names(tools: Any) -> list[str]:
    found = []
    for tool in tools if isinstance(tools, list) else []:
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str):
            found.append(name)
    return found
