"""What the kernel says, read."""

import os
import resource
import threading
import time

import pytest

from penstock.bench import proc
from penstock.bench.job import BenchError, Memory

ROLLUP = """\
55fb81e04000-7ffc701dc000 ---p 00000000 00:00 0                          [rollup]
Rss:                1672 kB
Pss:                 257 kB
Pss_Dirty:           112 kB
Shared_Clean:       1520 kB
Private_Clean:        40 kB
Private_Dirty:       112 kB
"""
STAT = "cpu  100 20 30 4000 50 6 7 8 90 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n"


def test_memory_is_read_from_the_rollup() -> None:
    assert proc.rollup(ROLLUP) == Memory(rss=1672 * 1024, pss=257 * 1024, private=152 * 1024)


def test_a_missing_line_is_named() -> None:
    with pytest.raises(ValueError, match="Private_Clean"):
        proc.rollup(ROLLUP.replace("Private_Clean", "Other"))


def test_busy_is_all_but_idle_and_waiting() -> None:
    # Guest time, the last two, is in user and nice already.
    assert proc.busy(STAT) == 100 + 20 + 30 + 6 + 7 + 8


def test_the_processor_has_a_name_or_none() -> None:
    assert proc.cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n") == "Some CPU @ 3 GHz"
    assert proc.cpu_model("processor\t: 0\n") == ""


def test_own_cpu_time_is_that_of_all_threads() -> None:
    def work() -> None:
        end = time.thread_time() + 0.05
        while time.thread_time() < end:
            pass

    before = proc.cpu_seconds([os.getpid()])
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert proc.cpu_seconds([os.getpid()]) - before >= 0.05
    assert proc.cpu_seconds([]) == 0
    assert proc.busy_seconds() > 0


def test_a_process_that_is_gone_is_an_error() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    with pytest.raises(OSError):
        proc.cpu_seconds([pid])


def test_own_memory_is_something() -> None:
    found = proc.memory([os.getpid()])
    assert found.rss >= found.pss >= found.private > 0


def test_this_machine() -> None:
    machine = proc.machine()
    assert machine.cpu and machine.cores >= 1 and machine.memory > 2**28 and machine.kernel.startswith("Linux ")


def test_open_files_over_the_limit_are_told() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    proc.raise_open_files(16)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
    if before[1] != resource.RLIM_INFINITY:
        with pytest.raises(BenchError, match="ulimit -Hn"):
            proc.raise_open_files(before[1] + 1)
