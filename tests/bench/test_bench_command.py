"""The command, with real processes. How fast they are is not tested here."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.bench import children
from penstock.bench.command import bench_command
from penstock.bench.failover import CLOSED, FAILS
from penstock.bench.goals_of_failures import OF_FAILURES
from penstock.bench.hang import ALONE, BESIDE
from penstock.bench.job import BenchError
from penstock.bench.wires import CASES

ARGV = [sys.executable, "-c", "from penstock.bench.command import bench_command as c; c()"]


def test_a_quick_run_of_one_measure(tmp_path: Path) -> None:
    numbers, written = tmp_path / "bench.json", tmp_path / "performance.md"
    done = subprocess.run(
        [*ARGV, "--quick", "--only", "paced", "--json", str(numbers), "--write", str(written)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "paced, round 1 of 1\n"
    assert "paced: 200 streams" in done.stdout and "× nginx" in done.stdout
    report = json.loads(numbers.read_text())
    assert [outcome["name"] for outcome in report["outcomes"]] == ["paced"]
    own = report["outcomes"][0]["figures"]["gateway"]
    assert own["cpu_us_per_chunk"]["median"] > 0 and own["cpu_us_per_chunk_x_nginx"]["median"] > 0
    assert "pause_ms" in own and "added_first_p99_ms" in own
    page = written.read_text()
    assert "`penstock bench --quick --only paced --write docs/performance.md`" in page
    assert str(tmp_path) not in page


@pytest.mark.thorough
def test_a_quick_run_of_the_wires(tmp_path: Path) -> None:
    numbers, written = tmp_path / "bench.json", tmp_path / "performance.md"
    done = subprocess.run(
        [*ARGV, "--quick", "--only", "wires", "--json", str(numbers), "--write", str(written)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "wires, round 1 of 1\n"
    report = json.loads(numbers.read_text())
    rows = report["outcomes"][0]["figures"]
    assert list(rows) == [case.label for case in CASES]
    for own in rows.values():
        assert own["cpu_us_per_chunk"]["median"] > 0 and own["nginx_us_per_chunk"]["median"] > 0
    page = written.read_text()
    for case in CASES:
        assert f"| {case.label} |" in page and f"  {case.label} " in done.stdout
    assert "CPU a chunk, translated, the costliest pair, at most 2.5 × nginx" in page


@pytest.mark.thorough
def test_a_quick_run_of_providers_that_fail(tmp_path: Path) -> None:
    numbers, written = tmp_path / "bench.json", tmp_path / "performance.md"
    done = subprocess.run(
        [*ARGV, "--quick", "--only", "failover,hang", "--json", str(numbers), "--write", str(written)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "failover, round 1 of 1\nhang, round 1 of 1\n"
    failover, hang = (outcome["figures"] for outcome in json.loads(numbers.read_text())["outcomes"])
    assert list(failover) == list(FAILS)
    assert [failover[name]["left_open"]["median"] for name in CLOSED] == [0.0] * len(CLOSED)
    assert failover["no headers"]["first_p50_ms"]["median"] > failover["no headers"]["configured_ms"]["median"] == 300
    assert hang[BESIDE]["recovery_s"]["median"] > 0 and hang[BESIDE]["rss_kib_per_stream"]["median"] > 0
    page = written.read_text()
    for name in (*FAILS, ALONE, BESIDE):
        assert f"| {name} |" in page and f"  {name} " in done.stdout
    for goal in OF_FAILURES:
        assert goal.text in page


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen(
        [*ARGV, "--quick", "--only", "paced"], stderr=subprocess.PIPE, text=True, env={"TMPDIR": str(tmp_path)}
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline() == "paced, round 1 of 1\n"
        time.sleep(0.3)
        started = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(started) == 4 and len(list(tmp_path.glob("penstock-bench-*"))) == 1
        process.send_signal(number)
        assert process.wait(20) == 1
        assert process.stderr.read().strip() == "Aborted!"
    finally:
        process.kill()
        process.communicate()
    assert not [pid for pid in started if Path("/proc", pid).exists()]
    assert list(tmp_path.glob("penstock-bench-*")) == []


def test_a_measure_that_there_is_not_is_refused() -> None:
    done = CliRunner().invoke(bench_command, ["--only", "paced,speed"])
    assert done.exit_code == 2
    assert "'speed' is not a measure; there are paced, saturation, first_token, idle, short, wires, " in done.output
    assert "failover, hang" in done.output


def test_without_nginx_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children.shutil, "which", lambda *_, **__: None)
    done = CliRunner().invoke(bench_command, ["--quick"])
    assert done.exit_code == 1
    assert done.output == (
        "penstock: nginx is missing, and it is what the gateway is measured against: `make bench` installs it\n"
    )


def test_a_process_that_does_not_start_is_told_with_its_reason(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]
    child = children.Child("the thing", argv, 1, tmp_path / "log")
    with pytest.raises(BenchError, match="the thing ended with exit code 1: no such thing"):
        child.wait_ready()
    child.stop()


def test_a_quick_run_of_the_ledger(tmp_path: Path) -> None:
    numbers = tmp_path / "bench.json"
    command = [*ARGV, "--quick", "--only", "ledger", "--json", str(numbers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "ledger, round 1 of 1\n"
    own = json.loads(numbers.read_text())["outcomes"][0]["figures"]["ledger"]
    assert own["cpu_us_per_row"]["median"] > 0
    assert "% of a core" in done.stdout
