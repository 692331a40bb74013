"""A note of Penstock's own in an answer, in the place that each client wire's SDKs survive (wire-formats.md §9.8).

It is the field ``penstock`` of a frame's JSON object, or of the answer's where that is not streamed: there as the last
field. On openai-chat, where usage comes last, the note at the end has a chunk of its own before ``[DONE]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.framing import sse
from penstock.wire import json

FIELD = b'"penstock":'
# Whitespace, and what stands behind an element of an array.
_OBJECT_END = re.compile(rb"\}[ \t\r\n,\]]*\Z")
_BLOCK_ENDS = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)")
_AROUND = b" \t\r\n,[]"
_DONE = b"[DONE]"


class _Kind(msgspec.Struct):
    type: str = ""
    done: bool = False


_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_KIND = msgspec.json.Decoder(_Kind)
_ENDS: dict[str, tuple[bytes, frozenset[str]]] = {
    "openai-responses": (b'"response.', frozenset({"response.completed", "response.incomplete", "response.failed"})),
    "anthropic-messages": (b'"message_delta"', frozenset({"message_delta"})),
    "cohere-chat": (b'"message-end"', frozenset({"message-end"})),
}
"""Where a wire's last words are: a text that is in their frames, and their types."""


def spliced(frame: bytes, note: bytes) -> bytes | None:
    """``frame`` with ``note`` (JSON) in its last object; None where it does not end with one."""
    match = _OBJECT_END.search(frame)
    if match is None:
        return None
    start = frame.rfind(b"\n", 0, match.start()) + 1
    if frame[start : start + 1] == b":":
        return None
    head = frame[: match.start()]
    comma = b"" if head.rstrip().endswith(b"{") else b","
    return head + comma + FIELD + note + frame[match.start() :]


def blocks(data: bytes, *, lines: bool = False) -> Iterator[bytes]:
    """The frames that ``data`` holds; joined, they are ``data``. ``lines``: of NDJSON; else server-sent events, or
    elements of an array."""
    if lines:
        yield from data.splitlines(keepends=True)
    elif data.startswith(b"data: ") and data.find(b"\n") == len(data) - 2:
        # Nearly all of them.
        yield data
    elif _bare(data):
        yield from _elements(data)
    else:
        yield from filter(None, _BLOCK_ENDS.split(data))


def payload(block: bytes) -> bytes | None:
    """What a frame says, without its framing; None for keep-alives: comments, blank lines, pings."""
    if block.startswith(b"data: ") and block.endswith(b"\n\n") and block.find(b"\n") == len(block) - 2:
        if b"\r" not in block:
            return block[6:-2]
    elif _bare(block):
        return block.strip(_AROUND) or None
    found = sse.parse(block)
    return None if found.data is None or found.event == b"ping" else found.data


def _bare(data: bytes) -> bool:
    """JSON that is no event: a line, or elements of an array."""
    return data.lstrip()[:1] in (b"{", b"[", b",", b"]")


def _elements(data: bytes) -> Iterator[bytes]:
    try:
        elements = _RAWS.decode(b"[" + data.strip(_AROUND) + b"]")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        elements = []
    at = 0
    for element in elements[:-1]:
        end = data.index(bytes(element), at) + len(bytes(element))
        yield data[at:end]
        at = end
    yield data[at:]


class Placer:
    """Finds the place for the last note of one answer."""

    def __init__(self, wire: str, stream: str, created: int):
        self._chat = wire == "openai-chat"
        self._gemini = wire == "gemini"
        self._lines = wire == "ollama-chat"
        self._end = _ENDS.get(wire)
        self._stream = stream
        self._created = created
        self._first: bytes | None = None

    def blocks(self, frame: bytes) -> Iterator[bytes]:
        """See `blocks`."""
        return blocks(frame, lines=self._lines)

    def is_end(self, block: bytes, said: bytes, *, finished: bool) -> bool:
        """Whether the last note goes here. ``said``: the block's payload; ``finished``: every choice has its finish."""
        if self._chat:
            if self._first is None and said.startswith(b"{"):
                self._first = said
            return said.startswith(_DONE)
        if self._gemini:
            return finished and b'"finishReason"' in block
        if self._lines:
            return b'"done"' in block and _kind(said).done
        return self._end is not None and self._end[0] in block and _kind(said).type in self._end[1]

    def at_end(self, block: bytes, note: bytes) -> bytes:
        """The block with the last note."""
        if self._chat:
            return self.alone(note) + block
        return spliced(block, note) or block

    def alone(self, note: bytes) -> bytes:
        """A frame that holds nothing but a note; empty on wires that have no such thing."""
        if not self._chat:
            return b""
        chunk: dict[str, Any] = {
            "id": f"chatcmpl-{self._stream}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": "",
        }
        try:
            known = json.loads(self._first or b"{}")
        except ValueError:
            known = {}
        chunk.update({name: known[name] for name in chunk if name in known})
        chunk["choices"] = []
        return (spliced(b"data: " + json.one_line(json.dumps(chunk)), note) or b"") + b"\n\n"


def _kind(said: bytes) -> _Kind:
    try:
        return _KIND.decode(said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Kind()
