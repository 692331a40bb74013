"""From results to figures, and from rounds to outcomes."""

import pytest

from penstock.bench.job import Job, Memory, Result
from penstock.bench.measures import MEASURES, compared, figures_of, over_rounds
from penstock.bench.spread import Times

JOB = Job(model="sim", streams=100, frames=2, window=2.0)
HELD = Job(model="sim", streams=100, frames=2, window=2.0, hold=True)


def result(**changes: object) -> Result:
    values: dict[str, object] = {
        "seconds": 2.0,
        "frames": 20_000,
        "streams": 100,
        "cpu": 0.5,
        "load_cpu": 0.25,
        "other_cpu": 0.1,
        "first": Times(100, 0.001, 0.004, 0.005),
        "gaps": Times(100, 0.02, 0.021, 0.03),
        "before": Memory(1 << 20, 1 << 20, 1 << 20),
        "after": Memory(3 << 20, 2 << 20, 1 << 20),
    }
    return Result(**(values | changes))  # type: ignore[arg-type]


def test_figures_have_their_units() -> None:
    assert figures_of(result(), JOB, watched=True) == pytest.approx(
        {
            "load_busy": 0.125,
            "others_busy": 0.05,
            "chunks_per_s": 10_000,
            "cpu_us_per_chunk": 25,
            "cpu_ms_per_stream": 5,
            "first_p50_ms": 1,
            "first_p99_ms": 4,
            "gap_p99_ms": 21,
        }
    )


def test_what_cannot_be_told_is_not_there() -> None:
    found = figures_of(result(frames=0, streams=0, first=Times(), gaps=Times(), other_cpu=-0.01), JOB, watched=True)
    assert found == {"load_busy": 0.125, "others_busy": 0.0}
    assert not [name for name in figures_of(result(), JOB, watched=False) if name.startswith("cpu")]


def test_memory_is_what_held_streams_added() -> None:
    found = figures_of(result(frames=0), HELD, watched=True)
    assert found["rss_kib_per_stream"] == pytest.approx(2048 / 100)
    assert found["pss_kib_per_stream"] == pytest.approx(1024 / 100)
    assert found["private_kib_per_stream"] == 0
    assert "rss_kib_per_stream" not in figures_of(result(frames=0), JOB, watched=True)
    assert "rss_kib_per_stream" not in figures_of(result(), HELD, watched=True)


def test_a_round_is_compared_within_itself() -> None:
    found = compared(
        {
            "direct": {"first_p99_ms": 1.0},
            "nginx": {"first_p99_ms": 1.5, "cpu_us_per_chunk": 20.0},
            "gateway": {"first_p99_ms": 2.5, "cpu_us_per_chunk": 30.0},
        }
    )
    assert found["direct"] == {"first_p99_ms": 1.0}
    assert found["gateway"]["added_first_p99_ms"] == 1.5
    assert found["gateway"]["cpu_us_per_chunk_x_nginx"] == 1.5
    assert found["nginx"]["cpu_us_per_chunk_x_nginx"] == 1.0


def test_a_round_without_direct_or_nginx_has_no_comparison() -> None:
    found = compared({"gateway": {"first_p99_ms": 2.5, "cpu_us_per_chunk": 30.0}})
    assert found == {"gateway": {"first_p99_ms": 2.5, "cpu_us_per_chunk": 30.0}}


def test_a_ratio_is_the_median_of_ratios() -> None:
    rounds = [
        compared({"nginx": {"cpu_us_per_chunk": low}, "gateway": {"cpu_us_per_chunk": high}})
        for low, high in ((10.0, 10.0), (20.0, 40.0), (40.0, 160.0))
    ]
    found = over_rounds("gateway", rounds)
    assert found["cpu_us_per_chunk"].median == 40
    assert found["cpu_us_per_chunk_x_nginx"].median == 2
    assert (found["cpu_us_per_chunk_x_nginx"].lowest, found["cpu_us_per_chunk_x_nginx"].highest) == (1, 4)


def test_a_figure_that_a_round_lacks_is_left_out() -> None:
    assert list(over_rounds("direct", [{"direct": {"a": 1.0, "b": 2.0}}, {"direct": {"b": 3.0}}])) == ["b"]


def test_the_load_of_a_measure_fits_together() -> None:
    names = [measure.name for measure in MEASURES]
    assert names == [
        "paced",
        "saturation",
        "first_token",
        "idle",
        "short",
        "wires",
        "failover",
        "hang",
        "guardrails",
        "ledger",
    ]
    for measure in MEASURES:
        for job in (measure.job, measure.quick):
            # The load generator counts this byte; a model's name is in every frame.
            assert "[" not in job.model
            assert not (job.hold and job.repeat)
