"""How a client of each wire asks, and what it makes of what it is told, streamed or whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec

from penstock.framing.sse import EventReader
from penstock.testing.client import Answer
from penstock.testing.rig import MODEL, LiveGateway

HELLO = [{"role": "user", "content": "Hello"}]
TURNS = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


class Told(msgspec.Struct):
    """What a client was told. ``successes`` are the signs of a whole answer, in order; ``error`` is what its SDK makes
    an exception of."""

    text: str = ""
    reasoning: str = ""
    successes: list[str] = []
    error: dict[str, Any] | None = None


def payloads(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """Names and objects of a body's events; an end marker is an object without fields."""
    events = EventReader().feed(body)
    return [(event.type, {} if event.data == "[DONE]" else json.loads(event.data)) for event in events]


def chat(body: bytes) -> Told:
    """An openai-chat stream."""
    told = Told()
    for _, chunk in payloads(body):
        assert told.error is None, "a frame after an error"
        if not chunk:
            told.successes.append("[DONE]")
        told.error = chunk.get("error")
        for choice in chunk.get("choices", ()):
            told.text += choice["delta"].get("content") or ""
            told.reasoning += choice["delta"].get("reasoning_content") or ""
            told.successes += [choice["finish_reason"]] if choice["finish_reason"] else []
    return told


def responses(body: bytes) -> Told:
    """An openai-responses stream."""
    told = Told()
    for name, event in payloads(body):
        assert name == event["type"]
        if name == "response.output_text.delta":
            told.text += event["delta"]
        elif name in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            told.reasoning += event["delta"]
        elif name in ("response.completed", "response.incomplete"):
            told.successes.append(name)
        elif name == "error":
            told.error = event["error"]
        elif name == "response.failed":
            assert told.error is not None
            told.error |= {"failed": event["response"]["error"]}
    return told


def messages(body: bytes) -> Told:
    """An anthropic-messages stream."""
    told = Told()
    for name, event in payloads(body):
        assert name == event["type"]
        assert told.error is None, "a frame after an error"
        if name == "content_block_delta":
            told.text += event["delta"].get("text", "")
            told.reasoning += event["delta"].get("thinking", "")
        elif name == "message_delta" and event["delta"].get("stop_reason"):
            told.successes.append(event["delta"]["stop_reason"])
        elif name == "message_stop":
            told.successes.append(name)
        elif name == "error":
            told.error = event["error"]
    return told


def gemini(body: bytes) -> Told:
    """A gemini stream, in either form."""
    told = Told()
    for chunk in json.loads(body) if body.startswith(b"[") else [chunk for _, chunk in payloads(body)]:
        assert told.error is None, "a chunk after an error"
        told.error = chunk.get("error")
        for candidate in chunk.get("candidates", ()):
            for part in candidate.get("content", {}).get("parts", ()):
                if part.get("thought"):
                    told.reasoning += part["text"]
                else:
                    told.text += part.get("text", "")
            told.successes += [candidate["finishReason"]] if "finishReason" in candidate else []
    return told


def cohere(body: bytes) -> Told:
    """A cohere-chat stream."""
    told = Told()
    for _, event in payloads(body):
        assert told.error is None, "an event after an error"
        if not event:
            told.successes.append("[DONE]")
        elif event["type"] == "content-delta":
            content = event["delta"]["message"]["content"]
            told.text += content.get("text", "")
            told.reasoning += content.get("thinking", "")
        elif event["type"] == "message-end":
            end = event["delta"]
            if end["finish_reason"] in ("ERROR", "TIMEOUT"):
                told.error = {"message": end.get("error"), **end}
            else:
                told.successes.append(end["finish_reason"])
    return told


def ollama(body: bytes) -> Told:
    """An ollama-chat stream."""
    told = Told()
    for line in body.splitlines():
        event = json.loads(line)
        assert told.error is None, "a line after an error"
        if "error" in event:
            told.error = {"message": event["error"], **event}
            continue
        told.text += event["message"].get("content", "")
        told.reasoning += event["message"].get("thinking", "")
        told.successes += [event.get("done_reason", "done")] if event["done"] else []
    return told


def whole(body: Any) -> Told:
    """An answer in one piece, of any wire."""
    if isinstance(body, list):
        (body,) = body
    if body.get("error"):
        error = body["error"]
        return Told(error=error if isinstance(error, dict) else {**body, "message": error})
    if "choices" in body:
        message, sign = body["choices"][0]["message"], body["choices"][0]["finish_reason"]
        return Told(message["content"] or "", message.get("reasoning_content") or "", [sign])
    if "output" in body:
        parts = [part for item in body["output"] if item["type"] == "message" for part in item["content"]]
        return Told("".join(part["text"] for part in parts), successes=[body["status"]])
    if "candidates" in body:
        candidate = body["candidates"][0]
        said = [part.get("text", "") for part in candidate["content"]["parts"] if not part.get("thought")]
        return Told("".join(said), successes=[candidate["finishReason"]])
    if "done" in body:
        return Told(body["message"]["content"], successes=[body["done_reason"]] if body["done"] else [])
    if "content" in body or "finish_reason" in body:
        content = body["content"] if "content" in body else body["message"]["content"]
        sign = body.get("stop_reason") or body.get("finish_reason")
        return Told("".join(part.get("text", "") for part in content), successes=[sign])
    return Told(error=body)


class Speaker(msgspec.Struct, frozen=True):
    """A client of a wire: its paths, its question, and how it reads."""

    path: str
    question: dict[str, Any]
    read: Callable[[bytes], Told]
    whole_path: str = ""
    cuts: bool = False
    """Its SDKs see an error only by the broken connection behind it."""

    async def ask(self, gateway: LiveGateway, stream: bool = True, **body: Any) -> Answer:
        """The whole answer of a gateway."""
        if self.whole_path:
            return await gateway.post(self.path if stream else self.whole_path, {**self.question, **body})
        return await gateway.post(self.path, {"model": MODEL, "stream": stream, **self.question, **body})

    def told(self, answer: Answer) -> Told:
        """What the client makes of it. A body is the whole of its frames also where the connection breaks behind."""
        kind = answer.headers["content-type"]
        if answer.status != 200 or (kind.startswith("application/json") and not self.path.endswith("Content")):
            return whole(answer.json)
        if kind.startswith("application/json") and not answer.body.startswith(b"["):
            return whole(answer.json)
        return self.read(answer.body)


_GEMINI = f"/v1beta/models/{MODEL}"
SPEAKERS: dict[str, Speaker] = {
    "openai-chat": Speaker("/v1/chat/completions", {"messages": HELLO}, chat),
    "openai-responses": Speaker("/v1/responses", {"input": "Hello"}, responses),
    "anthropic-messages": Speaker("/v1/messages", {"messages": HELLO, "max_tokens": 100}, messages),
    "gemini": Speaker(
        f"{_GEMINI}:streamGenerateContent?alt=sse", TURNS, gemini, f"{_GEMINI}:generateContent", cuts=True
    ),
    "gemini array": Speaker(f"{_GEMINI}:streamGenerateContent", TURNS, gemini, f"{_GEMINI}:generateContent"),
    "cohere-chat": Speaker("/v2/chat", {"messages": HELLO}, cohere, cuts=True),
    "ollama-chat": Speaker("/api/chat", {"messages": HELLO}, ollama),
}
