"""Bedrock's InvokeModelWithResponseStream for Anthropic's models, as its provider speaks it."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from penstock.framing.sse import SSEFramer, parse
from penstock.sim.anthropic_messages import AnthropicMessages, MessagesVoice
from penstock.sim.bedrock_converse import CONTENT_TYPE, aws_error, exception, frame, model_in
from penstock.sim.plan import Call, Plan
from penstock.sim.voice import Usage, Voice

_OPERATIONS = ("invoke-with-response-stream", "invoke")


class BedrockInvoke:
    """``POST /model/{modelId}/invoke-with-response-stream`` and ``…/invoke``: Anthropic's body without ``model`` and
    ``stream``."""

    name = "bedrock-invoke"
    content_type = CONTENT_TYPE
    example_path = "/model/sim/invoke-with-response-stream"

    def __init__(self) -> None:
        self._anthropic = AnthropicMessages()

    def matches(self, path: str) -> bool:
        return model_in(path, *_OPERATIONS) is not None

    def read(self, path: str, body: dict[str, Any]) -> Call:
        if not isinstance(body.get("anthropic_version"), str):
            raise ValueError("anthropic_version: Field required")
        for field in ("model", "stream"):
            if field in body:
                raise ValueError(f"{field}: Extra inputs are not permitted")
        stream = path.partition("?")[0].endswith("-stream")
        return self._anthropic.read(path, {**body, "model": model_in(path, *_OPERATIONS), "stream": stream})

    def example(self, model: str) -> dict[str, Any]:
        body = self._anthropic.example(model)
        return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024, "messages": body["messages"]}

    def voice(self, plan: Plan) -> Voice:
        return InvokeVoice(plan)

    def error_body(self, message: str, status: int, code: str | None) -> bytes:
        return aws_error(message, status)


class InvokeVoice:
    """What `MessagesVoice` says, each event in a frame of AWS's."""

    def __init__(self, plan: Plan):
        self._voice = MessagesVoice(plan)
        self._plan = plan

    def role(self, choice: int) -> bytes:
        return _chunks(self._voice.role(choice))

    def text(self, choice: int, token: str) -> bytes:
        return _chunks(self._voice.text(choice, token))

    def reasoning(self, choice: int, token: str) -> bytes:
        return _chunks(self._voice.reasoning(choice, token))

    def tool(self, choice: int, index: int, fragment: str) -> bytes:
        return _chunks(self._voice.tool(choice, index, fragment))

    def finish(self, choice: int, reason: str, usage: Usage | None) -> bytes:
        return _chunks(self._voice.finish(choice, reason, usage))

    def usage(self, usage: Usage) -> bytes:
        return _chunks(self._voice.usage(usage))

    def end(self) -> bytes:
        metrics = {"inputTokenCount": self._plan.call.prompt_tokens, "outputTokenCount": self._plan.token_count}
        return _chunk(msgspec.json.encode({"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}))

    def error(self) -> bytes:
        return exception()

    def malformed(self) -> bytes:
        return frame("chunk", b'{"bytes":"!"}')

    def ping(self) -> bytes:
        return b""

    def whole(self, reason: str | None, usage: Usage | None) -> bytes:
        return self._voice.whole(reason, usage)


def _chunks(frames: bytes) -> bytes:
    events = (parse(each).data for each in SSEFramer().feed(frames))
    return b"".join(_chunk(event) for event in events if event)


def _chunk(event: bytes) -> bytes:
    return frame("chunk", msgspec.json.encode({"bytes": base64.b64encode(event).decode()}))
