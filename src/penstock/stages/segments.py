"""Text that goes out by whole sentences or paragraphs, within caps: code and lists, which have neither, flow too."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from penstock.stages.contract import ChannelKind

Place = tuple[ChannelKind, int, int]

# Scripts that put a space behind a sentence need it seen ("3.14", "e.g."); full-width marks need none. A line's end
# ends a sentence too: headings and items of lists have no full stop.
_MARK = r"[.!?\u2026\u037e\u055c\u055e\u0589\u061f\u06d4\u0964\u0965\u1362\u1367\u17d4]"
_SENTENCE = re.compile(
    # A row of marks is tried once: from each of its marks on, it would take time by the square of its length.
    rf"{_MARK}(?<!{_MARK}{_MARK}){_MARK}*+"
    r"[\"'\u00bb\u201d\u2019)\]}\u203a]*+\s+"
    r"|[\u3002\uff01\uff1f\uff61]+[\"'\u300d\u300f\u201d\u2019\uff09]*"
    r"|[\n\u2028\u2029]+"
)
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n\s*|\u2029+")
_SPACE = re.compile(r"\s(?=\S*\Z)")


class Segmenting(msgspec.Struct, frozen=True):
    """``delay``: seconds that text may wait for its end; ``characters``: how much of it may."""

    unit: Literal["sentence", "paragraph"]
    delay: float = 2.0
    characters: int = 500


class Segments:
    """What waits, by channel."""

    def __init__(self, how: Segmenting):
        self._end = _SENTENCE if how.unit == "sentence" else _PARAGRAPH
        self._how = how
        self._waiting: dict[Place, str] = {}
        self._since: dict[Place, float] = {}

    @property
    def deadline(self) -> float | None:
        """When the first of it has waited long enough."""
        return min(self._since.values()) + self._how.delay if self._since else None

    def feed(self, place: Place, text: str, now: float) -> str:
        """The next text of a channel; what is whole of it."""
        text = self._waiting.pop(place, "") + text
        cut = 0
        for match in self._end.finditer(text):
            cut = match.end()
        if len(text) - cut > self._how.characters:
            space = _SPACE.search(text, cut)
            cut = len(text) if space is None else space.end()
        if cut:
            self._since.pop(place, None)
        if cut < len(text):
            self._waiting[place] = text[cut:]
            self._since.setdefault(place, now)
        return text[:cut]

    def flush(self, place: Place, text: str) -> str:
        """The channel ends with ``text``."""
        self._since.pop(place, None)
        return self._waiting.pop(place, "") + text

    def due(self, place: Place, now: float) -> str:
        """What has waited long enough."""
        since = self._since.get(place)
        return "" if since is None or since + self._how.delay > now else self.flush(place, "")
