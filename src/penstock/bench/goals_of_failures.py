"""What is promised where a provider fails, and the columns that show it."""

from __future__ import annotations

from penstock.bench.failover import CLOSED, FAILS
from penstock.bench.goals import Column, Goal
from penstock.bench.hang import BESIDE, HANGING, PROBE

OF_FAILURES = (
    Goal(
        "failover",
        "beyond_p99_ms",
        "First token of the second target, p99, at most 50 ms beyond the configured time, the worst way of failing",
        50.0,
        "ms",
        rows=tuple(name for name in FAILS if FAILS[name]),
    ),
    Goal(
        "failover",
        "left_open",
        "Connections to a first target that failed, left when all streams are over",
        0.0,
        "connections",
        worst=True,
        rows=CLOSED,
    ),
    Goal(
        "hang",
        "added_first_p50_ms",
        f"First token beside {HANGING:,} streams that hang, the median, unchanged but for 1 ms",
        1.0,
        "ms",
        rows=(BESIDE,),
    ),
    Goal(
        "hang",
        "added_first_p99_ms",
        f"First token beside {HANGING:,} streams that hang, p99, unchanged but for 5 ms",
        5.0,
        "ms",
        rows=(BESIDE,),
    ),
    Goal("hang", "rss_kib_per_stream", "Memory of a stream that hangs, at most 32 KiB", 32.0, "KiB", rows=(BESIDE,)),
    Goal(
        "hang",
        "recovery_s",
        "A provider that is well again serves within one probe interval (5 s) and a tenth",
        PROBE * 1.1,
        "s",
        worst=True,
        rows=(BESIDE,),
    ),
)
COLUMNS_OF_FAILURES: dict[str, tuple[Column, ...]] = {
    "failover": (
        ("configured_ms", "configured ms", ".0f"),
        ("first_p50_ms", "first token p50 ms", ".2f"),
        ("first_p99_ms", "first token p99 ms", ".2f"),
        ("beyond_p99_ms", "p99 beyond the configured ms", ".2f"),
        ("left_open", "connections left", ".0f"),
    ),
    "hang": (
        ("first_p50_ms", "first token p50 ms", ".2f"),
        ("first_p99_ms", "first token p99 ms", ".2f"),
        ("added_first_p50_ms", "added p50 ms", "+.2f"),
        ("added_first_p99_ms", "added p99 ms", "+.2f"),
        ("pause_ms", "longest pause ms", ".2f"),
        ("rss_kib_per_stream", "RSS KiB/stream that hangs", ".1f"),
        ("recovery_s", "found again after s", ".2f"),
    ),
}
