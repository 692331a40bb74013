"""anthropic-messages for tests: frames that are short to write, a strict reader, and plans of streams on this wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.framing.sse import SSEFramer
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.request import StreamRequest
from penstock.stream.plan import Plan, Way
from penstock.wire import json
from penstock.wire.base import Decoder, View, clients_of
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES
from penstock.wire.translated import Translated

PING = b'event: ping\ndata: {"type": "ping"}\n\n'


def frame(kind: str, **fields: Any) -> bytes:
    """A frame as the wire has it."""
    return b"event: " + kind.encode() + b"\ndata: " + json.dumps({"type": kind, **fields}) + b"\n\n"


def start(id: str = "msg_1", **usage: Any) -> bytes:
    """The first frame."""
    message: dict[str, Any] = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 1, **usage},
    }
    return frame("message_start", message=message)


def opened(index: int = 0, type: str = "text", **fields: Any) -> bytes:
    """A block opens."""
    empty: dict[str, Any] = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}.get(type, {})
    return frame("content_block_start", index=index, content_block={"type": type, **empty, **fields})


def delta(type: str, index: int = 0, **fields: Any) -> bytes:
    """A block grows."""
    return frame("content_block_delta", index=index, delta={"type": type, **fields})


def text(words: str, index: int = 0) -> bytes:
    """Generated text."""
    return delta("text_delta", index, text=words)


def closed(index: int = 0) -> bytes:
    """A block closes."""
    return frame("content_block_stop", index=index)


def finish(reason: str | None = "end_turn", sequence: str | None = None, **usage: Any) -> bytes:
    """The stop reason and the usage."""
    usage = {"output_tokens": 2, **usage}
    return frame("message_delta", delta={"stop_reason": reason, "stop_sequence": sequence}, usage=usage)


STOP = frame("message_stop")


def answer(*texts: str) -> bytes:
    """A whole answer with one block of text."""
    return start() + opened() + b"".join(text(words) for words in texts) + closed() + finish() + STOP


class Read(msgspec.Struct):
    """What a strict client makes of a stream. ``inputs`` are the tools' inputs as JSON text, by block."""

    blocks: list[dict[str, Any]] = []
    inputs: dict[int, str] = {}
    message: dict[str, Any] = {}
    delta: dict[str, Any] = {}
    usage: dict[str, Any] = {}
    error: dict[str, Any] = {}
    ended: bool = False

    def joined(self, kind: str, field: str) -> str:
        """The texts of all blocks of a kind."""
        return "".join(block[field] for block in self.blocks if block["type"] == kind)

    @property
    def calls(self) -> list[tuple[str, str, str]]:
        """Id, name and input of every tool call."""
        return [
            (block["id"], block["name"], self.inputs.get(index, ""))
            for index, block in enumerate(self.blocks)
            if block["type"] == "tool_use"
        ]


def read(data: bytes, *, whole: bool = True) -> Read:
    """Hold a stream to the wire's grammar (wire-formats.md §4.3) and give what it says. Raises AssertionError.

    ``whole``: it must end with ``message_stop``; else it may end anywhere, or with an error.
    """
    framer, found, open_block = SSEFramer(), Read(), -1
    for piece in framer.feed(data):
        if piece.startswith(b":"):
            continue
        lines = piece.split(b"\n")
        assert [line[:6] for line in lines] == [b"event:", b"data: ", b"", b""], piece
        body = json.loads(lines[1][6:])
        kind = body["type"]
        assert kind == lines[0][7:].decode(), piece
        assert not found.ended, f"{kind} after message_stop"
        assert not found.error, f"{kind} after an error"
        if kind == "ping":
            continue
        assert bool(found.message) is (kind != "message_start") or kind == "error", f"{kind} out of order"
        open_block = _take(found, kind, body, open_block)
    assert not framer.pending, "half a frame"
    assert found.ended or not whole, "no message_stop"
    return found


def _take(found: Read, kind: str, body: dict[str, Any], open_block: int) -> int:
    if kind == "message_start":
        found.message = body["message"]
        assert isinstance(found.message["usage"]["input_tokens"], int)
        assert isinstance(found.message["usage"]["output_tokens"], int)
        assert all(found.message[name] for name in ("id", "model"))
        assert found.message["content"] == []
    elif kind == "content_block_start":
        assert open_block < 0, "a block was opened beside another"
        assert not found.delta, "a block after the finish"
        assert body["index"] == len(found.blocks), f"index {body['index']} for block {len(found.blocks)}"
        found.blocks.append(dict(body["content_block"]))
        return int(body["index"])
    elif kind == "content_block_delta":
        assert body["index"] == open_block, "a delta of a block that is not open"
        _grow(found, open_block, body["delta"])
    elif kind == "content_block_stop":
        assert body["index"] == open_block, "a block was closed that is not open"
        return -1
    elif kind == "message_delta":
        assert open_block < 0, "a finish inside a block"
        found.delta |= body["delta"]
        found.usage |= body["usage"]
        assert isinstance(found.usage["output_tokens"], int)
    elif kind == "message_stop":
        assert found.delta.get("stop_reason"), "message_stop without a stop reason"
        found.ended = True
    else:
        assert kind == "error", f"an unknown event {kind}"
        found.error = body
        assert all(body["error"][name] for name in ("type", "message"))
        assert "request_id" in body
    return open_block


_GROWS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "compaction_delta": ("compaction", "content"),
}


def _grow(found: Read, index: int, delta: dict[str, Any]) -> None:
    block = found.blocks[index]
    if delta["type"] == "input_json_delta":
        assert block["type"] in ("tool_use", "server_tool_use", "mcp_tool_use"), block
        found.inputs[index] = found.inputs.get(index, "") + delta["partial_json"]
    elif delta["type"] == "citations_delta":
        assert block["type"] == "text", block
        block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
    else:
        kind, field = _GROWS[delta["type"]]
        assert block["type"] == kind, f"{delta['type']} in a block of type {block['type']}"
        block[field] = (block.get(field) or "") + delta[field]


# -- streams ----------------------------------------------------------------------------------------------------------


def request(*, client: str = "anthropic-messages", stream: bool = True, **fields: Any) -> StreamRequest:
    """A request of a client wire."""
    body = {"model": "claude", "messages": [], "stream": stream, **fields}
    if client == "anthropic-messages":
        body.setdefault("max_tokens", 100)
    wire = next(wire for wire in CLIENT_WIRES if wire.name == client)
    return wire.read("", "", json.dumps(body))


def plan(
    *, client: str = "anthropic-messages", upstream: str = "anthropic-messages", targets: int = 1, **policies: Any
) -> Plan:
    """A plan as a route with the default policies makes it. ``policies``: fields of Deadlines and of Delivery, and
    ``stream``."""
    asked = request(client=client, stream=policies.pop("stream", True))
    speaks = next(wire for wire in CLIENT_WIRES if wire.name == client)
    session, provider = speaks.session(asked, "st_play"), UPSTREAM_WIRES[upstream]
    limits = {name: policies.pop(name) for name in Deadlines.__struct_fields__ if name in policies}

    def same() -> Decoder:
        return provider.decoder(View(), session)

    def translated() -> Decoder:
        return Translated(provider.decoder(View(), None), session.writer())

    decoder: Callable[[], Decoder] = same if client in clients_of(provider) else translated
    return Plan(
        stream="st_play",
        route="claude",
        request=asked,
        ways=tuple(
            Way(name=f"p{n}/m", label=f"p{n}/m", wire=provider, same_wire=client == upstream, decoder=decoder)
            for n in range(targets)
        ),
        client=session,
        client_wire=client,
        deadlines=Deadlines(**limits),
        delivery=Delivery(**policies),
    )
