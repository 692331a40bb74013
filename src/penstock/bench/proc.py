"""What the kernel knows about processes and the machine. Linux only."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from penstock.bench.job import BenchError, Memory

_PROC = Path("/proc")


class Machine(msgspec.Struct, frozen=True):
    """Where a benchmark ran. ``memory`` in bytes."""

    cpu: str
    cores: int
    memory: int
    kernel: str


def machine() -> Machine:
    """This machine."""
    return Machine(
        cpu=cpu_model((_PROC / "cpuinfo").read_text()) or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory=kibibytes((_PROC / "meminfo").read_text(), "MemTotal"),
        kernel=f"{platform.system()} {platform.release()}",
    )


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time (user and system) of processes with all their threads, ended ones too; to the microsecond."""
    # The clock of another process, as clock_getcpuclockid(3) would name it: /proc/PID/stat counts in steps of 10 ms.
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def busy_seconds() -> float:
    """CPU time of everything on this machine, and what its host took away, since it started."""
    return busy((_PROC / "stat").read_text()) / os.sysconf("SC_CLK_TCK")


def busy(text: str) -> int:
    """All but idle and waiting in the first line of the text of ``/proc/stat``, in ticks."""
    user, nice, system, _idle, _waiting, irq, softirq, steal = (int(word) for word in text.split(maxsplit=9)[1:9])
    return user + nice + system + irq + softirq + steal


def memory(pids: Iterable[int]) -> Memory:
    """Memory of processes, summed."""
    parts = [rollup((_PROC / str(pid) / "smaps_rollup").read_text()) for pid in pids]
    return Memory(sum(part.rss for part in parts), sum(part.pss for part in parts), sum(part.private for part in parts))


def rollup(text: str) -> Memory:
    """The text of ``/proc/PID/smaps_rollup``."""
    private = kibibytes(text, "Private_Clean") + kibibytes(text, "Private_Dirty")
    return Memory(kibibytes(text, "Rss"), kibibytes(text, "Pss"), private)


def kibibytes(text: str, name: str) -> int:
    """The value of a line ``Name:  123 kB``, in bytes. Raises ValueError when there is no such line."""
    match = re.search(rf"^{re.escape(name)}:\s+(\d+) kB$", text, re.MULTILINE)
    if match is None:
        raise ValueError(f"no line {name} in kB")
    return int(match[1]) * 1024


def connections_to(port: int) -> int:
    """Connections of this machine that stand, over IPv4, to a port."""
    return established((_PROC / "net/tcp").read_text(), port)


def established(text: str, port: int) -> int:
    """The lines of the text of ``/proc/net/tcp`` that are connections to a port which stand."""
    rows = [line.split()[2:4] for line in text.splitlines()[1:]]
    return sum(state == "01" and int(remote.rpartition(":")[2], 16) == port for remote, state in rows)


def cpu_model(text: str) -> str:
    """The processor's name in the text of ``/proc/cpuinfo``, or an empty text."""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def raise_open_files(needed: int) -> None:
    """Let this process and its children open ``needed`` files. Raises BenchError."""
    # Not everywhere; this module is imported wherever the command line is.
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise BenchError(
                f"{needed} open files are needed and {hard} allowed: raise the limit (ulimit -Hn {needed})"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
