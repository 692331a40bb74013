"""Streams to test with: recordings of real providers, where they are at hand, and composed examples, which always are.

The recordings are not part of the repository. They are looked for in ``PENSTOCK_CORPUS`` and in ``../shared/corpus``
beside the repository: a folder with an ``index.jsonl``, one row for each file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

MISSING = (
    "recordings not found: set PENSTOCK_CORPUS to the folder that holds their index.jsonl; "
    "the composed examples in tests/examples still ran"
)
REPOSITORY = Path(__file__).resolve().parents[3]


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the index. ``ends_with`` is ``done``, ``stop``, ``error`` or ``truncated``."""

    file: str
    kind: str
    wire: str
    api: str | None = None
    framing: str = ""
    provider: str = ""
    status: int | None = None
    content_type: str | None = None
    ends_with: str | None = None
    has_usage: bool = False
    has_error: bool = False
    has_tool_calls: bool = False
    events: int | None = None
    model: str | None = None
    request: dict[str, Any] | None = None
    """What was asked, where the recorder kept it."""
    size: int = msgspec.field(default=0, name="bytes")

    def __hash__(self) -> int:
        return hash(self.file)

    def read(self) -> bytes:
        """The body as it was recorded."""
        root = corpus()
        assert root is not None, MISSING
        return (root / self.file).read_bytes()


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A composed stream and what is to come of it, at a client that asked for usage."""

    file: str
    outcome: str
    note: str
    identical: bool
    """The client gets the very bytes."""
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    usage: dict[str, Any] | None = None
    tools: list[tuple[str, str]] = []
    oddities: list[str] = []
    malformed: int = 0
    wire: str = ""

    def read(self) -> bytes:
        """Its bytes."""
        return (examples_folder() / self.wire / self.file).read_bytes()


@cache
def corpus() -> Path | None:
    """The folder of the recordings, or None."""
    named = os.environ.get("PENSTOCK_CORPUS")
    for folder in [Path(named)] if named else [REPOSITORY.parent / "shared" / "corpus"]:
        if (folder / "index.jsonl").is_file():
            return folder
    return None


def recordings(wanted: Callable[[Recording], bool] = lambda recording: True) -> list[Recording]:
    """The recordings that are wanted, in the order of the index; none where there are none (see `MISSING`)."""
    root = corpus()
    if root is None:
        return []
    rows = [msgspec.json.decode(line, type=Recording) for line in (root / "index.jsonl").read_bytes().splitlines()]
    return [row for row in rows if wanted(row)]


def examples_folder() -> Path:
    """Where the composed examples are: in a checkout of the repository."""
    return REPOSITORY / "tests" / "examples"


def examples(wire: str) -> list[Example]:
    """The composed examples of a wire."""
    index = (examples_folder() / wire / "index.jsonl").read_bytes()
    rows = [msgspec.json.decode(line, type=Example) for line in index.splitlines()]
    return [msgspec.structs.replace(row, wire=wire) for row in rows]


CHAT = frozenset(
    {"azure-openai", "mistral", "groq", "openrouter", "deepseek", "xai", "ollama", "huggingface-tgi", "other"}
)


def is_openai_chat(recording: Recording) -> bool:
    """The recording is a stream of openai-chat or of one of its dialects."""
    if recording.kind != "stream" or recording.framing != "sse":
        return False
    return recording.wire == "openai-chat" or (recording.api == "chat" and recording.wire in CHAT)
