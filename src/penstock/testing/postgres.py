"""A real PostgreSQL for tests, in a folder of its own, on a free port.

with PostgresServer(folder) as server:
    connect(server.url)
    server.stop()
    server.start()
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Self

_ROOT_MAY_NOT = "postgres"
"""The user that it runs as where the tests are root: PostgreSQL refuses to be."""


def installed() -> Path | None:
    """The folder of its programs."""
    if (found := shutil.which("initdb")) is not None:
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None


class PostgresServer:
    """One server with one database, ``penstock``."""

    def __init__(self, folder: Path):
        programs = installed()
        if programs is None:
            raise FileNotFoundError("PostgreSQL is not installed; see tools/install-test-services")
        self._programs = programs
        self._folder = folder / "postgres"
        self._user = _ROOT_MAY_NOT if os.getuid() == 0 else None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]

    @property
    def url(self) -> str:
        """Of the database."""
        return f"postgresql://penstock:secret@127.0.0.1:{self.port}/penstock"

    def __enter__(self) -> Self:
        self._folder.mkdir()
        if self._user is not None:
            shutil.chown(self._folder, self._user)
            for parent in self._folder.parents:
                if parent != parent.parent and parent.owner() == "root" and len(parent.parts) > 2:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "-D", str(self._data), "-U", "penstock", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "penstock", "penstock")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = f"-p {self.port} -h 127.0.0.1 -k {self._folder} -F"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._folder / "log"), "-w", "-o", settings, "start")

    def stop(self) -> None:
        """Stop it, in the middle of whatever it does."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop", check=False)

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=check,
            user=self._user,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
