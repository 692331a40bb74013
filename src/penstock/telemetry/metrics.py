"""Metrics for Prometheus. A stream keeps its own numbers and hands them in once, at its end."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from penstock import money
from penstock.policy.bulkhead import Bulkhead
from penstock.stream.summary import GAP_BOUNDS, Summary
from penstock.telemetry.spending import Spending

TTFT_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0)
DURATION_BOUNDS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


class _Histogram:
    """Counts per bucket, and the sum."""

    def __init__(self, bounds: tuple[float, ...]):
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add(self, counts: list[int], total: float) -> None:
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, counts, strict=True)]
        self._sum += total

    def buckets(self) -> tuple[list[tuple[str, float]], float]:
        running, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            running += count
            buckets.append(("+Inf" if bound == float("inf") else str(bound), float(running)))
        return buckets, self._sum


class Metrics:
    """All metrics of one gateway process. ``active`` and ``idle_connections`` are read at scrape time."""

    def __init__(
        self,
        *,
        active: Callable[[], int] = lambda: 0,
        idle_connections: Callable[[], int] = lambda: 0,
        log_lines_dropped: Callable[[], int] = lambda: 0,
        buffered: Callable[[], int] = lambda: 0,
        journal_bytes: Callable[[], int] = lambda: 0,
        journal_streams: Callable[[], int] = lambda: 0,
        journal_lost: Callable[[], int] = lambda: 0,
        ejected: Callable[[], Mapping[str, bool]] = dict,
        providers: Callable[[], Mapping[str, Bulkhead]] = dict,
        ledger: Callable[[], Mapping[str, float]] = dict,
        keys: Callable[[], Iterable[tuple[str, int, Mapping[str, int]]]] = list,
        shared: Callable[[], bool | None] = lambda: None,
        captures: Callable[[], dict[tuple[str, ...], int]] = dict,
        spooled: Callable[[], int] = lambda: 0,
    ):
        self._gauges = (
            ("penstock_streams_active", "Streams that are not over.", active),
            ("penstock_upstream_idle_connections", "Kept-alive connections to providers.", idle_connections),
            ("penstock_client_buffer_bytes", "What waits for clients that are blocked, in bytes.", buffered),
            ("penstock_journal_bytes", "Frames that are held in memory for those who resume, in bytes.", journal_bytes),
            ("penstock_journal_streams", "Streams that can be resumed.", journal_streams),
            ("penstock_capture_spool_bytes", "Copies that wait on the disk.", spooled),
        )
        self._log_lines_dropped = log_lines_dropped
        self._journal_lost = journal_lost
        self._ejected = ejected
        self._providers = providers
        self._ledger = ledger
        self._keys = keys
        self._shared = shared
        self._captures = captures
        self._streams: dict[tuple[str, ...], int] = defaultdict(int)
        self._attempts: dict[tuple[str, ...], int] = defaultdict(int)
        self._hedges: dict[tuple[str, ...], int] = defaultdict(int)
        self._continuations: dict[tuple[str, ...], int] = defaultdict(int)
        self._left: dict[tuple[str, ...], int] = defaultdict(int)
        self._requests: dict[tuple[str, ...], int] = defaultdict(int)
        self._redactions: dict[tuple[str, ...], int] = defaultdict(int)
        self._checks: dict[tuple[str, ...], int] = defaultdict(int)
        self._totals: dict[str, float] = defaultdict(float)
        self._ttft: dict[tuple[str, ...], _Histogram] = defaultdict(lambda: _Histogram(TTFT_BOUNDS))
        self._gaps: dict[tuple[str, ...], _Histogram] = defaultdict(lambda: _Histogram(GAP_BOUNDS))
        self._durations: dict[tuple[str, ...], _Histogram] = defaultdict(lambda: _Histogram(DURATION_BOUNDS))
        self.spending = Spending()
        self.longest_pause = 0.0
        """The longest that the event loop was late, in seconds, since the last scrape."""
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def record(self, summary: Summary) -> None:
        """A stream is over."""
        served = summary.served
        target = served.label if served else ""
        outcome = summary.outcome or ""
        self._streams[summary.route, target, outcome] += 1
        self._durations[(summary.route,)].observe(summary.duration)
        for attempt in summary.attempts:
            self._attempts[attempt.label, "lost" if attempt.lost else attempt.outcome or outcome] += 1
        if summary.hedge is not None:
            self._hedges[summary.route, "true" if summary.hedge else "false"] += 1
        if any(attempt.continues for attempt in summary.attempts):
            self._continuations[summary.route, outcome] += 1
        if summary.first_token is not None:
            self._ttft[summary.route, target].observe(summary.first_token)
        if summary.gap_sum or any(summary.gaps):
            self._gaps[summary.route, target].add(summary.gaps, summary.gap_sum)
        if summary.leaving:
            self._left[summary.route, summary.leaving] += 1
        totals = self._totals
        totals["frames"] += summary.frames_in
        totals["bytes_in"] += summary.bytes_in
        totals["bytes_out"] += summary.bytes_out
        totals["malformed"] += summary.malformed
        totals["keepalives"] += summary.keepalives
        for kind, count in summary.redactions.items():
            self._redactions[summary.route, kind] += count
        for result, count in summary.checks.items():
            self._checks[summary.route, result] += count
        totals["blocked"] += summary.blocked

    def merged(self, frames: int) -> None:
        """So many frames went out as part of others."""
        self._totals["merged"] += frames

    def refused(self, reason: str) -> None:
        """A request that did not become a stream."""
        self._requests[(reason,)] += 1

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        yield _counter("penstock_streams", "Streams by how they ended.", ("route", "target", "outcome"), self._streams)
        yield _counter("penstock_attempts", "Attempts by how they ended.", ("target", "outcome"), self._attempts)
        redactions = "What stages found in prompts and answers, by kind."
        yield _counter("penstock_redactions", redactions, ("route", "kind"), self._redactions)
        copies = "Copies of streams, by sink and by what became of them."
        yield _counter("penstock_captures", copies, ("sink", "fate"), self._captures())
        checks = "Checks by moderation services, by how they went: passed, flagged, failed."
        yield _counter("penstock_checks", checks, ("route", "result"), self._checks)
        hedges = "Second attempts that were started beside the first, by whether they won."
        yield _counter("penstock_hedges", hedges, ("route", "won"), self._hedges)
        gone_on = "Streams that went on with another attempt after their first token, by how they ended."
        yield _counter("penstock_continuations", gone_on, ("route", "outcome"), self._continuations)
        left = "Streams that went on without the client that asked for them, by what that was: drain or detach."
        yield _counter("penstock_streams_left", left, ("route", "leaving"), self._left)
        yield _counter(
            "penstock_requests_refused", "Requests that did not start a stream.", ("reason",), self._requests
        )
        ttft = "Seconds from acceptance to the first token event."
        yield _histogram("penstock_time_to_first_token_seconds", ttft, ("route", "target"), self._ttft)
        gap = "Seconds between token events as the provider sent them."
        yield _histogram("penstock_inter_token_seconds", gap, ("route", "target"), self._gaps)
        whole = "Seconds from acceptance to the end of a stream."
        yield _histogram("penstock_stream_duration_seconds", whole, ("route",), self._durations)
        for name, help_text, key in _TOTALS:
            family = CounterMetricFamily(name, help_text)
            family.add_metric([], self._totals[key])
            yield family
        yield from self.spending.collect()
        dropped = CounterMetricFamily("penstock_log_lines_dropped", "Log lines that did not fit into the queue.")
        dropped.add_metric([], self._log_lines_dropped())
        yield dropped
        lost = "Streams of which the journal's store did not take all: they can be resumed at this gateway alone."
        unshared = CounterMetricFamily("penstock_journal_streams_lost", lost)
        unshared.add_metric([], self._journal_lost())
        yield unshared
        for name, help_text, read in self._gauges:
            yield GaugeMetricFamily(name, help_text, value=read())
        out = "1 while a target is ejected or half-open, 0 while it is healthy."
        targets = GaugeMetricFamily("penstock_target_ejected", out, labels=("target",))
        for target, ejected in self._ejected().items():
            targets.add_metric((target,), float(ejected))
        yield targets
        streams = GaugeMetricFamily("penstock_provider_streams", "Attempts that are under way.", labels=("provider",))
        full = CounterMetricFamily(
            "penstock_provider_full", "Attempts not made: the provider had no place.", labels=("provider",)
        )
        for provider, bulkhead in self._providers().items():
            streams.add_metric((provider,), bulkhead.in_flight)
            full.add_metric((provider,), bulkhead.refused)
        yield streams
        yield full
        key_streams = "Streams of a key with limits that are not over."
        streams = GaugeMetricFamily("penstock_key_streams", key_streams, labels=("key",))
        key_spent = "US dollars that a key has spent of its budget, open streams included."
        spent = GaugeMetricFamily("penstock_key_spent_usd", key_spent, labels=("key", "period"))
        for key, count, periods in self._keys():
            streams.add_metric((key,), count)
            for period, nanos in periods.items():
                spent.add_metric((key, period), nanos / money.NANO)
        yield from (streams, spent)
        said = "1 while the limits of keys are shared between gateways, 0 while each keeps them for itself."
        sharing = GaugeMetricFamily("penstock_limits_shared", said)
        if (shared := self._shared()) is not None:
            sharing.add_metric([], float(shared))
        yield sharing
        figures = self._ledger()
        written = CounterMetricFamily("penstock_ledger_rows", "Rows that were settled in the ledger's database.")
        written.add_metric([], figures.get("rows", 0.0))
        yield written
        for name, help_text in _LEDGER:
            gauge = GaugeMetricFamily(f"penstock_ledger_{name}", help_text)
            if name in figures:
                gauge.add_metric([], figures[name])
            yield gauge
        pause, self.longest_pause = self.longest_pause, 0.0
        yield GaugeMetricFamily(
            "penstock_event_loop_pause_seconds_max",
            "Longest pause of the event loop since the last scrape.",
            value=pause,
        )


_TOTALS = (
    ("penstock_upstream_frames", "Frames received from providers.", "frames"),
    ("penstock_upstream_bytes", "Body bytes received from providers.", "bytes_in"),
    ("penstock_client_bytes", "Body bytes written to clients.", "bytes_out"),
    ("penstock_malformed_frames", "Frames of providers that were left out or ended a stream.", "malformed"),
    ("penstock_keepalives", "Keep-alives written to clients.", "keepalives"),
    ("penstock_client_frames_merged", "Frames that went out as part of others, to clients that read slowly.", "merged"),
    ("penstock_client_blocked_seconds", "Seconds for which clients were blocked.", "blocked"),
)


_LEDGER = (
    ("reachable", "1 while the ledger's database takes rows."),
    ("spool_bytes", "Bytes of rows that wait for the ledger's database."),
    ("open", "Streams that are not settled."),
)


def _counter(
    name: str, help_text: str, labels: tuple[str, ...], values: dict[tuple[str, ...], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, help_text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _histogram(
    name: str, help_text: str, labels: tuple[str, ...], values: dict[tuple[str, ...], _Histogram]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, help_text, labels=labels)
    for key, histogram in values.items():
        buckets, total = histogram.buckets()
        family.add_metric(key, buckets, total)
    return family
