"""gemini: what one candidate has said so far, and the events of what it says next."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock.events import (
    Annotation,
    Event,
    Finish,
    FinishKind,
    Internal,
    Media,
    Reasoning,
    ReasoningSeal,
    Text,
    ToolArguments,
)
from penstock.wire import json
from penstock.wire.gemini_arguments import ArgumentPieces
from penstock.wire.gemini_chunk import KINDS, Call, Candidate, Part, compact, finish_word

_NOTHING = msgspec.Raw(b"")
_NULL = msgspec.Raw(b"null")


class OutOfOrder(ValueError):
    """The pieces of a tool call's arguments make no JSON."""


class CandidateReader:
    """Reads one candidate. ``strict``: its tool calls must make sense, since they are told in other words."""

    def __init__(self, index: int, *, strict: bool):
        self._index = index
        self._strict = strict
        self._calls = 0
        self._pieces: ArgumentPieces | None = None
        self._plain = True
        """The text so far is ASCII: offsets in bytes are offsets in characters."""
        self._cited: set[tuple[object, ...]] = set()
        self.finish = ""
        """The finish reason, empty while there is none. Output that follows a finish takes it back (recording 005)."""
        self.kind: FinishKind = "stop"
        self.finish_message = ""

    def read(self, said: Candidate, response: str, events: list[Event]) -> None:
        """Append the events of one chunk's candidate. ``response`` is the answer's id. Raises OutOfOrder."""
        parts = said.content.parts if said.content is not None else None
        if parts:
            for part in parts:
                self._part(part, response, events)
            if self.finish and any(part.text != "" for part in parts):
                self.finish = ""
        if said.citation_metadata:
            self._citations(said.citation_metadata, events)
        if said.grounding_metadata:
            self._grounding(said.grounding_metadata, events)
        reason = finish_word(said.finish_reason)
        if reason:
            self._finish(reason, said.finish_message or "", events)

    def block(self, reason: str, events: list[Event]) -> None:
        """The prompt was blocked, and with it this candidate."""
        self.finish, self.kind = reason, "content_filter"
        events.append(Finish(reason, self._index, kind="content_filter"))

    def _finish(self, reason: str, message: str, events: list[Event]) -> None:
        if self._pieces is not None:
            self._call_piece(self._pieces.close(), events)
            self._pieces = None
        kind = KINDS.get(reason, "error")
        if kind == "stop" and self._calls:
            kind = "tool_calls"
        again = (reason, kind) == (self.finish, self.kind)
        self.finish, self.kind, self.finish_message = reason, kind, message
        events.append(Finish(reason, self._index, again=again, kind=kind))

    def _part(self, part: Part, response: str, events: list[Event]) -> None:
        call, signature, text = part.function_call, part.thought_signature, part.text
        if text:
            if part.thought:
                events.append(Reasoning(text, self._index))
            else:
                self._plain = self._plain and text.isascii()
                events.append(Text(text, self._index))
        elif call is not None:
            self._call(call, signature or "", response, events)
            return
        elif part.inline_data not in (_NOTHING, _NULL):
            events.append(Media(choice=self._index))
        elif part.executable_code and part.executable_code.get("code"):
            events.append(Internal(str(part.executable_code["code"]), self._index))
        elif part.tool_call:
            events.append(Internal(json.dumps(part.tool_call).decode(), self._index))
        if signature:
            events.append(ReasoningSeal(signature, choice=self._index))

    # -- tool calls -----------------------------------------------------------------------------------------------

    def _call(self, call: Call, signature: str, response: str, events: list[Event]) -> None:
        text = ""
        if call.name:
            if self._pieces is not None:
                # The call before it was never said to be over.
                self._call_piece(self._pieces.close(), events)
            self._pieces = ArgumentPieces()
            self._calls += 1
            if call.args not in (_NOTHING, _NULL):
                text, self._pieces = compact(bytes(call.args)).decode("utf-8", "replace"), None
        if self._pieces is not None:
            try:
                text += "".join(self._pieces.add(piece) for piece in call.partial_args or ())
            except ValueError as error:
                if self._strict:
                    raise OutOfOrder(str(error)) from None
            if not call.will_continue:
                text += self._pieces.close()
                self._pieces = None
        if call.name:
            ident = call.id or self._made_up(response)
            events.append(ToolArguments(self._calls - 1, ident, call.name, text, self._index, signature))
        else:
            self._call_piece(text, events)

    def _call_piece(self, text: str, events: list[Event]) -> None:
        if text:
            events.append(ToolArguments(self._calls - 1, arguments=text, choice=self._index))

    def _made_up(self, response: str) -> str:
        """An id for a call without one: no other call of any answer has it."""
        place = f"{self._index}_{self._calls - 1}" if self._index else f"{self._calls - 1}"
        return f"call_{re.sub(r'[^A-Za-z0-9_-]', '', response)}_{place}"

    # -- citations ------------------------------------------------------------------------------------------------

    def _citations(self, metadata: dict[str, Any], events: list[Event]) -> None:
        for source in _objects(metadata.get("citations") or metadata.get("citationSources")):
            self._cite(source, source.get("startIndex"), source.get("endIndex"), "", source, events)

    def _grounding(self, metadata: dict[str, Any], events: list[Event]) -> None:
        chunks = [_source(chunk) for chunk in _list(metadata.get("groundingChunks"))]
        supports = _objects(metadata.get("groundingSupports"))
        for support in supports:
            segment = support.get("segment")
            segment = segment if isinstance(segment, dict) else {}
            start, end, cited = segment.get("startIndex", 0), segment.get("endIndex"), str(segment.get("text") or "")
            for number in _list(support.get("groundingChunkIndices")):
                if isinstance(number, int) and 0 <= number < len(chunks):
                    self._cite(chunks[number], start, end, cited, support, events)
        if not supports:
            for chunk in chunks:
                self._cite(chunk, None, None, "", chunk, events)

    def _cite(
        self, source: dict[str, Any], start: Any, end: Any, cited: str, native: dict[str, Any], events: list[Event]
    ) -> None:
        url, title = str(source.get("uri") or ""), str(source.get("title") or "")
        start, end = _offset(start), _offset(end)
        key = (url, start, end)
        if key in self._cited:
            return
        self._cited.add(key)
        # Offsets are in bytes: they say where only as long as a byte is a character.
        known = self._plain and start is not None and end is not None
        first, last = (start, end) if known else (None, None)
        events.append(Annotation(url, title, cited, first, last, native, self._index))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in _list(value) if isinstance(each, dict)]


def _offset(value: Any) -> int | None:
    return value if isinstance(value, int) else None


def _source(chunk: Any) -> dict[str, Any]:
    kinds = chunk.values() if isinstance(chunk, dict) else ()
    return next((kind for kind in kinds if isinstance(kind, dict)), {})
