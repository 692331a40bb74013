"""What the load generator is told, and what it tells."""

from __future__ import annotations

import msgspec

from penstock.bench.spread import Times
from penstock.errors import PenstockError


class BenchError(PenstockError):
    """The benchmark cannot go on; the text is one line."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Load on one address. Times in seconds.

    ``streams`` connections start at random instants within ``ramp``, each with a stream of ``frames`` frames. When each
    had a first token, ``settle`` goes by; then comes the window that is measured. With ``repeat`` a stream that is over
    is followed by another on its connection, after a random rest of at most ``rest``, until the window is over. With
    ``hold`` no stream ends: each is closed, within ``ramp``, when the window is over. Those whose ``frames`` are all
    there by then must have been silent since; the others must have gone on, all of them alike. ``wire``: what the
    client speaks, of ``ASKING``; without one it is openai-chat, counted in the cheapest way.
    """

    model: str
    wire: str | None = None
    streams: int
    frames: int
    window: float
    ramp: float = 0.0
    settle: float = 0.0
    repeat: bool = False
    rest: float = 0.0
    hold: bool = False
    port: int = 0
    watch: tuple[int, ...] = ()
    """Processes whose CPU time and memory are measured."""
    known: tuple[int, ...] = ()
    """All processes of the benchmark beside the load generator."""

    @property
    def limit(self) -> float:
        """Seconds after which the job has failed."""
        return 3 * (self.ramp + self.settle + self.window) + 20


class Memory(msgspec.Struct, frozen=True):
    """Memory of processes, in bytes: resident, proportional, and what is theirs alone."""

    rss: int = 0
    pss: int = 0
    private: int = 0


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a job measured. Times in seconds.

    ``seconds``, ``frames``, ``streams`` (begun), ``cpu`` (of the watched processes), ``load_cpu`` (of the load
    generator) and ``other_cpu`` (of all that is no part of the benchmark) are those of the window. ``first``: from the
    request to its first token, of those that came in the window, or of all where no stream is repeated. ``gaps``:
    between two reads of a stream in the window. ``before``, ``after``: memory before the first connection and at the
    window's end.
    """

    seconds: float
    frames: int
    streams: int
    cpu: float
    load_cpu: float
    other_cpu: float
    first: Times
    gaps: Times
    before: Memory
    after: Memory
