"""The OpenAI Responses wire, as its provider speaks it."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.sim.plan import Call, Plan, prompt_tokens
from penstock.sim.reply import error_body
from penstock.sim.voice import Usage, Voice

_encode = msgspec.json.encode
_FILL = "uoxSQmT3vRzKe8yHcWn5LpJ0aDgXbVf2"
_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}


class OpenAIResponses:
    """``POST /v1/responses``."""

    name = "openai-responses"
    content_type = "text/event-stream; charset=utf-8"
    example_path = "/v1/responses"

    def matches(self, path: str) -> bool:
        return path in ("/v1/responses", "/responses")

    def read(self, path: str, body: dict[str, Any]) -> Call:
        model, tools = body.get("model"), body.get("tools")
        if not isinstance(model, str):
            raise ValueError("model must be a string")
        if body.get("input") is None:
            raise ValueError("input is missing")
        names = (tool.get("name") for tool in tools if isinstance(tool, dict)) if isinstance(tools, list) else ()
        return Call(
            model=model,
            stream=body.get("stream") is True,
            include_usage=True,
            tools=tuple(name for name in names if isinstance(name, str)),
            prompt_tokens=prompt_tokens([body.get("instructions"), body["input"]]),
        )

    def example(self, model: str) -> dict[str, Any]:
        return {"model": model, "stream": True, "input": "Hello"}

    def voice(self, plan: Plan) -> Voice:
        return ResponsesVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        return error_body(message, status, code)


class ResponsesVoice:
    """Numbered events; the text in a message, each tool call an item of its own. There is one choice."""

    def __init__(self, plan: Plan):
        self._plan = plan
        self._ident = f"sim{plan.serial:08d}"
        eol = "\r\n" if plan.options.crlf else "\r" if plan.options.cr else "\n"
        self._eol = eol.encode()
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._item: dict[str, Any] | None = None
        self._pieces: list[str] = []
        self._reason: str | None = None
        self._usage: Usage | None = None

    def role(self, choice: int) -> bytes:
        if choice:
            return b""
        response = self._response("in_progress")
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def text(self, choice: int, token: str) -> bytes:
        return b"" if choice else self._piece("message", token)

    def reasoning(self, choice: int, token: str) -> bytes:
        return b"" if choice else self._piece("reasoning", token)

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        if choice:
            return b""
        if not fragment:
            tool = self._plan.tools[index]
            more = {"call_id": tool.ident, "name": tool.name, "arguments": "", "status": "in_progress"}
            return self._close() + self._open("function_call", f"fc_{self._ident}n{index}", **more)
        self._pieces.append(fragment)
        return self._delta("response.function_call_arguments", fragment)

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        if choice:
            return b""
        self._reason, self._usage = reason, usage
        return self._close()

    def usage(self, usage: Usage) -> bytes:
        self._usage = usage
        return b""

    def end(self) -> bytes:
        """The terminal event is the finish: without a reason there is none."""
        if self._reason is None:
            return b""
        response = self._response(None)
        return self._event(f"response.{response['status']}", response=response)

    def error(self) -> bytes:
        message = "The simulated provider had an error"
        error = {"type": "server_error", "code": "server_error", "message": message, "param": None}
        response = self._response("failed") | {"error": {"code": "server_error", "message": message}}
        return self._event("error", error=error) + self._event("response.failed", response=response)

    def malformed(self) -> bytes:
        return b"event: response.output_text.delta" + self._eol + b"data: {bad" + self._eol * 2

    def ping(self) -> bytes:
        return b": ping" + self._eol * 2

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        plan = self._plan
        for kind, tokens in (("reasoning", plan.reasoning()), ("message", plan.text())):
            for token in tokens:
                self._piece(kind, token)
        for index, tool in enumerate(plan.tools):
            for fragment in ("", *tool.fragments):
                self.tool(0, index, fragment)
        self.finish(0, reason or "stop", usage)
        return _encode(self._response(None))

    def _piece(self, kind: str, token: str) -> bytes:
        out, item = b"", self._item
        if item is None or item["type"] != kind:
            out = self._close()
            more: dict[str, Any] = {"summary": []}
            if kind == "message":
                more = {"status": "in_progress", "role": "assistant", "content": []}
            out += self._open(kind, f"{'msg' if kind == 'message' else 'rs'}_{self._ident}", **more)
            out += self._event(self._part_event() + ".added", **self._place(), part=self._part(""))
        self._pieces.append(token)
        return out + self._delta(self._text_event(), token)

    def _open(self, kind: str, ident: str, **more: Any) -> bytes:
        self._item = {"id": ident, "type": kind, **more}
        self._pieces = []
        return self._event("response.output_item.added", output_index=len(self._output), item=self._item)

    def _close(self) -> bytes:
        item, text = self._item, "".join(self._pieces)
        if item is None:
            return b""
        if item["type"] == "function_call":
            item = item | {"arguments": text, "status": "completed"}
            place = {**self._place(), "name": item["name"]}
            out = self._event("response.function_call_arguments.done", **place, arguments=text)
        else:
            out = self._event(self._text_event() + ".done", **self._place(), text=text)
            out += self._event(self._part_event() + ".done", **self._place(), part=self._part(text))
            field = "content" if item["type"] == "message" else "summary"
            item = item | {field: [self._part(text)]}
            if field == "content":
                item["status"] = "completed"
        out += self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        self._item = None
        return out

    def _text_event(self) -> str:
        assert self._item is not None
        return "response." + ("output_text" if self._item["type"] == "message" else "reasoning_summary_text")

    def _part_event(self) -> str:
        assert self._item is not None
        return "response." + ("content_part" if self._item["type"] == "message" else "reasoning_summary_part")

    def _place(self) -> dict[str, Any]:
        assert self._item is not None
        place: dict[str, Any] = {"item_id": self._item["id"], "output_index": len(self._output)}
        if self._item["type"] != "function_call":
            place["content_index" if self._item["type"] == "message" else "summary_index"] = 0
        return place

    def _part(self, text: str) -> dict[str, Any]:
        assert self._item is not None
        if self._item["type"] == "message":
            return {"type": "output_text", "text": text, "annotations": []}
        return {"type": "summary_text", "text": text}

    def _delta(self, kind: str, piece: str) -> bytes:
        fields = {**self._place(), "delta": piece}
        pad = self._plan.options.pad
        if pad:
            fill = pad - len(piece) - 200
            if fill > 0:
                fields["obfuscation"] = (_FILL * (fill // len(_FILL) + 1))[:fill]
        return self._event(kind + ".delta", **fields)

    def _response(self, status: str | None) -> dict[str, Any]:
        """``status`` None: as the answer ended."""
        reason = _REASONS.get(self._reason or "")
        return {
            "id": f"resp_{self._ident}",
            "object": "response",
            "created_at": self._plan.created,
            "status": status or ("incomplete" if reason else "completed"),
            "error": None,
            "incomplete_details": {"reason": reason} if reason and status is None else None,
            "instructions": None,
            "metadata": {},
            "model": self._plan.call.model,
            "output": list(self._output),
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": None if self._usage is None or status is not None else _usage(self._usage),
        }

    def _event(self, kind: str, **fields: Any) -> bytes:
        body = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b%bdata: %b%b" % (kind.encode(), self._eol, _encode(body), self._eol * 2)


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input + usage.output,
    }
