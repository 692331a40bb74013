"""Lists of words in files: one entry a line; empty lines and those that begin with ``#`` do not count."""

from __future__ import annotations

from pathlib import Path

from penstock.errors import PenstockError
from penstock.stages.moderate.words import LONGEST


class ListError(PenstockError):
    """A list that cannot be used."""


def read_words(path: str) -> list[str]:
    """The words of a file. Raises ListError."""
    try:
        text = Path(path).read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ListError(f"the list {path} cannot be read: {reason}") from None
    words = []
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        if len(word) > LONGEST:
            raise ListError(f"the list {path} has an entry of more than {LONGEST} characters in line {number}")
        words.append(word)
    if not words:
        raise ListError(f"the list {path} is empty")
    return words
