"""A folder of recorded streams: ``tape:<path>`` models play a file's bytes, cut as the options say."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from penstock.errors import PenstockError
from penstock.sim.options import Reader, choice, duration, read_options, whole
from penstock.sim.reply import stream_head
from penstock.sim.steps import DATA, DROP, END, GRACE, HEAD, RESET, Play, Step

CONTENT_TYPES = {
    ".sse": "text/event-stream; charset=utf-8",
    ".ndjson": "application/x-ndjson",
    ".json": "application/json",
    ".bin": "application/vnd.amazon.eventstream",
}
ENDS = {"clean": END, "cut": DROP, "reset": RESET}

_OPTIONS: dict[str, Reader] = {
    "cuts": whole(0, 1_000_000),
    "end": choice(*ENDS),
    "gap": duration,
    "seed": whole(0, 999_999_999),
    "split": whole(1, 1_000_000),
    "status": whole(200, 599),
}
_EVENT = re.compile(rb"(?<=\r\n\r\n)|(?<=\n\n)|(?<=\r\r)")
_LINE = re.compile(rb"(?<=\n)")


class NoSuchTape(PenstockError):
    """The folder holds no such file."""


class Folder:
    """Files below ``root``, and nothing outside of it."""

    def __init__(self, root: Path):
        self._root = root.resolve()

    def names(self) -> list[str]:
        """Paths of all recorded streams, relative, with ``/``."""
        files = (path for path in self._root.rglob("*") if path.suffix in CONTENT_TYPES and path.is_file())
        return sorted(path.relative_to(self._root).as_posix() for path in files)

    def find(self, name: str) -> Path:
        """The file of that name. Raises NoSuchTape, also for a path that leads out of the folder."""
        try:
            path = (self._root / name).resolve()
            if path.is_relative_to(self._root) and path.is_file():
                return path
        except (OSError, ValueError):
            pass
        raise NoSuchTape(f"tape {name!r} is not in the folder of recorded streams")

    def play(self, name: str, query: str, request_id: str) -> Play:
        """Answer with a file. Raises NoSuchTape or BadOption."""
        path = self.find(name)
        options = read_options(query, _OPTIONS)
        pieces = _pieces(path, options)
        head = stream_head(
            CONTENT_TYPES.get(path.suffix, "application/octet-stream"), request_id, options.get("status", 200)
        )
        cut = "split" in options or "cuts" in options
        return Play(_steps(head, pieces, options.get("gap", 0.0), ENDS[options.get("end", "clean")]), spread=cut)


def frames_of(data: bytes, suffix: str) -> list[bytes]:
    """The bytes of a recording cut after each SSE event or NDJSON line; joined they are ``data``."""
    if suffix == ".sse":
        parts = _EVENT.split(data)
    elif suffix == ".ndjson":
        parts = _LINE.split(data)
    else:
        parts = [data]
    return [part for part in parts if part]


def _pieces(path: Path, options: dict[str, Any]) -> list[bytes]:
    data = path.read_bytes()
    places: set[int] = set()
    if "split" in options:
        places.update(range(options["split"], len(data), options["split"]))
    if "cuts" in options and len(data) > 1:
        chance = random.Random(options.get("seed", 0))
        places.update(chance.sample(range(1, len(data)), min(options["cuts"], len(data) - 1)))
    if "split" not in options and "cuts" not in options:
        return frames_of(data, path.suffix) if options.get("gap") else [data] if data else []
    ends = [*sorted(places), len(data)]
    return [piece for start, end in zip([0, *ends], ends, strict=False) if (piece := data[start:end])]


def _steps(head: bytes, pieces: list[bytes], gap: float, end: int) -> Iterator[Step]:
    yield 0.0, head, HEAD, 0
    wait = 0.0
    for piece in pieces:
        yield wait, piece, DATA, 0
        wait = gap
    yield (0.0 if end == END else max(wait, GRACE)), b"", end, 0
