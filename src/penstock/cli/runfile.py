"""Where a running gateway can be found by its configuration's file, and what came of its last reload."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import IO

import msgspec

if sys.platform != "win32":
    import fcntl


class Run(msgspec.Struct):
    """A gateway that runs."""

    pid: int
    reloads: int = 0
    """How many were tried."""
    problems: list[str] = []
    """Of the last one; none: its configuration serves."""


class RunFile:
    """The file of the gateway that serves the configuration at ``config``."""

    def __init__(self, config: str):
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        owner = "" if sys.platform == "win32" else os.getuid()
        self._folder = Path(base) / f"penstock-{owner}"
        self._name = hashlib.sha256(os.path.realpath(config).encode()).hexdigest()[:16]
        self._path = self._folder / f"{self._name}.json"
        self._lock: IO[str] | None = None
        """Held while this process serves: a process id may be somebody else's by now, a lock may not."""

    def read(self) -> Run | None:
        """Who serves; None: nobody. A file in a folder of somebody else's is not believed."""
        try:
            if not self._ours():
                return None
            run = msgspec.json.decode(self._path.read_bytes(), type=Run)
            return run if self._alive(run.pid) else None
        except (OSError, msgspec.MsgspecError):
            return None

    def write(self, run: Run) -> None:
        """Say that this process serves. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if not self._ours():
            raise PermissionError(f"{self._folder} belongs to somebody else")
        if self._lock is None:
            self._lock = self._lock_of(run.pid).open("w")
            if sys.platform != "win32":
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        draft = self._path.with_suffix(f".{run.pid}.draft")
        draft.write_bytes(msgspec.json.encode(run))
        draft.replace(self._path)

    def remove(self) -> None:
        """It is over; unless the next one has said that it serves."""
        if self._lock is None:
            return
        run = self.read()
        if run is not None and run.pid == os.getpid():
            self._path.unlink(missing_ok=True)
        self._lock_of(os.getpid()).unlink(missing_ok=True)
        self._lock.close()

    def _ours(self) -> bool:
        return sys.platform == "win32" or self._folder.stat().st_uid == os.getuid()

    def _lock_of(self, pid: int) -> Path:
        return self._folder / f"{self._name}.{pid}.lock"

    def _alive(self, pid: int) -> bool:
        if sys.platform == "win32":
            return True
        with self._lock_of(pid).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False
