"""The rules of redaction a second time, in the plainest way: on the whole text, with Python's own patterns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

from penstock.stages.redact.detectors import Detector
from penstock.stages.redact.scan import Rules, Scan


@cache
def compiled(pattern: str, ascii_only: bool) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII if ascii_only else 0)


def plainly(detectors: Sequence[Detector], text: str) -> str:
    """Every match of a detector as ``⟦kind⟧``."""
    out, at = [], 0
    while at < len(text):
        for detector in detectors:
            match = compiled(detector.pattern, detector.ascii_only).match(text, at)
            if match is None:
                continue
            length = len(match[0]) if detector.verify is None else detector.verify(match[0])
            if length:
                out.append(f"⟦{detector.kind}⟧")
                at += length
                break
        else:
            out.append(text[at])
            at += 1
    return "".join(out)


def marked(kind: str, text: str) -> str:
    assert text
    return f"⟦{kind}⟧"


def streamed(rules: Rules, pieces: Sequence[str]) -> str:
    """What comes out of a scan, joined."""
    scan = Scan(rules, marked)
    out = [scan.feed(piece) for piece in pieces]
    out.append(scan.flush())
    assert scan.held == 0
    assert all(isinstance(released, str) for released in out)
    return "".join(map(str, out))


def cut(text: str, *places: int) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:stop] for start, stop in pairwise(edges)]


def every_cut(text: str) -> Iterator[list[str]]:
    """In two at each place, in three at each pair of places for short texts, and character by character."""
    yield list(text)
    for first in range(len(text) + 1):
        yield cut(text, first)
        if len(text) <= 40:
            for second in range(first + 1, len(text)):
                yield cut(text, first, second)
