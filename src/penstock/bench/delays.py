"""How long text waits in each mode of delivery: ``python -m penstock.bench.delays``.

In virtual time, so that it says the same everywhere: prose without anything to find, in tokens of four characters,
fifty of them a second. What the checks cost in CPU time is measured by `penstock.bench.redaction`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import click
import msgspec

from penstock.bench.redaction import PIECE, PROSE
from penstock.policy.delivery import Segment
from penstock.stages.pipeline import Place, StagesPlan
from penstock.stages.redact.policy import KINDS, RedactPolicy
from penstock.stages.redact.redactor import Redactor
from penstock.stages.segments import Segmenting

GAP = 0.02
"""Seconds between two tokens."""
PARAGRAPHS = 5
_TEXT: Place = ("text", 0, 0)
_CAPS = Segment()


class Delay(msgspec.Struct, frozen=True):
    """Of one way to deliver, in seconds: when the first text goes out after it came, and how long a character waits."""

    mode: str
    checks: str
    certain: str
    first: float
    mean: float
    most: float
    """Of 99 in 100 characters."""


def _segmenting(mode: Literal["sentence", "paragraph"]) -> Segmenting:
    return Segmenting(mode, _CAPS.delay, _CAPS.characters)


def measured() -> list[Delay]:
    """Every mode, with and without redaction."""
    redact = (Redactor(RedactPolicy(detectors=KINDS, overflow="release")),)
    sentence, paragraph = _segmenting("sentence"), _segmenting("paragraph")
    whole = "a match anywhere blocks the whole answer: nothing was shown"
    return [
        _delay("passthrough", "none", "nothing: the provider's bytes", StagesPlan()),
        _delay("passthrough", "redact", "no character of a match is ever shown", StagesPlan(stages=redact)),
        _delay("sentence", "none", "whole sentences", StagesPlan(segments=sentence)),
        _delay("sentence", "redact", "the same, in whole sentences", StagesPlan(stages=redact, segments=sentence)),
        _delay("paragraph", "redact", "the same, in whole paragraphs", StagesPlan(stages=redact, segments=paragraph)),
        _delay("full", "redact, with `block`", whole, StagesPlan(stages=redact, whole=True)),
    ]


def _delay(mode: str, checks: str, certain: str, plan: StagesPlan) -> Delay:
    waits = _waits(plan)
    ordered = sorted(waits)
    return Delay(mode, checks, certain, waits[0], sum(waits) / len(waits), ordered[int(len(ordered) * 0.99)])


def _waits(plan: StagesPlan) -> list[float]:
    """How long each character waits."""
    text = PROSE * PARAGRAPHS
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    came = [number * GAP for number, piece in enumerate(pieces) for _ in piece]
    end = len(pieces) * GAP
    left: list[float] = []
    pipeline = plan.open()

    def out(released: str, now: float) -> None:
        left.extend([end if plan.whole else now] * len(released))

    for number, piece in enumerate(pieces):
        while (due := pipeline.deadline) is not None and due <= number * GAP:
            pipeline.now = due
            out(pipeline.due(_TEXT), due)
        pipeline.now = number * GAP
        out(pipeline.feed(_TEXT, piece), pipeline.now)
    out(pipeline.flush(_TEXT), end)
    return [after - before for before, after in zip(came, left, strict=True)]


def table(delays: Sequence[Delay]) -> str:
    """As the documentation shows it."""
    lines = [
        "| `delivery.mode` | checks | certain is | first text | a character waits | 99 of 100 wait at most |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in delays:
        waits = " | ".join(_shown(seconds) for seconds in (one.first, one.mean, one.most))
        lines.append(f"| `{one.mode}` | {one.checks} | {one.certain} | {waits} |")
    return "\n".join(lines) + "\n"


def _shown(seconds: float) -> str:
    return "at once" if seconds < 0.0005 else f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


if __name__ == "__main__":
    click.echo(table(measured()), nl=False)
