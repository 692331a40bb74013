"""Placeholders that stand for text, and the way back."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"<[A-Z0-9_]+_[0-9]+>")


class Vault:
    """The placeholders of one stream: the same text has the same one, different texts different ones."""

    __slots__ = ("_issued", "_last", "_reserved", "_texts")

    def __init__(self) -> None:
        self._issued: dict[tuple[str, str], str] = {}
        self._texts: dict[str, str] = {}
        self._last: dict[str, int] = {}
        self._reserved: set[str] = set()

    @property
    def texts(self) -> dict[str, str]:
        """What each placeholder stands for, as of now."""
        return dict(self._texts)

    def reserve(self, text: str) -> None:
        """Placeholders that a text holds already are never issued: they would be turned into something else."""
        self._reserved.update(_PLACEHOLDER.findall(text))

    def placeholder(self, kind: str, text: str) -> str:
        """``<EMAIL_1>`` for the first e-mail address."""
        if (known := self._issued.get((kind, text))) is not None:
            return known
        name = kind.upper()
        while True:
            self._last[name] = self._last.get(name, 0) + 1
            issued = f"<{name}_{self._last[name]}>"
            if issued not in self._reserved:
                break
        self._issued[kind, text] = issued
        self._texts[issued] = text
        return issued


class Unmask:
    """One text in which placeholders become what they stand for; others that look like them stay.

    Held back is only the beginning of one that was issued. None is a beginning of another, as each ends in ``>``.
    """

    __slots__ = ("_beginnings", "_held", "_texts")

    def __init__(self, texts: Mapping[str, str], beginnings: frozenset[str]):
        self._texts = texts
        self._beginnings = beginnings
        self._held = ""

    @property
    def held(self) -> int:
        """Characters that are kept back."""
        return len(self._held)

    def feed(self, text: str) -> str:
        """The next piece; what may go now."""
        if not self._held and "<" not in text:
            return text
        text = self._held + text
        out, at = [], 0
        while (start := text.find("<", at)) >= 0:
            out.append(text[at:start])
            stop = text.find(">", start) + 1
            if not stop and text[start:] in self._beginnings:
                at = start
                break
            found = self._texts.get(text[start:stop]) if stop else None
            out.append("<" if found is None else found)
            at = start + 1 if found is None else stop
        else:
            out.append(text[at:])
            at = len(text)
        self._held = text[at:]
        return "".join(out)

    def flush(self) -> str:
        """The text ends here; the rest of it."""
        held, self._held = self._held, ""
        return held


def beginnings(texts: Mapping[str, str]) -> frozenset[str]:
    """Every beginning of a placeholder."""
    return frozenset(placeholder[:size] for placeholder in texts for size in range(1, len(placeholder)))
