"""Tapes: recorded streams with their own timing, and the server that plays one for every request.

A tape is JSON lines: ``{"tape":1,"status":200,"headers":{…}}``, then ``{"t":0.25,"data":"text"}`` or
``{"t":0.25,"base64":"…"}`` for each read of the body (``t`` in seconds since the start), and last
``{"t":1.5,"end":"clean"}`` (or ``cut``, ``reset``). A plain ``.sse`` or ``.ndjson`` file is a tape too: its frames come
at a fixed gap.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import re
import ssl as tls
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from penstock.errors import PenstockError
from penstock.sim.folder import CONTENT_TYPES, ENDS, frames_of
from penstock.sim.player import Record
from penstock.sim.reply import error_body, head, whole
from penstock.sim.server import Server
from penstock.sim.steps import DATA, GRACE, HEAD, Play, Step

DEFAULT_GAP = 0.02
# The replayer frames and delimits the body itself.
_OWN_HEADERS = {"connection", "content-length", "keep-alive", "trailer", "transfer-encoding", "upgrade"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class TapeError(PenstockError):
    """A tape cannot be read; the text is one line with the file and the line's number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tape:
    """A recorded response. ``events``: seconds since the start and bytes, in order; ``end`` is a key of ``ENDS``."""

    status: int
    headers: list[tuple[str, str]]
    events: list[tuple[float, bytes]]
    end: str
    end_at: float

    def steps(self, speed: float = 1.0) -> Iterator[Step]:
        """The tape as a script, ``speed`` times as fast."""
        yield 0.0, head(self.status, [*self.headers, ("transfer-encoding", "chunked")]), HEAD, 0
        before = 0.0
        for at, data in self.events:
            yield (at - before) / speed, data, DATA, 0
            before = at
        wait = (self.end_at - before) / speed
        yield (wait if self.end == "clean" else max(wait, GRACE)), b"", ENDS[self.end], 0


class Replay(Server):
    """Plays ``tape`` for every POST, whatever its path."""

    def __init__(
        self,
        tape: Tape,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        speed: float = 1.0,
        ssl: tls.SSLContext | None = None,
    ):
        super().__init__(host, port, ssl=ssl)
        self._tape = tape
        self._speed = speed

    def answer(self, record: Record) -> Play:
        if record.method != "POST":
            return whole(405, error_body("the tape plays for POST, to any path", 405), [("allow", "POST")])
        return Play(self._tape.steps(self._speed), spread=True)


def load_tape(path: Path, gap: float = DEFAULT_GAP) -> Tape:
    """Read a tape; ``gap`` (seconds) paces a plain recording. Raises TapeError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = f"{error.strerror}; name a recording, or a plain .sse or .ndjson file"
        raise TapeError(f"{path}: cannot be read: {reason}") from error
    if path.suffix in (".sse", ".ndjson"):
        frames = frames_of(data, path.suffix)
        events = [(place * gap, frame) for place, frame in enumerate(frames)]
        return Tape(200, [("content-type", CONTENT_TYPES[path.suffix])], events, "clean", max(0, len(frames) - 1) * gap)
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise TapeError(f'{path}, line 1: the tape is empty; it starts with {{"tape":1,"status":200,"headers":{{}}}}')
    reader = _Reader()
    for number, line in lines:
        try:
            reader.feed(line)
        except ValueError as error:
            raise TapeError(f"{path}, line {number}: {error}") from error
    if reader.tape is None:
        raise TapeError(f'{path}, line {lines[-1][0]}: the last line must say how it ended: {{"t":…,"end":"clean"}}')
    return reader.tape


class _Reader:
    """A tape line by line; a bad line raises ValueError."""

    def __init__(self) -> None:
        self.tape: Tape | None = None
        self._head: tuple[int, list[tuple[str, str]]] | None = None
        self._events: list[tuple[float, bytes]] = []
        self._at = 0.0

    def feed(self, line: bytes) -> None:
        try:
            item = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"not JSON: {error}") from error
        if not isinstance(item, dict):
            raise ValueError("must be a JSON object")
        if self._head is None:
            self._head = _head_of(item)
            return
        if self.tape is not None:
            raise ValueError("comes after the end of the tape")
        at = item.get("t")
        if not isinstance(at, int | float) or isinstance(at, bool) or at < self._at:
            raise ValueError(f"t must be a number of seconds, not below {self._at:g} of the line before")
        self._at = float(at)
        if "end" in item:
            if item["end"] not in ENDS:
                raise ValueError(f"end must be one of {', '.join(ENDS)}")
            self.tape = Tape(*self._head, self._events, item["end"], self._at)
        elif body := _body_of(item):
            self._events.append((self._at, body))


def _head_of(item: dict[str, Any]) -> tuple[int, list[tuple[str, str]]]:
    if item.get("tape") != 1:
        raise ValueError('the first line must be {"tape":1,"status":200,"headers":{…}}')
    status, headers = item.get("status", 200), item.get("headers", {})
    if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
        raise ValueError("status must be a whole number from 200 to 599")
    if not isinstance(headers, dict) or not all(_is_header(name, value) for name, value in headers.items()):
        raise ValueError("headers must be an object of header names and texts")
    return status, [(name, value) for name, value in headers.items() if name.lower() not in _OWN_HEADERS]


def _is_header(name: str, value: Any) -> bool:
    return bool(_TOKEN.fullmatch(name)) and isinstance(value, str) and not re.search(r"[\r\n\0]", value)


def _body_of(item: dict[str, Any]) -> bytes:
    text, coded = item.get("data"), item.get("base64")
    if isinstance(text, str) and coded is None:
        return text.encode()
    if isinstance(coded, str) and text is None:
        try:
            return base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"base64 is not valid: {error}") from error
    raise ValueError("must hold one of data (text), base64 (text) or end")
