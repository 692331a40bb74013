"""The measures: the load of each, and what a round of it tells."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import msgspec

from penstock.bench.asking import CHUNK
from penstock.bench.children import TARGETS, Site, Target, site
from penstock.bench.failover import FAILOVER_TITLE, failover_job, failover_round
from penstock.bench.figures import Figures, figures_of
from penstock.bench.guardrails import GUARDRAILS_TITLE, guardrails_job, guardrails_round
from penstock.bench.hang import HANG_TITLE, hang_job, hang_round
from penstock.bench.job import Job
from penstock.bench.rows import TITLE as ROWS_TITLE
from penstock.bench.rows import rows_round
from penstock.bench.spread import Spread, spread
from penstock.bench.wires import TITLE, wires_job, wires_round

IDLE_ROUNDS = 2
"""Each has a fresh gateway, and memory hardly varies."""
WIRES_ROUNDS = 3
"""Each loads every wire, with nginx beside it."""
FAILOVER_ROUNDS = HANG_ROUNDS = 2
"""Each goes through every way of failing, or waits for a provider that was ejected."""
LEDGER_ROUNDS = GUARDRAILS_ROUNDS = 3
"""Their figures hardly vary."""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A load, the same for every target. ``quick``: the short form. ``fresh``: each round has new processes. ``most``:
    that many rounds are enough. ``by_wire``: the rows are wires, each of which has its own nginx beside it. ``alone``:
    a round of it under a load, with processes and rows of its own."""

    name: str
    title: str
    job: Job
    quick: Job
    targets: tuple[Target, ...] = TARGETS
    fresh: bool = False
    most: int = 1000
    by_wire: bool = False
    alone: Callable[[Job], dict[str, Figures]] | None = None

    def job_for(self, quick: bool) -> Job:
        """The load, in its short or its full form."""
        return self.quick if quick else self.job


class Outcome(msgspec.Struct, frozen=True):
    """A measure's figures by target or by wire, over the rounds."""

    name: str
    title: str
    figures: dict[str, dict[str, Spread]]


def _paced(streams: int, gap: int, *, ramp: float, window: float) -> Job:
    """Streams with ``gap`` milliseconds from chunk to chunk, all open during the whole window."""
    return Job(
        model=f"sim?tokens=100000&gap={gap}ms&first=0&pad={CHUNK}",
        streams=streams,
        frames=100_003,
        ramp=ramp,
        settle=0.4,
        window=window,
        hold=True,
    )


def _fast(tokens: int, streams: int, *, settle: float = 0.4, window: float) -> Job:
    """Streams at full speed, one after the other. Beside its tokens a stream has a role, a finish and an end."""
    # Without split, the provider would write many chunks at once, as no model does.
    return Job(
        model=f"sim?tokens={tokens}&gap=0&first=0&pad={CHUNK}&split={CHUNK}",
        streams=streams,
        frames=tokens + 3,
        ramp=0.1,
        settle=settle,
        window=window,
        repeat=True,
    )


def _starts(*, ramp: float, window: float) -> Job:
    """128 streams of 0.7 s each, 50 ms from chunk to chunk; each that ends is followed by another."""
    return Job(
        model=f"sim?tokens=14&gap=50ms&first=0&pad={CHUNK}",
        streams=128,
        frames=17,
        ramp=ramp,
        settle=0.2,
        window=window,
        repeat=True,
        rest=0.05,
    )


def _idle(streams: int, *, ramp: float, window: float) -> Job:
    """Streams that go silent after their first token."""
    return Job(
        model=f"sim?stall_at=1&first=0&pad={CHUNK}",
        streams=streams,
        frames=2,
        ramp=ramp,
        settle=0.5,
        window=window,
        hold=True,
    )


MEASURES = (
    Measure(
        name="paced",
        title="200 streams, a chunk of 320 bytes every 20 ms on each",
        job=_paced(200, 20, ramp=1.0, window=3.0),
        quick=_paced(200, 20, ramp=0.4, window=0.6),
    ),
    Measure(
        name="saturation",
        title="As fast as it goes: 32 streams at a time, 300 chunks each",
        job=_fast(297, 32, window=1.6),
        quick=_fast(297, 32, settle=0.2, window=0.4),
    ),
    Measure(
        name="first_token",
        title="128 streams, a chunk every 50 ms, new ones all the time",
        job=_starts(ramp=0.6, window=1.8),
        quick=_starts(ramp=0.4, window=0.6),
    ),
    Measure(
        name="idle",
        title="Open streams that say nothing: {streams:,}",
        job=_idle(2000, ramp=2.0, window=2.0),
        quick=_idle(200, ramp=0.4, window=0.4),
        targets=("nginx", "gateway"),
        fresh=True,
        most=IDLE_ROUNDS,
    ),
    Measure(
        name="short",
        title="One short stream of 20 chunks after another",
        job=_fast(17, 1, window=0.6),
        quick=_fast(17, 1, settle=0.1, window=0.2),
    ),
    Measure(
        name="wires",
        title=TITLE,
        job=wires_job(100, ramp=0.1, settle=0.1, window=0.5),
        quick=wires_job(20, ramp=0.05, settle=0.05, window=0.15),
        most=WIRES_ROUNDS,
        by_wire=True,
    ),
    Measure(
        name="failover",
        title=FAILOVER_TITLE,
        job=failover_job(96, ramp=1.0, window=1.5),
        quick=failover_job(32, ramp=0.5, window=1.1),
        most=FAILOVER_ROUNDS,
        alone=failover_round,
    ),
    Measure(
        name="hang",
        title=HANG_TITLE,
        job=hang_job(128, ramp=0.6, window=1.8),
        quick=hang_job(64, ramp=0.3, window=0.6),
        most=HANG_ROUNDS,
        alone=hang_round,
    ),
    Measure(
        name="guardrails",
        title=GUARDRAILS_TITLE,
        job=guardrails_job(64, ramp=0.5, window=2.5),
        quick=guardrails_job(16, ramp=0.2, window=0.6),
        most=GUARDRAILS_ROUNDS,
        alone=guardrails_round,
    ),
    Measure(
        name="ledger",
        title=ROWS_TITLE,
        job=Job(model="", streams=1, frames=0, window=6.0),
        quick=Job(model="", streams=1, frames=0, window=0.6),
        most=LEDGER_ROUNDS,
        alone=lambda job: rows_round(job.window),
    ),
)
_WARM_UP = _fast(47, 8, settle=0.2, window=0.1)


def run(chosen: Sequence[Measure], rounds: int, quick: bool, nginx: str, tell: Callable[[str], None]) -> list[Outcome]:
    """Measure. Raises BenchError."""
    outcomes: dict[str, Outcome] = {}
    shared = [measure for measure in chosen if not measure.fresh and measure.alone is None]
    if shared:
        with _warm_site(nginx) as place:
            for measure in shared:
                times = min(rounds, measure.most)
                seen = [_round(measure, place, number, times, quick, tell) for number in range(times)]
                outcomes[measure.name] = _outcome(measure, seen, quick)
    for measure in chosen:
        if measure.alone is not None:
            times, seen = min(rounds, measure.most), []
            for number in range(times):
                tell(f"{measure.name}, round {number + 1} of {times}")
                seen.append(measure.alone(measure.job_for(quick)))
            outcomes[measure.name] = _outcome(measure, seen, quick)
        elif measure.fresh:
            seen, times = [], min(rounds, measure.most)
            for number in range(times):
                with _warm_site(nginx) as place:
                    seen.append(_round(measure, place, number, times, quick, tell))
            outcomes[measure.name] = _outcome(measure, seen, quick)
    return [outcomes[measure.name] for measure in chosen]


@contextlib.contextmanager
def _warm_site(nginx: str) -> Iterator[Site]:
    with site(nginx) as place:
        for target in TARGETS:
            place.load(target, _WARM_UP)
        yield place


def _round(
    measure: Measure, place: Site, number: int, rounds: int, quick: bool, tell: Callable[[str], None]
) -> dict[str, Figures]:
    """One round: every target, and what the comparison tells."""
    tell(f"{measure.name}, round {number + 1} of {rounds}")
    if measure.by_wire:
        return wires_round(place, measure.job_for(quick), number)
    # None always comes after the same one.
    turn = number % len(measure.targets)
    order = measure.targets[turn:] + measure.targets[:turn]
    job = measure.job_for(quick)
    return compared({target: figures(place, target, job) for target in order})


def _outcome(measure: Measure, seen: list[dict[str, Figures]], quick: bool) -> Outcome:
    title = measure.title.format(streams=measure.job_for(quick).streams)
    rows = measure.targets if measure.alone is None and not measure.by_wire else tuple(seen[0])
    return Outcome(measure.name, title, {row: over_rounds(row, seen) for row in rows})


def figures(place: Site, target: Target, job: Job) -> Figures:
    """One round on one target."""
    if target != "gateway":
        return figures_of(place.load(target, job), job, watched=target != "direct")
    place.pause()  # what came before does not count
    found = figures_of(place.load(target, job), job, watched=True)
    return found | {"pause_ms": place.pause() * 1e3}


def compared(targets: dict[Target, Figures]) -> dict[str, Figures]:
    """The figures of one round with what only a comparison tells: ratios to nginx, what is added to direct."""
    direct, nginx = targets.get("direct", {}), targets.get("nginx", {})
    compared: dict[str, Figures] = {}
    for target, own in targets.items():
        more: Figures = {}
        if target != "direct":
            more = {f"added_{name}": own[name] - direct[name] for name in _ADDED if name in own and name in direct}
            more |= {f"{name}_x_nginx": own[name] / nginx[name] for name in _RATIOS if nginx.get(name) and name in own}
        compared[target] = own | more
    return compared


_ADDED = ("first_p50_ms", "first_p99_ms", "gap_p99_ms")
_RATIOS = ("cpu_us_per_chunk", "cpu_ms_per_stream")


def over_rounds(row: str, seen: list[dict[str, Figures]]) -> dict[str, Spread]:
    """Each figure that every round has."""
    names = [name for name in seen[0][row] if all(name in figures[row] for figures in seen)]
    return {name: spread(figures[row][name] for figures in seen) for name in names}
