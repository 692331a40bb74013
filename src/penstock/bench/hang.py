"""A provider that hangs: what its streams cost the others, what they hold, and how soon it is found when it is well."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from penstock.bench import proc
from penstock.bench.asking import CHUNK, request
from penstock.bench.children import Child, longest_pause, metrics, put
from penstock.bench.figures import Figures, figures_of
from penstock.bench.job import BenchError, Job
from penstock.bench.troubled import Troubled, troubled

HANGING = 1_000
HANG_TITLE = f"{HANGING:,} streams at a provider that hangs, and {{streams:,}} at another, new ones all the time"
ALONE, BESIDE = "nobody hangs", f"beside {HANGING:,} that hang"
PROBE = 5.0
"""Seconds: the probe interval of health, as it is by default."""
_LIMIT = 20.0
_ACTIVE = re.compile(rb"^penstock_streams_active(?:\{[^}]*\})? (\S+)$", re.MULTILINE)
_EJECTED = re.compile(rb"^penstock_target_ejected\{target=\"failing/sim\?first=0\"\} 1", re.MULTILINE)


def hang_job(streams: int, *, ramp: float, window: float) -> Job:
    """Streams at the healthy provider, of 0.7 s each."""
    return Job(
        model="healthy", streams=streams, frames=17, ramp=ramp, settle=0.3, window=window, repeat=True, rest=0.05
    )


def routes() -> dict[str, Any]:
    """The healthy provider's, the hanging one's (with all the time there is), and one that fails over."""
    healthy = f"healthy/sim?tokens=14&gap=50ms&first=0&pad={CHUNK}"
    return {
        "healthy": {"targets": [healthy]},
        "hanging": {
            "targets": ["failing/sim"],
            "deadlines": {"first_token": None, "total": None},
            # Streams that came together would get their early heads together, in the middle of what is measured or not.
            "delivery": {"commit_after": None},
        },
        "recovering": {
            "targets": ["failing/sim?first=0", "healthy/sim?tokens=1&first=0&gap=0"],
            "deadlines": {"first_token": "100ms"},
        },
    }


def hang_round(job: Job) -> dict[str, Figures]:
    """One round. Raises BenchError."""
    proc.raise_open_files(2 * (HANGING + job.streams) + 256)
    with troubled(routes()) as site:
        put(job, site.gateway, site.children)  # the first streams of a process are slower
        before = _load(site, job)
        memory = proc.memory([site.gateway.pid])
        site.failing.halt()
        with _hanging(site.gateway):
            beside = _load(site, job)
            grown = proc.memory([site.gateway.pid]).rss - memory.rss
        recovery = _recovery(site)
        # Before and after: a machine that grows busier is not the hanging provider's doing.
        alone = {name: (before[name] + after) / 2 for name, after in _load(site, job).items() if name in before}
        beside |= _added(alone, beside) | {"rss_kib_per_stream": grown / HANGING / 1024, "recovery_s": recovery}
        return {ALONE: alone, BESIDE: beside}


def _load(site: Troubled, job: Job) -> Figures:
    longest_pause(site.gateway.port)  # what came before does not count
    found = figures_of(put(job, site.gateway, site.children), job, watched=True)
    return found | {"pause_ms": longest_pause(site.gateway.port) * 1e3}


def _added(alone: Figures, beside: Figures) -> Figures:
    names = [name for name in ("first_p50_ms", "first_p99_ms") if name in alone and name in beside]
    if len(names) < 2:
        raise BenchError("no first token came in the measured window")
    return {f"added_{name}": beside[name] - alone[name] for name in names}


@contextlib.contextmanager
def _hanging(gateway: Child) -> Iterator[None]:
    """Streams that wait for a provider which does not answer."""
    with contextlib.ExitStack() as stack:
        asked = request("openai-chat", "hanging", gateway.port)
        for _ in range(HANGING):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port), timeout=_LIMIT))
            client.sendall(asked)
        _until(lambda: active(metrics(gateway.port)) >= HANGING, f"{HANGING} streams to be under way")
        yield
    _until(lambda: active(metrics(gateway.port)) == 0, "the streams of clients that left to be over")


def active(text: bytes) -> float:
    """How many streams are under way, by the text of the metrics."""
    return sum(float(value) for value in _ACTIVE.findall(text))


def _recovery(site: Troubled) -> float:
    """From the instant at which the provider goes on until a user is served by it, seconds."""
    port = site.gateway.port

    def ejected() -> bool:
        served_by(port)
        return bool(_EJECTED.search(metrics(port)))

    _until(ejected, "the provider that hangs to be ejected")
    site.failing.go_on()
    healed = time.monotonic()
    _until(lambda: served_by(port).startswith("failing/"), "the provider that is well again to be found")
    return time.monotonic() - healed


def served_by(port: int) -> str:
    """Ask, read the whole answer, and tell the target that it came from. Raises BenchError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_LIMIT)
    body = msgspec.json.encode({"model": "recovering", "stream": True, "messages": [{"role": "user", "content": "?"}]})
    try:
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        # The head comes with the first token; the rest is of no interest.
        if answer.status != 200:
            raise BenchError(f"a request was answered with {answer.status}: {answer.read(200)!r}")
        return answer.getheader("x-penstock-target", "")
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"a request failed: {error}") from error
    finally:
        connection.close()


def _until(condition: Any, what: str) -> None:
    end = time.monotonic() + _LIMIT
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"waited {_LIMIT:g} s for {what}")
        time.sleep(0.01)
