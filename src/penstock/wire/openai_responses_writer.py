"""openai-responses, written from events: for clients of this wire whose provider speaks another.

The order cannot go wrong: ``created`` and ``in_progress`` come first, an item is announced before its parts and a part
before its text, everything that was opened is closed by its finish, and there is one terminal event. Messages and
reasoning close when something else begins; calls stay open until the finish, since until then nobody knows that their
arguments are whole.
"""

from __future__ import annotations

from collections.abc import Callable
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
from penstock.wire.openai_responses_answer import Answer, Item, usage_object

REDACTED = "redacted:"
"""What ``encrypted_content`` begins with where it stands for reasoning that is withheld: on the next turn other wires
must know it from a signature."""
_REASONS: dict[FinishKind, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
_PREFIXES = {"message": "msg", "reasoning": "rs", "function_call": "fc"}


class ResponsesWriter:
    """See `base.Writer`. ``blank`` is the response's object at its beginning; ids are made of ``stream``. ``lead`` is
    called with the answer at its first token."""

    def __init__(self, blank: dict[str, Any], stream: str, lead: Callable[[Answer], None] | None = None):
        self._answer = Answer(blank)
        self._blank = blank
        self._stream = stream
        self._lead = lead
        self._current: Item | None = None
        """The message or the reasoning that is open."""
        self._calls: dict[int, Item] = {}
        self._count = 0
        self._usage: Usage | None = None
        self._finish: FinishKind | None = None
        self._begun = self._ended = False

    @classmethod
    def in_the_middle(cls, answer: Answer, stream: str) -> ResponsesWriter:
        """A writer that goes on with an answer which somebody else has begun."""
        writer = cls({}, stream)
        writer._answer, writer._begun = answer, True
        messages = [item for item in answer.open.values() if item.kind == "message"]
        writer._current = messages[-1] if messages else None
        writer._count = 1 + max((*answer.open, *answer.items), default=-1)
        return writer

    def write(self, events: tuple[Event, ...]) -> bytes:
        """Events of this wire for these."""
        if len(events) == 1 and type(events[0]) is Text and self._lead is None:
            # Nearly all: one delta of the text that is open.
            event, item = events[0], self._current
            part = item.part if item is not None and event.choice == 0 and self._finish is None else None
            if item is not None and part is not None and part.kind == "output_text" and not self._ended:
                return self._answer.delta(item, event.text)
        return b"".join(self._write(event) for event in events)

    def end(self) -> bytes:
        """What is still open is closed; the terminal event."""
        if self._ended:
            return b""
        out = self._begin() + self._close(self._finish or "stop")
        self._ended = True
        if self._finish == "error":
            error = {"code": "server_error", "message": "the provider ended its answer with an error"}
            usage = None if self._usage is None else usage_object(self._usage)
            failed = self._answer.with_status("failed", error=error, usage=usage)
            return out + self._answer.event("response.failed", response=failed)
        reason = _REASONS.get(self._finish or "stop")
        return out + self._answer.end("incomplete" if reason else "completed", self._usage, reason=reason)

    def stop(self) -> bytes:
        """The same for an answer that was stopped; a call that is not whole is left out of it."""
        if self._ended:
            return b""
        if self._finish is not None:
            return self.end()
        out = self._begin()
        self._ended = True
        return out + self._answer.stop(self._usage)

    def _write(self, event: Event) -> bytes:
        if isinstance(event, UsageReport):
            self._usage = (self._usage or Usage()).overwritten_by(event.usage)
            return b""
        if self._ended or self._finish is not None or getattr(event, "choice", 0) != 0:
            return b""
        if isinstance(event, Start):
            if not self._begun:
                self._blank["model"] = event.model or self._blank["model"]
                self._blank["created_at"] = event.created or self._blank["created_at"]
            return self._begin()
        if isinstance(event, Finish):
            self._finish = event.kind
            return self._begin() + self._close(event.kind)
        out = self._content(event)
        if event.token and self._lead is not None:
            self._lead(self._answer)
            self._lead = None
        return out

    def _content(self, event: Event) -> bytes:
        if isinstance(event, Text):
            return self._text("message", "output_text", event.text)
        if isinstance(event, Refusal):
            return self._text("message", "refusal", event.text)
        if isinstance(event, Reasoning):
            return self._text("reasoning", "summary_text", event.text)
        if isinstance(event, ReasoningSeal):
            return self._seal(event)
        if isinstance(event, ToolArguments):
            return self._call(event)
        if isinstance(event, Annotation) and event.url:
            return self._cite(event)
        return b""

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        answer = self._answer
        return answer.event("response.created", response=self._blank) + answer.event(
            "response.in_progress", response=self._blank
        )

    def _item(self, kind: str, **fields: Any) -> tuple[bytes, Item]:
        index, self._count = self._count, self._count + 1
        ident = f"{_PREFIXES[kind]}_{self._stream}_{index}"
        item = Item(kind, ident, index, {"id": ident, "type": kind, **fields})
        return self._begin() + self._answer.add(item), item

    def _text(self, item_kind: str, part_kind: str, text: str) -> bytes:
        out, answer, item = b"", self._answer, self._current
        if item is None or item.kind != item_kind:
            out = self._leave()
            more: dict[str, Any] = {"summary": []}
            if item_kind == "message":
                more = {"role": "assistant", "status": "in_progress", "content": []}
            opening, item = self._item(item_kind, **more)
            self._current = item
            out += opening
        if item.part is None or item.part.kind != part_kind:
            out += answer.close_part(item) + answer.open_part(item, part_kind)
        return out + answer.delta(item, text)

    def _leave(self, status: str = "completed") -> bytes:
        item, self._current = self._current, None
        return b"" if item is None else self._answer.close(item, status)

    def _seal(self, event: ReasoningSeal) -> bytes:
        out, item = b"", self._current
        if event.redacted or item is None or item.kind != "reasoning":
            out = self._leave()
            opening, self._current = self._item("reasoning", summary=[])
            item, out = self._current, out + opening
        assert isinstance(item.fields, dict)
        item.fields["encrypted_content"] = REDACTED + event.signature if event.redacted else event.signature
        return out + self._leave()

    def _call(self, event: ToolArguments) -> bytes:
        out, item = b"", self._calls.get(event.call)
        if item is None:
            out = self._leave()
            call = event.id or f"call_{self._stream}_{event.call}"
            opening, item = self._item(
                "function_call", call_id=call, name=event.name, arguments="", status="in_progress"
            )
            self._calls[event.call] = item
            out += opening
        if event.signature and isinstance(item.fields, dict):
            item.fields["extra_content"] = {"google": {"thought_signature": event.signature}}
        return out + self._answer.arguments(item, event.arguments) if event.arguments else out

    def _cite(self, event: Annotation) -> bytes:
        item = self._current
        if item is None or item.part is None or item.part.kind != "output_text":
            return b""
        length = sum(len(piece) for piece in item.part.pieces)
        citation = {"type": "url_citation", "url": event.url, "title": event.title}
        start, end = event.start or 0, length if event.end is None else event.end
        return self._answer.annotate(item, {**citation, "start_index": start, "end_index": end})

    def _close(self, finish: FinishKind) -> bytes:
        """Everything that is open. What an answer that was cut short left in the middle is ``incomplete``."""
        status = "incomplete" if finish in _REASONS else "completed"
        out = self._leave(status)
        for item in self._calls.values():
            if item.index not in self._answer.open or finish == "error":
                continue
            if status == "completed" and not item.arguments:
                out += self._answer.arguments(item, "{}")
            out += self._answer.close(item, status)
        return out
