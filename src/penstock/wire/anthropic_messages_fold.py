"""anthropic-messages, the folded answer: one ``message`` from the events of a stream, and the way back.

The fold reads the frames that a streaming client would have got, so it cannot differ from them. Fields that it does
not know survive: texts that grow are joined, everything else is what was said last.
"""

from __future__ import annotations

from typing import Any

from penstock.framing import sse
from penstock.wire import json

_GROWS = {"text_delta": "text", "thinking_delta": "thinking", "compaction_delta": "content"}


class MessagesFold:
    """Collects frames; `answer` is the whole."""

    def __init__(self) -> None:
        self._framer = sse.SSEFramer(1 << 62)
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._pieces: dict[tuple[int, str], list[str]] = {}
        """The texts that grow, by block and field: joined at the end."""
        self._usage: dict[str, Any] = {}

    def feed(self, data: bytes) -> None:
        """Whole frames of the stream. Pings and comments add nothing."""
        for frame in self._framer.feed(data):
            payload = sse.parse(frame).data
            if payload and payload.startswith(b"{"):
                self._feed(json.loads(payload))

    def _feed(self, body: dict[str, Any]) -> None:
        kind, index = body.get("type"), body.get("index")
        if kind == "message_start":
            self._message = dict(_object(body.get("message")))
            self._know(self._message.get("usage"))
        elif kind == "content_block_start" and isinstance(index, int):
            self._blocks[index] = dict(_object(body.get("content_block")))
        elif kind == "content_block_delta" and isinstance(index, int) and index in self._blocks:
            self._grow(index, _object(body.get("delta")))
        elif kind == "message_delta":
            self._message |= _object(body.get("delta"))
            self._know(body.get("usage"))
            self._message |= {k: v for k, v in body.items() if k not in ("type", "delta", "usage")}
        elif kind == "message_stop":
            self._message |= {k: v for k, v in body.items() if k != "type"}

    def _know(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._usage |= {
                name: value for name, value in usage.items() if value is not None or name not in self._usage
            }

    def _grow(self, index: int, delta: dict[str, Any]) -> None:
        kind, block = delta.get("type"), self._blocks[index]
        grows = _GROWS.get(str(kind))
        for name, value in delta.items():
            if name == "type":
                continue
            if kind == "input_json_delta" and name == "partial_json":
                self._pieces.setdefault((index, "input"), []).append(value if isinstance(value, str) else "")
            elif name == grows and isinstance(value, str):
                begun = block.get(name)
                begun = begun if isinstance(begun, str) else ""
                self._pieces.setdefault((index, name), [begun]).append(value)
            elif kind == "citations_delta" and name == "citation":
                cited = block.get("citations")
                block["citations"] = [*(cited if isinstance(cited, list) else ()), value]
            else:
                block[name] = value

    def answer(self) -> bytes:
        """The ``message`` as JSON."""
        for (index, name), pieces in self._pieces.items():
            text = "".join(pieces)
            if name != "input":
                self._blocks[index][name] = text
            elif text:
                self._blocks[index][name] = _input(text)
        message = {"id": "", "type": "message", "role": "assistant", **self._message}
        message["content"] = [self._blocks[index] for index in sorted(self._blocks)]
        if self._usage:
            message["usage"] = self._usage
        return json.dumps(message)


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _input(text: str) -> Any:
    """A tool's input. With fine-grained tool streaming it may be no JSON: then in the form that Anthropic asks for
    when such input goes back to the model (wire-formats.md §4.4)."""
    try:
        return json.loads(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return {"INVALID_JSON": text}


def frames_of_answer(body: dict[str, Any]) -> list[bytes]:
    """The stream that a whole ``message`` would have been: for providers that answer so to ``stream: true``."""
    usage = body.get("usage") if isinstance(body.get("usage"), dict) else {}
    late = ("stop_reason", "stop_sequence", "stop_details", "container")
    start = {**body, "content": [], "stop_reason": None, "stop_sequence": None}
    start["usage"] = {"input_tokens": 0, **(usage or {}), "output_tokens": 0}
    frames = [_frame("message_start", {"message": start})]
    for index, block in enumerate(block for block in body["content"] if isinstance(block, dict)):
        opened, deltas = _parts_of(block)
        frames.append(_frame("content_block_start", {"index": index, "content_block": opened}))
        frames += [_frame("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        frames.append(_frame("content_block_stop", {"index": index}))
    delta = {name: body[name] for name in late if name in body}
    delta["stop_reason"] = delta.get("stop_reason") or "end_turn"
    frames.append(_frame("message_delta", {"delta": delta, "usage": {"output_tokens": 0, **(usage or {})}}))
    frames.append(_frame("message_stop", {}))
    return frames


def _parts_of(block: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """How a block opens, and what follows."""
    kind = block.get("type")
    if kind == "text":
        deltas: list[dict[str, Any]] = [{"type": "text_delta", "text": block.get("text") or ""}]
        deltas += [{"type": "citations_delta", "citation": each} for each in block.get("citations") or ()]
        return {**block, "text": "", **({"citations": []} if block.get("citations") else {})}, deltas
    if kind == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block.get("thinking") or ""}]
        if block.get("signature"):
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        return {**block, "thinking": "", "signature": ""}, deltas
    if kind in ("tool_use", "server_tool_use", "mcp_tool_use"):
        text = json.dumps(block.get("input") or {}).decode()
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    return block, []


def _frame(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + json.dumps({"type": kind, **fields}) + b"\n\n"
