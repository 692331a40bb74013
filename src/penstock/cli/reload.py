"""``penstock reload``, and the gateway's side of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

import click

from penstock.cli.config_file import DEFAULT
from penstock.cli.runfile import Run, RunFile
from penstock.config import Config, ConfigError
from penstock.errors import PenstockError

PATIENCE = 15.0
"""Seconds within which the gateway is to say what came of it."""
_LOOK_EVERY = 0.05


class Reloads:
    """Reads a gateway's configuration anew, and tells what came of it (see `app.Reloading`)."""

    def __init__(self, path: str, read: Callable[[], Config]):
        self._read = read
        self._file = RunFile(path)
        self._run = Run(os.getpid())

    def begin(self) -> None:
        """From now on this gateway is the one to be asked. Where that cannot be written, SIGHUP still works."""
        try:
            self._file.write(self._run)
        except OSError as error:
            click.echo(f"penstock reload will not find this gateway: {error}", err=True)

    def read(self) -> Config:
        """The configuration as it stands now. Raises PenstockError."""
        try:
            return self._read()
        except ConfigError:
            raise
        except OSError as error:
            raise PenstockError(str(error)) from error

    def told(self, problems: list[str]) -> None:
        """What came of a reload; no problems: it serves."""
        self._run = Run(os.getpid(), self._run.reloads + 1, problems)
        self.begin()

    def end(self) -> None:
        """This gateway is over."""
        self._file.remove()


@click.command("reload")
@click.option("-c", "--config", "path", default=DEFAULT, show_default=True, metavar="FILE", help="The configuration.")
def reload_command(path: str) -> None:
    """Let the gateway that serves FILE read it anew; streams under way are not touched. Exit 2: it is not usable, and
    the old one goes on."""
    file = RunFile(path)
    run = file.read()
    if run is None:
        _fail(f"no gateway serves {path}: start one with penstock serve -c {path}", 1)
    try:
        os.kill(run.pid, signal.SIGHUP)
    except OSError as error:
        _fail(f"the gateway (process {run.pid}) cannot be told: {error.strerror}", 1)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        now = file.read()
        if now is None:
            _fail(f"the gateway (process {run.pid}) has gone", 1)
        if now.pid == run.pid and now.reloads > run.reloads:
            if now.problems:
                _fail("\n".join([*now.problems, "the old configuration goes on"]), 2)
            click.echo(f"{path}: it serves now")
            return
        time.sleep(_LOOK_EVERY)
    _fail(f"the gateway (process {run.pid}) did not say within {PATIENCE:g} s what came of it; see its log", 1)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    raise click.exceptions.Exit(code)
