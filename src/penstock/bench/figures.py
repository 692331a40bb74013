"""What a round of load tells, as figures by name."""

from __future__ import annotations

from penstock.bench.job import Job, Result

Figures = dict[str, float]
"""What one round on one target tells, by name; the unit is in the name."""


def figures_of(result: Result, job: Job, watched: bool) -> Figures:
    """What a result tells; what it cannot tell is not there."""
    found: Figures = {
        "load_busy": result.load_cpu / result.seconds,
        # The machine's clock ticks, those of the processes do not: a little below nothing is nothing.
        "others_busy": max(0.0, result.other_cpu / result.seconds),
    }
    if result.frames:
        found["chunks_per_s"] = result.frames / result.seconds
    if watched and result.frames:
        found["cpu_us_per_chunk"] = result.cpu / result.frames * 1e6
    if watched and result.streams:
        found["cpu_ms_per_stream"] = result.cpu / result.streams * 1e3
    if result.first.count:
        found["first_p50_ms"] = result.first.p50 * 1e3
        found["first_p99_ms"] = result.first.p99 * 1e3
    if result.gaps.count:
        found["gap_p99_ms"] = result.gaps.p99 * 1e3
    if watched and job.hold and not result.frames:
        for name in ("rss", "pss", "private"):
            grown = getattr(result.after, name) - getattr(result.before, name)
            found[f"{name}_kib_per_stream"] = grown / job.streams / 1024
    return found
