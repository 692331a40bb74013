"""The spool: rows on their way to the database, in files. What was appended survives the process, however it ends.

    spool/<owner>/lock          locked as long as the owner lives
    spool/<owner>/00000001.log  rows as JSON, one a line; later lines of a stream replace earlier ones

Appending is one `write` to the page cache: microseconds, from the event loop. Files are cut off and read by the
writer's thread, and dropped once the database has what is in them: read twice they change nothing, so dying in between
is safe.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from penstock.errors import PenstockError
from penstock.metering.row import Row
from penstock.plain import encoded
from penstock.store import schema
from penstock.store.schema import Line

SEGMENT = 1024 * 1024
"""Bytes after which a file is cut off by itself."""
RESERVE = 4096
"""Bytes that are kept for the settlement of every open stream."""
LOCK = "lock"
SUFFIX = ".log"


class SpoolFull(PenstockError):
    """There is no room for another stream."""


class Spool:
    """One owner's files. ``limit``: bytes at which no stream is taken in any more."""

    def __init__(self, folder: Path, owner: str, limit: int):
        self.owner = owner
        self.folder = folder / owner
        self._limit = limit
        self._guard = threading.Lock()
        self._file: int | None = None
        self._name = self.folder
        """Of the open file."""
        self._cut_off: list[Path] = []
        """The files that nothing is appended to any more, oldest first."""
        self._written = 0
        """Bytes in the open file."""
        self._closed = 0
        """Bytes in the files that were cut off."""
        self._number = 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            advice = "set ledger.spool, or ledger: null"
            raise PenstockError(
                f"the ledger's spool {self.folder} cannot be used: {error.strerror}; {advice}"
            ) from None

    @property
    def size(self) -> int:
        """Bytes that wait for the database."""
        return self._closed + self._written

    def room(self, streams: int) -> bool:
        """Whether another stream fits beside so many open ones."""
        return self.size + (streams + 1) * RESERVE <= self._limit

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows, all or none. Raises OSError."""
        try:
            data = _ENCODER.encode_lines(rows)
        except UnicodeEncodeError:
            data = b"".join(encoded(row) + b"\n" for row in rows)
        with self._guard:
            if self._file is None:
                self._number += 1
                self._name = self.folder / f"{self._number:08}{SUFFIX}"
                self._file = os.open(self._name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            done = 0
            try:
                while done < len(data):
                    done += os.write(self._file, data[done:])
            except OSError:
                os.ftruncate(self._file, self._written)
                os.lseek(self._file, self._written, os.SEEK_SET)
                raise
            self._written += len(data)
            if self._written >= SEGMENT:
                self._cut()

    def cut(self) -> list[Path]:
        """The files that nothing is appended to any more, oldest first, the present one among them."""
        with self._guard:
            # Not what is in the folder: the next file may be there already, with more to come.
            if self._written:
                self._cut()
            return list(self._cut_off)

    def _cut(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._cut_off.append(self._name)
            self._closed += self._written
            self._written = 0

    def drop(self, segment: Path) -> None:
        """The database has it."""
        size = segment.stat().st_size
        segment.unlink()
        with self._guard:
            self._cut_off.remove(segment)
            self._closed -= size

    def close(self) -> None:
        """Let go of the folder. It is removed unless rows are left in it, for whoever comes next."""
        with self._guard:
            self._cut()
        _remove(self.folder, self._lock)


class Left:
    """The folder of an owner that is gone, locked so that nobody else takes it over too."""

    def __init__(self, folder: Path, lock: int):
        self.owner = folder.name
        self.folder = folder
        self._lock = lock

    @classmethod
    def found(cls, folder: Path, owner: str) -> list[Self]:
        """Those in ``folder``, but for that of the living ``owner``."""
        others = [each for each in sorted(folder.iterdir()) if each.name != owner and each.is_dir()]
        return [cls(each, lock) for each in others if (lock := _try_lock(each)) is not None]

    def segments(self) -> list[Path]:
        """Its files, oldest first."""
        return segments(self.folder)

    def release(self) -> None:
        """Let go of it, removed unless rows are left."""
        _remove(self.folder, self._lock)


def segments(folder: Path) -> list[Path]:
    """A folder's files with rows, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def read(segment: Path) -> tuple[list[Line], int]:
    """The rows of a file, and how many lines are none: the last one is cut short where the disk was full or the
    machine died. Raises OSError."""
    lines, broken = [], 0
    for json in segment.read_bytes().split(b"\n"):
        if json:
            try:
                lines.append(schema.line(json))
            except msgspec.DecodeError:
                broken += 1
    return lines, broken


_ENCODER = msgspec.json.Encoder()


def _try_lock(folder: Path) -> int | None:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Somebody may have taken it over, and removed it, between the two calls.
        if os.fstat(lock).st_nlink:
            return lock
    except OSError:
        pass
    os.close(lock)
    return None


def _remove(folder: Path, lock: int) -> None:
    try:
        if not segments(folder):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()
    except OSError:
        pass
    finally:
        os.close(lock)
