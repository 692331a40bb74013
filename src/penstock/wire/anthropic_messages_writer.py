"""anthropic-messages, written from events: for clients of this wire whose provider speaks another.

The order cannot go wrong: ``message_start`` once and first; then blocks, one at a time, their indexes 0, 1, 2…, none
opened again; then one ``message_delta`` and ``message_stop``, which wait for the end of the provider's stream, since
its usage may come last.

A block goes out as it grows. Where a provider goes back and forth between tool calls (only a whole input closes a
call), what belongs behind the open call waits in `_waiting`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.events import (
    Annotation,
    Event,
    Finish,
    FinishKind,
    Reasoning,
    ReasoningSeal,
    Refusal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.anthropic_written import Deltas, Written

_STOP_REASONS: dict[FinishKind, str] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "pause": "pause_turn",
    # The provider broke off: nothing of this wire says so, but after a refusal no client goes on from the answer.
    "error": "refusal",
}


class MessagesWriter:
    """See `base.Writer`. ``model`` and ``stream`` stand where the provider gives no model and no id.

    Only the first choice is written: this wire has one. Media has no place in it. An annotation is a citation of the
    text that is open, and left out where none is.
    """

    def __init__(self, model: str, stream: str):
        self._model = model
        self._stream = stream
        self._id = f"msg_{stream}"
        self._usage = Usage()
        self._begun = False
        self._next = 0
        self._open: Written | None = None
        self._waiting: list[Written] = []
        self._calls: dict[int, Written] = {}
        self._finish: Finish | None = None
        self._refused = False
        self._ended = False

    def know(self, usage: Usage | None) -> None:
        """Usage that was reported elsewhere."""
        self._usage = self._usage.overwritten_by(usage or Usage())

    def at(self, blocks: int, *, open: bool) -> None:
        """So many blocks were written, and the last of them is open: that of the text, or none."""
        self._next = blocks
        if not open:
            self._open = None

    def write(self, events: tuple[Event, ...]) -> bytes:
        """Frames for these events."""
        if len(events) == 1 and type(events[0]) is Text and self._in_text and events[0].choice == 0:
            # Nearly all: one delta of the text that is open.
            text = json.dumps(events[0].text)
            return _TEXT_DELTA % (self._next - 1, text)
        if self._ended:
            return b""
        for event in events:
            # Before anything is written: the first frame has the usage of the input, where it is known.
            if isinstance(event, UsageReport):
                self.know(event.usage)
        return b"".join(self._write(event) for event in events if getattr(event, "choice", 0) == 0)

    def end(self) -> bytes:
        """What waits, the finish with the usage, ``message_stop``."""
        reason = _STOP_REASONS[self._finish.kind] if self._finish is not None else "end_turn"
        if reason == "end_turn" and self._calls:
            reason = "tool_use"
        elif reason == "end_turn" and self._refused:
            reason = "refusal"
        return self._over(reason, self._finish.stop_sequence if self._finish is not None else None)

    def stop(self) -> bytes:
        """The same for an answer that was stopped: a call that is not whole must not look as if it were wanted."""
        return self._over("end_turn", None)

    def _over(self, reason: str, sequence: str | None) -> bytes:
        if self._ended:
            return b""
        out = self._start() + self._close_open()
        for block in self._waiting:
            out += self._opened(block) + self._close_open()
        self._ended = True
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        out += _frame("message_delta", {"delta": delta, "usage": usage_object(self._usage)})
        return out + _frame("message_stop", {})

    def _write(self, event: Event) -> bytes:
        if isinstance(event, Start):
            if not self._begun:
                self._id = event.id or self._id
                self._model = event.model or self._model
            return self._start()
        if isinstance(event, Finish):
            self._finish = self._finish or event
            return b""
        if isinstance(event, Text | Refusal):
            self._refused = self._refused or isinstance(event, Refusal)
            return self._grow("text", [{"type": "text_delta", "text": event.text}])
        if isinstance(event, Reasoning):
            return self._grow("thinking", [{"type": "thinking_delta", "thinking": event.text}])
        if isinstance(event, ReasoningSeal):
            return self._seal(event)
        if isinstance(event, ToolArguments):
            return self._tool(event)
        if isinstance(event, Annotation):
            return self._cite(event)
        return b""

    # -- blocks ---------------------------------------------------------------------------------------------------

    @property
    def _in_text(self) -> bool:
        return self._open is not None and self._open.kind == "text" and not self._waiting

    @property
    def _last(self) -> Written | None:
        return self._waiting[-1] if self._waiting else self._open

    def _grow(self, kind: str, deltas: Deltas) -> bytes:
        """Text or thinking goes on, or a block of it begins."""
        last = self._last
        if last is None or last.kind != kind or last.sealed:
            return self._add(Written.of(kind), deltas)
        return self._more(last, deltas)

    def _seal(self, event: ReasoningSeal) -> bytes:
        if event.redacted:
            return self._add(Written("redacted_thinking", {"type": "redacted_thinking", "data": event.signature}), [])
        out = self._grow("thinking", [{"type": "signature_delta", "signature": event.signature}])
        if self._last is not None:
            self._last.sealed = True
        return out

    def _tool(self, event: ToolArguments) -> bytes:
        call = self._calls.get(event.call)
        deltas: Deltas = [{"type": "input_json_delta", "partial_json": event.arguments}] if event.arguments else []
        if call is None:
            call = self._calls[event.call] = Written.call(event, f"toolu_{self._stream}_{event.call}")
            call.balance.feed(event.arguments)
            return self._add(call, deltas)
        call.balance.feed(event.arguments)
        if call.closed:
            # Its input was whole: what follows can only be blanks, and has no block any more.
            return b""
        if event.name and not call.ready:
            call.start |= {"name": event.name, "id": event.id or call.start["id"]}
        return self._more(call, deltas) + self._flush()

    def _cite(self, event: Annotation) -> bytes:
        last = self._last
        if last is None or last.kind != "text":
            return b""
        native = event.native or {}
        if native.get("type") in _CITATIONS:
            citation: dict[str, Any] = native
        elif event.url:
            citation = {
                "type": "web_search_result_location",
                "url": event.url,
                "title": event.title or None,
                "cited_text": event.cited,
                "encrypted_index": "",
            }
        else:
            return b""
        return self._more(last, [{"type": "citations_delta", "citation": citation}])

    def _add(self, block: Written, deltas: Deltas) -> bytes:
        """A new block: at once, or behind what is open."""
        block.deltas += deltas
        self._waiting.append(block)
        return self._flush()

    def _more(self, block: Written, deltas: Deltas) -> bytes:
        """A block that was begun goes on."""
        if block is not self._open:
            block.deltas += deltas
            return b""
        return b"".join(self._deltas(deltas))

    def _flush(self) -> bytes:
        """Write what waits, unless an open call is not whole or the next has no name yet."""
        out = b""
        while self._waiting and self._waiting[0].ready and (self._open is None or self._open.may_close):
            out += self._start() + self._close_open() + self._opened(self._waiting.pop(0))
        return out

    def _opened(self, block: Written) -> bytes:
        index, self._next = self._next, self._next + 1
        self._open = block
        frame = _frame("content_block_start", {"index": index, "content_block": block.start})
        deltas, block.deltas = block.deltas, []
        return frame + b"".join(self._deltas(deltas))

    def _deltas(self, deltas: Deltas) -> Iterator[bytes]:
        return (_frame("content_block_delta", {"index": self._next - 1, "delta": delta}) for delta in deltas)

    def _close_open(self) -> bytes:
        if self._open is None:
            return b""
        self._open.closed, self._open = True, None
        return _frame("content_block_stop", {"index": self._next - 1})

    def _start(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            # The output is counted at the end; what the input cost is put right there too (wire-formats.md §4.6).
            "usage": {**usage_object(Usage(input=self._usage.input, **_cache(self._usage))), "output_tokens": 0},
        }
        return _frame("message_start", {"message": message})


_TEXT_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)
_CITATIONS = frozenset(
    {
        "char_location",
        "page_location",
        "content_block_location",
        "web_search_result_location",
        "search_result_location",
    }
)


def _cache(usage: Usage) -> dict[str, int | None]:
    return {"cache_read": usage.cache_read, "cache_write": usage.cache_write}


def usage_object(usage: Usage) -> dict[str, Any]:
    """Canonical usage in Anthropic's words: thinking inside the output's tokens, the cache beside the input's."""
    tokens: dict[str, Any] = {
        "input_tokens": usage.input or 0,
        "cache_creation_input_tokens": usage.cache_write or 0,
        "cache_read_input_tokens": usage.cache_read or 0,
        "output_tokens": (usage.output or 0) + (usage.reasoning or 0),
    }
    if usage.reasoning is not None:
        tokens["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    return tokens


def _frame(kind: str, fields: dict[str, Any]) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + json.dumps({"type": kind, **fields}) + b"\n\n"
