"""gemini, upstream side: frames of a provider to events (wire-formats.md §6).

A stream comes as server-sent events or as one JSON array; which one its first character says. The decoder reads a
copy and hands the frame's own bytes on; every mending is listed at `GeminiDecoder.decode`.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from penstock.events import ErrorReport, Event, Heartbeat, Malformed, Opaque, Start, Text, UsageReport
from penstock.framing import sse
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Decoded
from penstock.wire.filling import Likeness
from penstock.wire.gemini_candidate import CandidateReader, OutOfOrder
from penstock.wire.gemini_chunk import CHUNK, COUNTS, KINDS, TEXT_CHUNK, Chunk, block_word, compact, read_usage
from penstock.wire.gemini_errors import error_report

_HEARTBEAT: tuple[Event, ...] = (Heartbeat(),)
_OPAQUE: tuple[Event, ...] = (Opaque(),)
_SPACE = b" \t\r\n"


class Client(Protocol):
    """What the decoder needs to know of a client of this wire."""

    array: bool
    """It wants the JSON array."""
    begun: bool
    """Elements of the array were given to it. The decoder says so, with the first output."""


class GeminiDecoder:
    """Turns the frames of one answer into events and remembers what completeness needs.

    ``client``: of this wire; None when the answer is told in another.
    """

    alike = Likeness((COUNTS,))

    marked = False
    """This wire has no end marker: the body's own end is it."""

    def __init__(self, client: Client | None):
        self._client = client
        self._array: bool | None = None
        """The provider sends an array; None before the first frame."""
        self._closed = False
        """The array is closed."""
        self._unopened = False
        """The element with the opening bracket was left out, and none was handed on since."""
        self._elements = 0
        """Elements written to a client that wants an array where the provider sends none."""
        self._started = False
        self._id = ""
        self._candidates: dict[int, CandidateReader] = {}
        self._reported_output = False
        self._cut = False
        self.failed = False
        """The provider reported an error: nothing that follows makes the answer complete."""

    # -- frames ---------------------------------------------------------------------------------------------------

    def decode(self, frame: bytes) -> Decoded:
        """The bytes to hand on (None: nothing) and the events of one frame. Mended are, and only are:

        * server-sent events of any form but one line ``data: {…}``: comments, ``id``, ``event``, ``retry``, ``data:``
          without its space, JSON on several lines, ``[DONE]``: google-genai raises on each (§1.4, §9.6); so it does on
          U+0085, U+2028 and U+2029 in a text, which are escaped;
        * a stream of the other form than the client asked for: each chunk is put in the client's form;
        * errors, which the client's session tells anew. A finish that is an error (G2) goes on as it is, and the error
          follows it.
        """
        if self._array is None:
            self._array = frame.lstrip(_SPACE)[:1] == b"["
        if self._array:
            return self._element(frame)
        payload = _usual(frame)
        if payload is not None:
            said = self._only_text(frame, payload) if self._started else None
            if said is not None:
                return frame, said
            try:
                chunk = CHUNK.decode(payload)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return self._block(frame)
            return self._chunk(frame, payload, chunk)
        return self._block(frame)

    def _block(self, frame: bytes) -> Decoded:
        block = sse.parse(frame)
        data = block.data
        if data is None:
            report = _error_in(frame) if block.unknown else None
            if report is not None:
                self.failed = True
                return None, (report,)
            blank = not frame.strip(_SPACE) and self._wants(array=False)
            return (frame if blank else None), (_OPAQUE if block.unknown else _HEARTBEAT)
        if not data.strip(_SPACE) or data.startswith(b"[DONE]"):
            return None, _OPAQUE
        return self._read(frame, data, usual=_usual(frame) is not None)

    def _element(self, frame: bytes) -> Decoded:
        data = frame.strip(_SPACE)
        if data[:1] in (b"[", b","):
            data = data[1:].lstrip(_SPACE)
        if data != b"]":
            decoded = self._read(frame, data, usual=True)
            return decoded if decoded[0] is not None and not self._unopened else self._opened(frame, *decoded)
        self._closed = True
        failure = self._failure()
        if failure is not None:
            return None, (failure,)
        # Where an answer that has begun is not finished, an error follows and closes the client's list.
        over = self.finished or not self._candidates
        return (frame if over and self._wants(array=True) else None), ()

    def _opened(self, frame: bytes, handed_on: bytes | None, events: tuple[Event, ...]) -> Decoded:
        """Where the element that opens the list is left out, the next one opens it."""
        if handed_on is None:
            self._unopened = self._unopened or frame.lstrip(_SPACE)[:1] == b"["
        elif self._wants(array=True):
            self._unopened = False
            handed_on = b"[" + frame.lstrip(_SPACE).removeprefix(b",").lstrip(_SPACE)
        return handed_on, events

    def _read(self, frame: bytes, data: bytes, *, usual: bool) -> Decoded:
        try:
            chunk = json.decode_as(CHUNK, Chunk, data)
        except msgspec.ValidationError:
            value = json.loads(data)
            report = error_report(value)
            if report is not None:
                self.failed = True
                return None, (report,)
            if not isinstance(value, dict):
                return None, (Malformed("its data is JSON but no object"),)
            return self._handed_on(frame, data, usual=usual), _OPAQUE
        except ValueError:
            return None, (Malformed("its data is not JSON"),)
        return self._chunk(frame, data, chunk, usual=usual)

    def _wants(self, *, array: bool) -> bool:
        return self._client is None or self._client.array is array

    def _handed_on(self, frame: bytes, data: bytes, *, usual: bool = True) -> bytes:
        """The frame as it is, or its data in the client's form."""
        if usual and self._wants(array=bool(self._array)):
            return frame if self._array else json.one_line(frame)
        line = compact(data)
        if self._client is None or not self._client.array:
            return b"data: " + json.one_line(line) + b"\r\n\r\n"
        self._elements += 1
        return (b"[" if self._elements == 1 else b",\r\n") + line

    # -- what a chunk means ---------------------------------------------------------------------------------------

    def _chunk(self, frame: bytes, data: bytes, chunk: Chunk, *, usual: bool = True) -> Decoded:
        if chunk.error:
            report = error_report(json.loads(data))
            if report is not None:
                self.failed = True
                return None, (report,)
        events: list[Event] = []
        if not self._started and (chunk.response_id or chunk.model_version):
            self._started = True
            self._id = chunk.response_id or ""
            events.append(Start(self._id, chunk.model_version or ""))
        candidates = chunk.candidates
        if candidates:
            try:
                for candidate in candidates:
                    self._candidate(candidate.index or 0).read(candidate, self._id, events)
            except OutOfOrder as error:
                self.failed = True
                return None, (ErrorReport(str(error)),)
        blocked = block_word(chunk.prompt_feedback)
        if blocked:
            self._candidate(0).block(blocked, events)
        if chunk.usage_metadata is not None:
            usage = read_usage(chunk.usage_metadata)
            if usage is not None:
                events.append(UsageReport(usage, alone=not candidates))
                self._reported_output = self._reported_output or bool(usage.output)
        client = self._client
        if client is not None and not client.begun and any(event.token for event in events):
            client.begun = True
        return self._handed_on(frame, data, usual=usual), tuple(events) if events else _OPAQUE

    def _only_text(self, frame: bytes, payload: bytes) -> tuple[Event, ...] | None:
        """The events of a frame that is one piece of text and perhaps the usage so far, as nearly all are in the middle
        of an answer; None for the others, and for those that do not go on as they are."""
        client = self._client
        if client is not None and (client.array or not client.begun):
            return None
        try:
            chunk = TEXT_CHUNK.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        candidate = chunk.candidates[0]
        reader = self._candidates.get(candidate.index)
        text = candidate.content.parts[0].text
        if reader is None or reader.finish or not text or not (frame.isascii() and text.isascii()):
            return None
        usage = None if chunk.usage_metadata is None else read_usage(chunk.usage_metadata)
        if usage is None:
            return (Text(text, candidate.index),)
        if usage.output:
            self._reported_output = True
        return Text(text, candidate.index), UsageReport(usage)

    def _candidate(self, index: int) -> CandidateReader:
        reader = self._candidates.get(index)
        if reader is None:
            reader = self._candidates[index] = CandidateReader(index, strict=self._client is None)
        return reader

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self, rest: bytes) -> Decoded:
        """The end of the stream with ``rest``, the bytes after its last whole frame.

        An event that is whole but for its blank line counts and gets the blank line (E10); a bare error is one (D4,
        recording 011); anything else is half a frame. Here a finish that is an error becomes an error.
        """
        bytes_on, events = self._last(rest)
        failure = None if self.failed else self._failure()
        return (None, (failure,)) if failure is not None else (bytes_on, events)

    def _last(self, rest: bytes) -> Decoded:
        if not rest.strip(_SPACE):
            return (rest if rest and self._wants(array=bool(self._array)) else None), ()
        report = _error_in(rest)
        if report is not None:
            self.failed = True
            return None, (report,)
        if not self._array:
            data = sse.parse(rest).data
            if data is not None and (data.startswith(b"[DONE]") or _is_json(data)):
                return self.decode(rest.rstrip(b"\r\n") + b"\r\n\r\n")
        self._cut = not self._closed
        return None, (Malformed("bytes follow the array" if self._closed else "the stream ends inside a frame"),)

    def _failure(self) -> ErrorReport | None:
        """The error that a candidate's last finish is. A reason that nobody knows is one too where it would have to
        be told in other words."""
        for reader in self._candidates.values():
            if self._went_wrong(reader):
                self.failed = True
                said = f": {reader.finish_message}" if reader.finish_message else ""
                message = f"the model stopped with {reader.finish}{said}; the answer is of no use, try again"
                return ErrorReport(message, code=reader.finish)
        return None

    def _went_wrong(self, reader: CandidateReader) -> bool:
        return bool(reader.finish) and reader.kind == "error" and (reader.finish in KINDS or self._client is None)

    def incomplete(self, *, clean: bool) -> str | None:
        """Why the answer is not complete at this end of the stream, or None when it is (wire-formats.md §9.4).

        Complete: every candidate seen has its finish, or the prompt was blocked; an array is closed; and the body ended
        cleanly, for nothing but the transfer coding says that no more was to come. A closed array says it itself.
        """
        if self.failed:
            return "the provider reported an error"
        if self._cut:
            return "the stream ended inside a frame"
        if not self.finished:
            return "the stream ended before the answer was finished"
        if self._array:
            return None if self._closed else "the stream ended before its array was closed"
        return None if clean else "the connection broke before the end of the body"

    def ending(self) -> bytes:
        """The closing bracket, where the client wants one and the provider sent none."""
        client = self._client
        if client is None or not client.array or self._closed:
            return b""
        return b"\r\n]" if self._array or self._elements else b"[]"

    def stop(self, usage: Usage | None = None) -> bytes:
        """Nothing: the session knows all that it takes."""
        return b""

    def oddities(self) -> list[str]:
        """What was tolerated in a complete answer: words for its log line."""
        odd = []
        if any(reader.finish not in KINDS and reader.kind == "error" for reader in self._candidates.values()):
            odd.append("unknown_finish")
        if self._array and not self._closed:
            odd.append("array_not_closed")
        return odd

    @property
    def finished(self) -> bool:
        """Every candidate seen has its finish, and none failed."""
        readers = self._candidates.values()
        return bool(readers) and all(reader.finish and not self._went_wrong(reader) for reader in readers)

    @property
    def empty_is_right(self) -> bool:
        """An answer without output is what the provider meant: it says so by its finish or by its usage."""
        kinds = [reader.kind for reader in self._candidates.values() if reader.finish]
        return self._reported_output or "length" in kinds or "content_filter" in kinds


def _usual(frame: bytes) -> bytes | None:
    """The data of a frame that is one line ``data: …`` and a blank one, else None."""
    if frame[:6] != b"data: ":
        return None
    if frame[-4:] == b"\r\n\r\n":
        return frame[6:-4] if frame.find(b"\n") == len(frame) - 3 else None
    return frame[6:-2] if frame[-2:] == b"\n\n" and frame.find(b"\n") == len(frame) - 2 else None


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _error_in(text: bytes) -> ErrorReport | None:
    """An error written into the stream without a ``data`` field."""
    try:
        return error_report(json.loads(text.strip(_SPACE).lstrip(b",")))
    except ValueError:
        return None
