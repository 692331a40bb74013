"""What guardrails cost: redaction in this process, and a check of all text by a service beside the gateway."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from penstock.bench import proc
from penstock.bench.asking import CHUNK
from penstock.bench.children import Child, free_ports, put
from penstock.bench.figures import Figures, figures_of
from penstock.bench.goals import Column, Goal
from penstock.bench.job import BenchError, Job
from penstock.bench.redaction import HUGE, measured, worst_slice
from penstock.bench.redaction import Figures as Redacted
from penstock.bench.troubled import troubled
from penstock.stages.redact.policy import CATALOG

PROSE, HOSTILE, WHOLE = "redaction, prose", "redaction, hostile text", "redaction, any text in one delta of 64 KB"
PLAIN, WINDOW = "passthrough", "window moderation"
ANSWER = 0.1
"""Seconds that the moderation service takes."""
GUARDRAILS_TITLE = (
    f"Guardrails: {len(CATALOG)} detectors over tokens of 4 characters; {{streams:,}} streams that a service checks in "
    f"{ANSWER * 1e3:g} ms"
)
OF_GUARDRAILS = (
    Goal(
        "guardrails",
        "us_per_chunk",
        "Redaction with more than 20 detectors, a chunk of prose, at most 6 µs",
        6.0,
        "µs",
        rows=(PROSE,),
    ),
    Goal(
        "guardrails",
        "held_mean",
        "Characters of prose held back, on average, at most 4",
        4.0,
        "characters",
        rows=(PROSE,),
    ),
    Goal(
        "guardrails",
        "worst_ms",
        "No single step of redaction over 5 ms, whatever the text",
        5.0,
        "ms",
        rows=(PROSE, HOSTILE, WHOLE),
    ),
    Goal(
        "guardrails",
        "added_gap_p99_ms",
        "Gaps of text in `window` moderation, p99, those of passthrough and at most 1 ms",
        1.0,
        "ms",
        rows=(WINDOW,),
    ),
)
COLUMNS_OF_GUARDRAILS: dict[str, tuple[Column, ...]] = {
    "guardrails": (
        ("us_per_chunk", "µs/chunk in the stage", ".2f"),
        ("worst_ms", "longest step ms", ".2f"),
        ("held_mean", "characters held, mean", ".1f"),
        ("cpu_us_per_chunk", "CPU µs/chunk", ".1f"),
        ("gap_p99_ms", "gap p99 ms", ".2f"),
        ("added_gap_p99_ms", "added gap p99 ms", "+.2f"),
    ),
}


def guardrails_job(streams: int, *, ramp: float, window: float) -> Job:
    """Streams with a word every 20 ms, all open during the whole window; the route is put in."""
    return Job(model="", streams=streams, frames=100_003, ramp=ramp, settle=0.4, window=window, hold=True)


def routes(port: int) -> dict[str, Any]:
    """The same target without a stage, and with a service at ``port`` that checks all text in windows."""
    route = {"targets": [f"healthy/sim?tokens=100000&gap=20ms&first=0&pad={CHUNK}"]}
    check = {"kind": "webhook", "url": f"http://127.0.0.1:{port}/", "mode": "window", "on_failure": "block"}
    # Questions are counted: so long an answer has more than the default allows.
    asked: dict[str, Any] = {**check, "max_checks": 10_000}
    return {PLAIN: route, WINDOW: {**route, "stages": [{"moderate": {"check": asked}}]}}


def guardrails_round(job: Job, *, size: int = 0) -> dict[str, Figures]:
    """One round; ``size`` characters of each text to redact. Raises BenchError."""
    return {**_redaction(size or round(40_000 * job.window)), **_moderation(job)}


def _redaction(size: int) -> dict[str, Figures]:
    busy, began, cpu = proc.busy_seconds(), time.monotonic(), time.process_time()
    prose, *hostile = measured(size=size, repeats=2)
    whole = worst_slice(min(size, HUGE), repeats=2)
    others = proc.busy_seconds() - busy - (time.process_time() - cpu)
    shared = {"load_busy": 0.0, "others_busy": max(0.0, others) / (time.monotonic() - began)}
    worst = _worst([_of(each) for each in hostile])
    return {PROSE: shared | _of(prose), HOSTILE: shared | worst, WHOLE: shared | {"worst_ms": whole}}


def _of(text: Redacted) -> Figures:
    return {"us_per_chunk": text.us_per_chunk, "worst_ms": text.worst_ms, "held_mean": text.held_mean}


def _worst(figures: list[Figures]) -> Figures:
    return {name: max(each[name] for each in figures) for name in figures[0] if name != "held_mean"}


def _moderation(job: Job) -> dict[str, Figures]:
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "penstock.bench.benign", str(port), str(ANSWER)]
        service = Child("the moderation service", command, port, Path(folder) / "service.err")
        try:
            with troubled(routes(port)) as site:
                service.wait_ready()
                known = (*site.children, service)
                seen = []
                # Before and after: a machine that grows busier is not the moderation's doing.
                for route in (PLAIN, WINDOW, PLAIN):
                    load = msgspec.structs.replace(job, model=route)
                    seen.append(figures_of(put(load, site.gateway, known), load, watched=True))
        finally:
            service.stop()
    before, window, after = seen
    if any("gap_p99_ms" not in each for each in seen):
        raise BenchError("nothing came in the measured window")
    plain = {name: (before[name] + after[name]) / 2 for name in before if name in after}
    return {PLAIN: plain, WINDOW: window | {"added_gap_p99_ms": window["gap_p99_ms"] - plain["gap_p99_ms"]}}
