"""bedrock-converse: the stream that a whole answer of Converse would have been."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from penstock.framing import eventstream
from penstock.wire import json


def event_frame(name: str, body: Mapping[str, Any]) -> bytes:
    """One event of a ConverseStream as a frame."""
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return eventstream.encode(headers, json.dumps(body))


def frames_of_answer(body: Mapping[str, Any]) -> list[bytes] | None:
    """The frames of ``{"output": {"message": …}, "stopReason": …, "usage": …}``, or None for another document."""
    output = body.get("output")
    message = output.get("message") if isinstance(output, Mapping) else None
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return None
    frames = [event_frame("messageStart", {"role": message.get("role") or "assistant"})]
    for index, block in enumerate(message["content"]):
        if isinstance(block, Mapping):
            place = {"contentBlockIndex": index}
            start, deltas = _parts_of(block)
            if start is not None:
                frames.append(event_frame("contentBlockStart", {**place, "start": start}))
            frames += [event_frame("contentBlockDelta", {**place, "delta": delta}) for delta in deltas]
            frames.append(event_frame("contentBlockStop", place))
    more = body.get("additionalModelResponseFields")
    stop = {"stopReason": body.get("stopReason") or "end_turn"}
    frames.append(event_frame("messageStop", {**stop, "additionalModelResponseFields": more} if more else stop))
    names = ("usage", "metrics", "trace", "performanceConfig", "serviceTier")
    frames.append(event_frame("metadata", {name: body[name] for name in names if name in body}))
    return frames


def _parts_of(block: Mapping[str, Any]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """How a block opens, and what follows."""
    tool, thought, cited = block.get("toolUse"), block.get("reasoningContent"), block.get("citationsContent")
    if isinstance(tool, Mapping):
        named = {name: value for name, value in tool.items() if name != "input"}
        return {"toolUse": named}, [{"toolUse": {"input": json.dumps(tool.get("input") or {}).decode()}}]
    if isinstance(thought, Mapping):
        text = thought.get("reasoningText")
        text = text if isinstance(text, Mapping) else {}
        pieces = [{name: text[name]} for name in ("text", "signature") if text.get(name)]
        if thought.get("redactedContent"):
            pieces.append({"redactedContent": thought["redactedContent"]})
        return None, [{"reasoningContent": piece} for piece in pieces]
    if isinstance(cited, Mapping):
        citations, content = cited.get("citations"), cited.get("content")
        deltas: list[dict[str, Any]] = [{"citation": each} for each in _list(citations)]
        return None, deltas + [{"text": each["text"]} for each in _list(content) if each.get("text")]
    return None, [dict(block)]


def _list(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def chunk_frame(event: bytes) -> bytes:
    """One ``chunk`` of InvokeModelWithResponseStream, around the model's own JSON."""
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return eventstream.encode(headers, b'{"bytes":"' + base64.b64encode(event) + b'"}')
