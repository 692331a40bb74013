"""How soon a user sees the second target's first token, for every way in which the first one fails."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.bench import proc
from penstock.bench.asking import CHUNK
from penstock.bench.children import put
from penstock.bench.figures import Figures, figures_of
from penstock.bench.job import BenchError, Job
from penstock.bench.troubled import Troubled, troubled

PATIENCE = 0.3
"""``deadlines.first_token`` of the routes, seconds."""
FAILOVER_TITLE = (
    "Failover: {streams:,} streams at a time, each after a first target that fails "
    f"(first_token: {PATIENCE * 1e3:g} ms)"
)
HEALTHY = f"healthy/sim?tokens=14&gap=50ms&first=0&pad={CHUNK}"
"""The second target: 0.7 s of chunks."""
FRAMES = 17
FAILS: dict[str, str] = {
    "no failure": "",
    "refused": "gone/sim",
    "reset": "failing/sim?reset_at=0&first=0",
    "no headers": "failing/sim?headers=60s",
    "503": "failing/sim?status=503",
    "error as first event": "failing/sim?error_at=0&role=0&first=0",
    "empty": "failing/sim?empty=1&first=0",
}
"""By the row's name: the first target."""
CLOSED = ("refused", "reset", "no headers", "error as first event")
"""Ways after which no connection to the first target may be left. After an answer that was read to its end it is kept
for another request."""


def failover_job(streams: int, *, ramp: float, window: float) -> Job:
    """Streams of the second target's, each of which is followed by another; the way is put in."""
    return Job(model="", streams=streams, frames=FRAMES, ramp=ramp, settle=0.3, window=window, repeat=True, rest=0.05)


def routes() -> dict[str, Any]:
    """A route for each way. Health is off: it would leave the first target out after a few failures."""
    common = {"deadlines": {"first_token": f"{PATIENCE * 1e3:g}ms"}, "health": False}
    return {name: {"targets": [*([first] if first else []), HEALTHY], **common} for name, first in FAILS.items()}


def failover_round(job: Job) -> dict[str, Figures]:
    """One round: every way after the other. Raises BenchError."""
    with troubled(routes()) as site:
        return {name: _way(site, name, job) for name in FAILS}


def _way(site: Troubled, name: str, job: Job) -> Figures:
    job = msgspec.structs.replace(job, model=name)
    found = figures_of(put(job, site.gateway, site.children), job, watched=True)
    if "first_p99_ms" not in found:
        raise BenchError(f"{name}: no first token came in the measured window")
    configured = PATIENCE * 1e3 if name == "no headers" else 0.0
    return found | {
        "configured_ms": configured,
        "beyond_p99_ms": found["first_p99_ms"] - configured,
        "left_open": float(proc.connections_to(site.failing.port)),
    }
