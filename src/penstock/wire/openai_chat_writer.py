"""openai-chat, written from events: for clients of this wire whose provider speaks another.

The order cannot go wrong: a choice's first delta has the role, nothing follows its finish, the usage chunk and
``[DONE]`` come once, at the end.
"""

from __future__ import annotations

from typing import Any

from penstock.events import (
    Annotation,
    Event,
    Finish,
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

_FINISH = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "pause": "stop",
    "error": "stop",
}


class ChatWriter:
    """See `base.Writer`. ``model`` and ``stream`` stand where the provider gives no model and no ids."""

    def __init__(self, model: str, stream: str, *, include_usage: bool, created: int = 0):
        self._model = model
        self._stream = stream
        self._id = f"chatcmpl-{stream}"
        self._created = created
        self._include_usage = include_usage
        self._usage: Usage | None = None
        self._begun: set[int] = set()
        self._finished: set[int] = set()
        self._thought: dict[int, str] = {}
        self._seals = 0
        self._citations: dict[int, int] = {}
        self._ended = False
        self._heads: dict[int, bytes] = {}
        """What a piece of text follows in a chunk, by choice: of choices that have begun and are not finished."""

    def write(self, events: tuple[Event, ...]) -> bytes:
        """Chunks for these events."""
        if len(events) == 1 and type(events[0]) is Text:
            # Nearly all: one delta of text.
            return self._text(events[0])
        return b"".join([self._text(event) if type(event) is Text else self._write(event) for event in events])

    def end(self) -> bytes:
        """The usage chunk, if it was asked for, and ``[DONE]``."""
        if self._ended:
            return b""
        self._ended = True
        out = b""
        if self._include_usage:
            out = self._frame({"choices": [], "usage": usage_object(self._usage or Usage())})
        return out + b"data: [DONE]\n\n"

    def stop(self) -> bytes:
        """A finish for every choice that is open, and the end."""
        open_choices = sorted((self._begun or {0}) - self._finished)
        return b"".join(self._finish(choice, "stop") for choice in open_choices) + self.end()

    def _text(self, event: Text) -> bytes:
        choice = event.choice
        head = self._heads.get(choice)
        if head is not None:
            return b'%b%b},"finish_reason":null}]}\n\n' % (head, json.dumps(event.text))
        out = self._write(event)
        if choice not in self._finished:
            self._heads[choice] = (
                b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,'
                b'"choices":[{"index":%d,"delta":{"content":'
            ) % (json.dumps(self._id), self._created, json.dumps(self._model), choice)
        return out

    def _write(self, event: Event) -> bytes:
        if isinstance(event, Start):
            self._heads.clear()
            self._id = event.id or self._id
            self._model = event.model or self._model
            self._created = event.created or self._created
            return self._delta(0, {})
        if isinstance(event, UsageReport):
            self._usage = (self._usage or Usage()).overwritten_by(event.usage)
            return b""
        if isinstance(event, Finish):
            return b"" if event.choice in self._finished else self._finish(event.choice, _FINISH[event.kind])
        delta = self._content(event)
        return b"" if delta is None else self._delta(getattr(event, "choice", 0), delta)

    def _content(self, event: Event) -> dict[str, Any] | None:
        if isinstance(event, Text):
            return {"content": event.text}
        if isinstance(event, Reasoning):
            self._thought[event.choice] = self._thought.get(event.choice, "") + event.text
            return {"reasoning_content": event.text}
        if isinstance(event, ReasoningSeal):
            return {"reasoning_details": [self._seal(event)]}
        if isinstance(event, Refusal):
            return {"refusal": event.text}
        if isinstance(event, ToolArguments):
            return {"tool_calls": [_tool_call(event, f"call_{self._stream}_{event.call}")]}
        if isinstance(event, Annotation) and event.url:
            citation: dict[str, Any] = {"url": event.url, "title": event.title}
            if event.start is not None and event.end is not None:
                citation |= {"start_index": event.start, "end_index": event.end}
            # OpenAI's SDK puts pieces of a list together by their ``index``, and raises where there is none.
            index = self._citations.get(event.choice, 0)
            self._citations[event.choice] = index + 1
            return {"annotations": [{"index": index, "type": "url_citation", "url_citation": citation}]}
        return None

    def _seal(self, event: ReasoningSeal) -> dict[str, Any]:
        """Reasoning with its signature, in the shape that OpenRouter's clients send back."""
        index, self._seals = self._seals, self._seals + 1
        if event.redacted:
            return {"type": "reasoning.encrypted", "data": event.signature, "index": index}
        text = self._thought.pop(event.choice, "")
        return {"type": "reasoning.text", "text": text, "signature": event.signature, "index": index}

    def _delta(self, choice: int, delta: dict[str, Any]) -> bytes:
        if choice in self._finished:
            return b""
        if choice not in self._begun:
            self._begun.add(choice)
            delta = {"role": "assistant", "content": "", **delta} if not delta else {"role": "assistant", **delta}
        elif not delta:
            return b""
        return self._frame({"choices": [{"index": choice, "delta": delta, "finish_reason": None}]})

    def _finish(self, choice: int, reason: str) -> bytes:
        opening = b"" if choice in self._begun else self._delta(choice, {})
        self._finished.add(choice)
        self._heads.pop(choice, None)
        return opening + self._frame({"choices": [{"index": choice, "delta": {}, "finish_reason": reason}]})

    def _frame(self, fields: dict[str, Any]) -> bytes:
        top = {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model}
        return b"data: " + json.dumps(top | fields) + b"\n\n"


def _tool_call(event: ToolArguments, ident: str) -> dict[str, Any]:
    """A fragment of a call. ``ident`` names a call to which its provider gives no id."""
    call: dict[str, Any] = {"index": event.call}
    function: dict[str, Any] = {"arguments": event.arguments}
    if event.name:
        call |= {"id": event.id or ident, "type": "function"}
        function = {"name": event.name, "arguments": event.arguments}
    if event.signature:
        call["extra_content"] = {"google": {"thought_signature": event.signature}}
    return call | {"function": function}


def usage_object(usage: Usage) -> dict[str, Any]:
    """Canonical usage in OpenAI's words: cached tokens inside the prompt's, reasoning inside the completion's."""
    prompt = (usage.input or 0) + (usage.cache_read or 0) + (usage.cache_write or 0)
    completion = (usage.output or 0) + (usage.reasoning or 0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
    }
