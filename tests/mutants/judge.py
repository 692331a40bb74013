"""Runs tests against many copies of the package. One process loads the tools once and forks for each copy.

Reads from standard input a list of ``[home, test, …]``, one for each copy: the folder that holds it, and the tests to
run. Writes a list of ``[exit code of pytest, its words]``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile

import hypothesis.strategies
import msgspec
import pytest

LOADED = (hypothesis, msgspec, pytest)
WITHOUT = [word for plugin in ("cacheprovider", "asyncio", "anyio") for word in ("-p", f"no:{plugin}")]
QUIET = ["-x", "-q", "--no-header", "--tb=line", "--assert=plain", *WITHOUT]


def begin(home: str, tests: list[str]) -> tuple[int, str]:
    """Fork a child that runs the tests: its process, and the file that its words go to."""
    handle, words = tempfile.mkstemp()
    process = os.fork()
    if process:
        os.close(handle)
        return process, words
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    sys.path.insert(0, home)
    code = pytest.main([*QUIET, "-c", os.devnull, "--rootdir", home, *tests])
    sys.stdout.flush()
    os._exit(code)


def main() -> None:
    """Two children at a time, or as many as there are processors."""
    assert not any(name.partition(".")[0] == "penstock" for name in sys.modules), "the copies are to be imported"
    jobs = json.load(sys.stdin)
    verdicts: list[tuple[int, str] | None] = [None] * len(jobs)
    running: dict[int, tuple[int, str]] = {}
    waiting = list(enumerate(jobs))
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 2):
            number, (home, *tests) = waiting.pop(0)
            process, words = begin(home, tests)
            running[process] = number, words
        process, status = os.wait()
        number, words = running.pop(process)
        with open(words, encoding="utf-8") as file:
            verdicts[number] = os.waitstatus_to_exitcode(status), file.read()
        os.unlink(words)
    json.dump(verdicts, sys.stdout)


if __name__ == "__main__":
    main()
