"""What redaction costs: ``python -m penstock.bench.redaction``.

One process, one core, no sockets. Prose shows the usual cost and what is held back; the other texts are made to be
slow: each is a beginning of something, over and over.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import click
import msgspec

from penstock.slices import MORE, Slices, Work
from penstock.stages.contract import Channel
from penstock.stages.pipeline import StagesPlan
from penstock.stages.redact.policy import KINDS, RedactPolicy
from penstock.stages.redact.redactor import Redactor

PIECE = 4
"""Characters of a chunk: a token, roughly."""
HUGE = 64 * 1024
"""Characters of the answer of a provider that sends it in one piece."""

PROSE = (
    "The quick brown fox jumps over the lazy dog, while 12 engineers in 2024 discussed whether a streaming gateway "
    "(like this one) should hold text back: it is, after all, a question of trust. Most answers are plain prose with "
    "a few numbers such as 3.14 or 1,000; some have code like `for i in range(10): print(i)`, or a link, "
    "https://example.com/docs/page?x=1, or two.\n\n"
)

_HOSTILE = {
    "digits": "1234567890",
    "single digits": "1 ",
    "card numbers": "4111 1111 1111 1111 ",
    "no card numbers": "4111 1111 1111 1112 ",
    "account numbers": "DE89 ",
    "addresses": "a@a.",
    "long addresses": "a@" + "b" * 60 + ".",
    "one word": "abcdefgh",
    "dashes": "-",
    "colons": "ab:",
    "double colons": "::1:",
    "credentials": "/a:b",
    "telephones": "(555) 555-",
    "tokens": "eyJ",
    "no tokens": "eyJ" * 2700 + " ",
    "telephones in no token": "eyJ" + "-555-555-5555" * 620 + " ",
    "keys": "sk-" + "a" * 16,
    "an open key": "-----BEGIN PRIVATE KEY-----" + "A" * 7900,
    "placeholders": "<EMAIL_",
}


class Figures(msgspec.Struct, frozen=True):
    """Of one text. CPU time a chunk and of the longest step of all, characters held back after a chunk."""

    text: str
    chunks: int
    us_per_chunk: float
    worst_ms: float
    held_mean: float
    held_most: int


def measure(redactor: Redactor, name: str, text: str, repeats: int) -> Figures:
    """The best of some repeats."""
    channel, pieces = Channel("text"), [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    cost = min(_cost(redactor, channel, pieces) for _ in range(repeats))
    redaction, worst, held = redactor.open(), 0.0, []
    for piece in pieces:
        begun = time.thread_time()
        redaction.feed(channel, piece)
        worst = max(worst, time.thread_time() - begun)
        held.append(redaction.held(channel))
    begun = time.thread_time()
    redaction.flush(channel)
    worst = max(worst, time.thread_time() - begun)
    return Figures(
        text=name,
        chunks=len(pieces),
        us_per_chunk=cost / len(pieces) * 1e6,
        worst_ms=worst * 1e3,
        held_mean=sum(held) / len(held),
        held_most=max(held),
    )


def measured(size: int = 100_000, repeats: int = 5) -> list[Figures]:
    """Prose, then the hostile texts, ``size`` characters of each, with every detector."""
    redactor = Redactor(RedactPolicy(detectors=KINDS, overflow="release"))
    texts = {"prose": PROSE, **_HOSTILE}
    return [measure(redactor, name, (unit * (size // len(unit) + 1))[:size], repeats) for name, unit in texts.items()]


def worst_slice(size: int = HUGE, repeats: int = 3) -> float:
    """Milliseconds of the longest step, where each of the texts comes whole: one delta of ``size`` characters. Of the
    repeats of each text the best counts."""
    redactor = Redactor(RedactPolicy(detectors=KINDS, overflow="release"))
    texts = [(unit * (size // len(unit) + 1))[:size] for unit in (PROSE, *_HOSTILE.values())]
    return max(min(_longest(redactor, text) for _ in range(repeats)) for text in texts) * 1e3


def _longest(redactor: Redactor, text: str) -> float:
    pipeline, slices = StagesPlan(stages=(redactor,)).open(), Slices[str](time.perf_counter)
    work: Work[str] | None = partial(pipeline.feed, ("text", 0, 0), text)
    said, longest = MORE, 0.0
    while said is MORE:
        begun = time.thread_time()
        said = slices.run(work)
        longest, work = max(longest, time.thread_time() - begun), None
    return longest


def table(figures: Sequence[Figures]) -> str:
    """The figures as text."""
    lines = [f"{'text':<18}{'µs a chunk':>12}{'worst step ms':>15}{'held, mean':>12}{'held, most':>12}"]
    lines += [
        f"{one.text:<18}{one.us_per_chunk:>12.2f}{one.worst_ms:>15.2f}{one.held_mean:>12.1f}{one.held_most:>12}"
        for one in figures
    ]
    return "\n".join(lines) + "\n"


def _cost(redactor: Redactor, channel: Channel, pieces: Sequence[str]) -> float:
    redaction = redactor.open()
    begun = time.thread_time()
    for piece in pieces:
        redaction.feed(channel, piece)
    return time.thread_time() - begun


if __name__ == "__main__":
    click.echo(table(measured()), nl=False)
    click.echo(f"one delta of {HUGE:,} characters, longest step of all texts: {worst_slice():.2f} ms")
