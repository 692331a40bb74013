"""``penstock bench``."""

from __future__ import annotations

import contextlib
import platform
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import click
import msgspec

from penstock import __version__
from penstock.bench import proc
from penstock.bench.children import find_nginx, nginx_version
from penstock.bench.job import BenchError
from penstock.bench.measures import MEASURES, run
from penstock.bench.page import page
from penstock.bench.report import Report, text

_NAMES = tuple(measure.name for measure in MEASURES)
_ROUNDS = 5
_QUICK_ROUNDS = 1
_FILES = click.Path(dir_okay=False, writable=True, path_type=Path)


def _read_only(_: click.Context, __: click.Parameter, given: str | None) -> tuple[str, ...]:
    if given is None:
        return _NAMES
    wanted = {name.strip() for name in given.split(",")}
    if unknown := sorted(wanted.difference(_NAMES)):
        raise click.BadParameter(f"{unknown[0]!r} is not a measure; there are {', '.join(_NAMES)}")
    return tuple(name for name in _NAMES if name in wanted)


@click.command("bench", short_help="The benchmark: against nginx and against no gateway.")
@click.option("--rounds", type=click.IntRange(1, 50), help=f"Rounds of each measure.  [default: {_ROUNDS}]")
@click.option("--only", callback=_read_only, metavar="NAMES", help=f"Some of {','.join(_NAMES)}, with commas.")
@click.option("--quick", is_flag=True, help="One short round of each, to see that it works: about 80 s.")
@click.option("--json", "json_file", type=_FILES, help="Write all numbers here.")
@click.option("--write", "page_file", type=_FILES, help="Write a page here, such as docs/performance.md.")
def bench_command(
    rounds: int | None, only: tuple[str, ...], quick: bool, json_file: Path | None, page_file: Path | None
) -> None:
    """Measure the gateway against nginx and against no gateway, interleaved, on this machine and on loopback.

    It takes about seven minutes and needs two idle cores. Compare ratios; times belong to the machine.
    """
    try:
        with _ended_by_signals():
            report = measured(rounds or (_QUICK_ROUNDS if quick else _ROUNDS), only, quick)
        click.echo(text(report), nl=False)
        if json_file is not None:
            json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
        if page_file is not None:
            page_file.write_text(page(report), encoding="utf-8")
    except BenchError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'the benchmark'}: {error.strerror or error}")


def measured(rounds: int, only: tuple[str, ...], quick: bool) -> Report:
    """Run it. Raises BenchError."""
    if not sys.platform.startswith("linux"):
        raise BenchError("the benchmark reads CPU time and memory as Linux tells them, and runs only there")
    nginx = find_nginx()
    chosen = [measure for measure in MEASURES if measure.name in only]
    streams = max(measure.job_for(quick).streams for measure in chosen)
    # A proxy has two sockets a stream.
    proc.raise_open_files(2 * streams + 256)
    started = time.monotonic()
    date = datetime.now(UTC).date().isoformat()
    outcomes = tuple(run(chosen, rounds, quick, nginx, _tell))
    return Report(
        penstock=__version__,
        python=platform.python_version(),
        uvloop=version("uvloop"),
        nginx=nginx_version(nginx),
        machine=proc.machine(),
        date=date,
        seconds=time.monotonic() - started,
        command=_command(rounds, only, quick),
        rounds=rounds,
        quick=quick,
        outcomes=outcomes,
    )


def _command(rounds: int, only: tuple[str, ...], quick: bool) -> str:
    """What to type for the same again."""
    words = ["penstock bench"]
    if quick:
        words.append("--quick")
    if rounds != (_QUICK_ROUNDS if quick else _ROUNDS):
        words.append(f"--rounds {rounds}")
    if only != _NAMES:
        words.append(f"--only {','.join(only)}")
    return " ".join([*words, "--write docs/performance.md"])


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A signal ends the benchmark with its processes and its files; SIGINT too where a shell had it ignored."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _fail(message: str) -> None:
    click.echo(f"penstock: {message}", err=True)
    sys.exit(1)
