"""``server.workers``: processes behind one port, and the one that watches them.

Each worker accepts from a listening socket of its own, between which the kernel spreads connections. The watching
process holds all of them open: what came for a worker that died waits for the one that is started in its place.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NoReturn

from penstock import app
from penstock.cli.reload import Reloads
from penstock.config import Config
from penstock.config.renewal import renewed
from penstock.errors import PenstockError
from penstock.telemetry.log import DirectWriter, LineHandler

logger = logging.getLogger("penstock.workers")
_AT_ONCE = 1.0
"""Seconds: a worker that lived shorter is started again only after as long."""
_NAMES = ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD", "SIGALRM")
_WATCHED = tuple(number for number in signal.Signals if number.name in _NAMES)


class Workers:
    """The workers of one gateway."""

    def __init__(self, config: Config, sockets: list[socket.socket], reloads: Reloads):
        self._config = config
        self._sockets = sockets
        self._reloads = reloads
        self._running: dict[int, tuple[int, float]] = {}
        """Number and start by process id."""
        self._missing: list[int] = []
        self._stopping = False
        self._folder = Path(tempfile.mkdtemp(prefix="penstock-"))
        self._lifeline = os.pipe()
        """Its other end tells the workers when this process is gone, however that came about."""

    def run(self) -> None:
        """Until a signal ends it and all workers have ended."""
        logging.getLogger().addHandler(LineHandler(DirectWriter(), self._config.telemetry.log))
        logging.getLogger("penstock").setLevel(logging.INFO)
        # Where its default is to be ignored it would not wait for `sigwait`.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            for number in range(1, len(self._sockets) + 1):
                self._start(number)
            self._reloads.begin()
            while self._running or self._missing:
                self._heard(signal.sigwait(_WATCHED))
        finally:
            self._reloads.end()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _heard(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._bury()
        elif number == signal.SIGALRM:
            missing, self._missing = self._missing, []
            for worker in missing:
                self._start(worker)
        elif number == signal.SIGHUP:
            self._reload()
        else:
            self._stop()

    def _stop(self) -> None:
        if not self._stopping and self._config.server.reuse_port:
            # The next gateway has the port: what is held here would wait for nobody.
            for sock in self._sockets:
                sock.close()
        self._stopping = True
        self._missing.clear()
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for pid in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _reload(self) -> None:
        try:
            config = self._reloads.read()
            app.check(config)
        except PenstockError as error:
            problems = str(error).splitlines()
            for problem in problems:
                logger.error("the old configuration goes on: %s", problem)
            self._reloads.told(problems)
            return
        self._config, _ = renewed(self._config, config)
        self._tell(signal.SIGHUP)
        self._reloads.told([])

    # -- processes ------------------------------------------------------------------------------------------------

    def _start(self, number: int) -> None:
        if self._stopping:
            return
        pid = os.fork()
        if pid == 0:
            self._be(number)
        self._running[pid] = number, time.monotonic()

    def _be(self, number: int) -> NoReturn:
        """The worker's own life."""
        code = 1
        try:
            # Ctrl-C is for the watching process alone.
            os.setpgid(0, 0)
            logging.getLogger().handlers.clear()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._lifeline[1])
            for other, sock in enumerate(self._sockets, 1):
                if other != number:
                    sock.close()
            worker = app.Worker(number, len(self._sockets), self._folder)
            gateway = app.Gateway(self._config, worker=worker)
            reloading = Silent(self._reloads)
            sock = self._sockets[number - 1]
            app.run(gateway, sock, reloading, lifeline=self._lifeline[0], unblock=_WATCHED)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _bury(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            number, started = self._running.pop(pid)
            if self._stopping:
                continue
            how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {status >> 8}"
            logger.error("worker %d (process %d) ended with %s and is started again", number, pid, how)
            if time.monotonic() - started < _AT_ONCE:
                self._missing.append(number)
                signal.setitimer(signal.ITIMER_REAL, _AT_ONCE)
            else:
                self._start(number)


class Silent:
    """A worker's reloads: the watching process has said already what came of them."""

    def __init__(self, reloads: Reloads):
        self._reloads = reloads

    def begin(self) -> None:
        """Nothing to be said."""

    def read(self) -> Config:
        """The configuration as it stands now. Raises PenstockError."""
        return self._reloads.read()

    def told(self, problems: list[str]) -> None:
        """Nothing to be said."""

    def end(self) -> None:
        """Nothing to be said."""
