"""ollama-chat, written from events: for clients of this wire whose provider speaks another.

The order cannot go wrong: there is one kind of line, the last of them has ``done: true``, and nothing follows it. Tool
calls go out whole, as this wire has them: with the answer's finish, since until then nobody knows that their arguments
are whole.
"""

from __future__ import annotations

from typing import Any

from penstock.events import Event, Finish, FinishKind, Reasoning, Refusal, Start, Text, ToolArguments, UsageReport
from penstock.usage import Usage
from penstock.wire import json

_DONE_REASONS: dict[FinishKind, str] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "tool_calls": "stop",
    "length": "length",
    "pause": "stop",
    # Words that Ollama itself does not use, rather than a success that was none.
    "content_filter": "content_filter",
    "error": "error",
}
INVALID = "_invalid_json"
"""The argument under which the model's words are where they are no JSON object: a call is not lost in silence, and no
tool takes it for what it wants."""


class OllamaWriter:
    """See `base.Writer`. ``model`` and ``stream`` stand where the provider gives no model and a call has no id.

    Only the first choice is written: this wire has one. Annotations, seals of reasoning and media have no place in it.
    """

    def __init__(self, model: str, stream: str, created: int = 0):
        self._model = model
        self._stream = stream
        self._created = created
        self._usage: Usage | None = None
        self._calls: dict[int, dict[str, str]] = {}
        self._finish: FinishKind | None = None
        self._ended = False
        self._head = b""
        """What a piece of text follows in its line, once it was needed."""

    def write(self, events: tuple[Event, ...]) -> bytes:
        """Lines for these events."""
        if len(events) == 1 and type(events[0]) is Text and self._finish is None and not self._ended:
            # Nearly all: one delta of text.
            return self._text(events[0])
        return b"".join(self._write(event) for event in events if getattr(event, "choice", 0) == 0)

    def end(self) -> bytes:
        """The last line, with the counters."""
        calls = self._tools(whole=False) if self._finish is None and not self._ended else b""
        return calls + self._over(_DONE_REASONS[self._finish or "stop"])

    def stop(self) -> bytes:
        """The same for an answer that was stopped: a call that is not whole is left out."""
        return self._over("stop")

    def _over(self, reason: str) -> bytes:
        if self._ended:
            return b""
        self._ended = True
        message = {"role": "assistant", "content": ""}
        return self._line({"message": message, "done": True, "done_reason": reason, **counters(self._usage)})

    def _text(self, event: Text) -> bytes:
        if event.choice or not event.text:
            return b""
        if not self._head:
            model, created = json.one_line(json.dumps(self._model)), timestamp(self._created).encode()
            head = b'{"model":%b,"created_at":"%b","message":{"role":"assistant","content":'
            self._head = head % (model, created)
        return b'%b%b},"done":false}\n' % (self._head, json.one_line(json.dumps(event.text)))

    def _write(self, event: Event) -> bytes:
        if self._ended:
            return b""
        if isinstance(event, UsageReport):
            self._usage = (self._usage or Usage()).overwritten_by(event.usage)
        elif isinstance(event, Start):
            self._model = event.model or self._model
            self._created = event.created or self._created
            self._head = b""
        elif self._finish is not None:
            pass
        elif isinstance(event, Finish):
            self._finish = event.kind
            return self._tools(whole=event.kind in ("stop", "stop_sequence", "tool_calls", "pause"))
        elif isinstance(event, Text | Refusal):
            return self._message({"content": event.text}) if event.text else b""
        elif isinstance(event, Reasoning):
            return self._message({"content": "", "thinking": event.text}) if event.text else b""
        elif isinstance(event, ToolArguments):
            call = self._calls.setdefault(event.call, {"id": "", "name": "", "arguments": ""})
            call["id"] = call["id"] or event.id
            call["name"] = call["name"] or event.name
            call["arguments"] += event.arguments
        return b""

    def _tools(self, *, whole: bool) -> bytes:
        """A line for each call. Where the answer was broken off, the last may be half: it is no call then (D11)."""
        calls = list(self._calls.values())
        if not whole and calls and not isinstance(_object(calls[-1]["arguments"]), dict):
            calls.pop()
        lines = []
        for number, call in enumerate(calls):
            arguments = _object(call["arguments"])
            function = {
                "index": number,
                "name": call["name"],
                "arguments": {INVALID: call["arguments"]} if arguments is None else arguments,
            }
            ident = call["id"] or f"call_{self._stream}_{number}"
            lines.append(self._message({"content": "", "tool_calls": [{"id": ident, "function": function}]}))
        return b"".join(lines)

    def _message(self, fields: dict[str, Any]) -> bytes:
        return self._line({"message": {"role": "assistant", **fields}, "done": False})

    def _line(self, fields: dict[str, Any]) -> bytes:
        return line({"model": self._model, "created_at": timestamp(self._created), **fields})


def line(fields: dict[str, Any]) -> bytes:
    """An object as a line that every client takes for one."""
    return json.one_line(json.dumps(fields)) + b"\n"


def counters(usage: Usage | None) -> dict[str, int]:
    """Canonical usage in Ollama's words: cached tokens inside the prompt's, reasoning inside the answer's. Durations
    are not known: 0. What is not known of the tokens is left out, as Ollama does."""
    usage = usage or Usage()
    prompt = [usage.input, usage.cache_read, usage.cache_write]
    answer = [usage.output, usage.reasoning]
    fields = {"total_duration": 0, "load_duration": 0}
    for name, counts in (("prompt_eval", prompt), ("eval", answer)):
        known = [count for count in counts if count is not None]
        if known:
            fields[f"{name}_count"] = sum(known)
        fields[f"{name}_duration"] = 0
    return fields


def timestamp(seconds: int) -> str:
    """Unix seconds as Ollama writes an instant; nobody knows it: 1970. (The proleptic calendar by Howard Hinnant's
    ``civil_from_days``: this floor has no clock and no calendar.)"""
    days, rest = divmod(seconds, 86400)
    era, of_era = divmod(days + 719468, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    year += era * 400 + (month <= 2)
    return f"{year:04}-{month:02}-{day:02}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


def _object(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return {}
    try:
        value = json.loads(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
