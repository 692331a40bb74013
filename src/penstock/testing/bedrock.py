"""Bedrock's wires for tests: frames that are short to write, and a strict reader."""

from __future__ import annotations

from typing import Any

from penstock.events import Event
from penstock.framing import eventstream
from penstock.framing.eventstream import EventStreamFramer
from penstock.wire import json
from penstock.wire.base import Decoder
from penstock.wire.bedrock_converse import ConverseDecoder
from penstock.wire.bedrock_converse_whole import chunk_frame, event_frame

frame = event_frame
"""An event of ConverseStream, by name and payload."""
START = frame("messageStart", {"role": "assistant", "p": "abc"})


def delta(index: int = 0, **fields: Any) -> bytes:
    """A block grows."""
    return frame("contentBlockDelta", {"contentBlockIndex": index, "delta": fields, "p": "abcdefg"})


def text(words: str, index: int = 0) -> bytes:
    """Generated text."""
    return delta(index, text=words)


def thought(index: int = 0, **fields: str) -> bytes:
    """Reasoning: ``text``, ``signature`` or ``redactedContent``."""
    return delta(index, reasoningContent=fields)


def tool(name: str, index: int = 0, id: str = "tooluse_1", **fields: str) -> bytes:
    """A tool call opens."""
    start = {"toolUse": {"toolUseId": id, "name": name, **fields}}
    return frame("contentBlockStart", {"contentBlockIndex": index, "start": start})


def arguments(fragment: str, index: int = 0) -> bytes:
    """A piece of a call's input."""
    return delta(index, toolUse={"input": fragment})


def closed(index: int = 0) -> bytes:
    """A block closes."""
    return frame("contentBlockStop", {"contentBlockIndex": index})


def stop(reason: str = "end_turn", **fields: Any) -> bytes:
    """The answer is finished."""
    return frame("messageStop", {"stopReason": reason, **fields})


def metadata(input: int = 9, output: int = 2, **usage: int) -> bytes:
    """The last frame."""
    tokens = {"inputTokens": input, "outputTokens": output, "totalTokens": input + output, **usage}
    return frame("metadata", {"usage": tokens, "metrics": {"latencyMs": 7}})


def exception(name: str, message: str = "said the provider", **fields: Any) -> bytes:
    """An error inside the stream."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return eventstream.encode(headers, json.dumps({"message": message, **fields}))


def error(code: str, message: str) -> bytes:
    """An error of the framing's own kind."""
    headers = {":error-code": code, ":error-message": message, ":message-type": "error"}
    return eventstream.encode(headers, b"")


def answer(*words: str) -> bytes:
    """A whole answer of text."""
    return START + b"".join(text(word) for word in words) + closed() + stop() + metadata(output=len(words))


def chunks(*events: dict[str, Any]) -> bytes:
    """Anthropic's events as InvokeModelWithResponseStream sends them."""
    return b"".join(chunk_frame(json.dumps(event)) for event in events)


class Read:
    """What a decoder made of a body: events, bytes handed on, verdict."""

    def __init__(self, decoder: Decoder, body: bytes, cuts: list[int], *, clean: bool):
        self.decoder = decoder
        self.events: list[Event] = []
        framer, self.bytes = EventStreamFramer(), b""
        for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True):
            for each in framer.feed(body[start:end]):
                self._take(*decoder.decode(each))
        self._take(*decoder.close(framer.close()))
        self.missing = decoder.incomplete(clean=clean)

    def _take(self, handed_on: bytes | None, events: tuple[Event, ...]) -> None:
        self.bytes += handed_on or b""
        self.events += events


def read(body: bytes, decoder: Decoder | None = None, cuts: list[int] | None = None, *, clean: bool = True) -> Read:
    """A body through framer and decoder (`ConverseDecoder` unless another is given), split at ``cuts``."""
    return Read(decoder or ConverseDecoder(), body, cuts or [], clean=clean)
