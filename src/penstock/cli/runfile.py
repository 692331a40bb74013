"""Where a running gateway can be found by its configuration's file, and what came of its last reload."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec


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
        owner = os.getuid() if hasattr(os, "getuid") else 0
        base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
        self._folder = Path(base) / f"penstock-{owner}"
        name = hashlib.sha256(os.path.realpath(config).encode()).hexdigest()[:16]
        self._path = self._folder / f"{name}.json"

    def read(self) -> Run | None:
        """Who serves; None: nobody. A file in a folder of somebody else's is not believed."""
        try:
            if hasattr(os, "getuid") and self._folder.stat().st_uid != os.getuid():
                return None
            run = msgspec.json.decode(self._path.read_bytes(), type=Run)
            os.kill(run.pid, 0)
        except (OSError, msgspec.MsgspecError):
            return None
        return run

    def write(self, run: Run) -> None:
        """Say it. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "getuid") and self._folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{self._folder} belongs to somebody else")
        draft = self._path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(msgspec.json.encode(run))
        draft.replace(self._path)

    def remove(self) -> None:
        """It is over; unless the next one has said that it serves."""
        run = self.read()
        if run is not None and run.pid == os.getpid():
            self._path.unlink(missing_ok=True)
