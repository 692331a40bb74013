"""Lines in the files of a directory: written at the end, read from the beginning, whole or not at all.

A line counts as kept when `append` has returned and `sync` after it: then it is on the disk. What a crash leaves of an
unfinished line is cut off at the next start.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from io import FileIO
from pathlib import Path

from penstock.errors import PenstockError

SUFFIX = ".jsonl"
_LOCK = ".lock"


class Segments:
    """The files of ``directory``, which is made. A file takes lines until it has ``size`` bytes or is ``age`` seconds
    old; where ``keep`` is given, only that many files stay. Raises PenstockError when another process has it."""

    def __init__(self, directory: Path, *, size: int, age: float | None = None, keep: int | None = None):
        self._directory = directory
        self._most = size
        self._age = age
        self._keep = keep
        self._file: FileIO | None = None
        self._path: Path | None = None
        self._at = 0
        self._since = 0.0
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise PenstockError(f"capture: {directory} is in use by another gateway; give each its own") from None
        except OSError as error:
            raise PenstockError(f"capture: {directory} cannot be used: {error.strerror or error}") from None
        names = self.paths
        self._number = int(names[-1].stem) + 1 if names else 1
        if names:
            _mend(names[-1])

    @property
    def paths(self) -> list[Path]:
        """The files, the oldest first."""
        found = [path for path in self._directory.glob(f"*{SUFFIX}") if path.stem.isdigit()]
        return sorted(found, key=lambda path: int(path.stem))

    @property
    def current(self) -> Path | None:
        """The file that takes lines now."""
        return self._path

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(_size(path) for path in self.paths)

    def append(self, line: bytes, now: float) -> None:
        """Write a line. Raises OSError; then nothing of it is left."""
        if self._at >= self._most or (self._age is not None and now - self._since >= self._age):
            self._leave()
        file = self._file or self._open(now)
        data = line + b"\n"
        try:
            left = memoryview(data)
            while left:
                left = left[file.write(left) :]
        except OSError:
            self._undo(file)
            raise
        self._at += len(data)

    def sync(self) -> None:
        """All lines are on the disk then. No file stays open between two batches of lines. Raises OSError."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._shut()

    def close(self) -> None:
        """Give the directory back."""
        self._leave()
        os.close(self._lock)

    def _shut(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _leave(self) -> None:
        """The next line goes to another file."""
        self._shut()
        self._path, self._at = None, 0

    def _open(self, now: float) -> FileIO:
        if self._path is not None:
            self._file = FileIO(self._path, "ab", opener=_private)
            self._at = self._file.seek(0, os.SEEK_END)
            return self._file
        path = self._directory / f"{self._number:09}{SUFFIX}"
        # Named before it is there: who reads along would take an empty file that is not the current one for a used one.
        self._path, self._at, self._since = path, 0, now
        try:
            self._file = FileIO(path, "xb", opener=_private)
        except OSError:
            self._path = None
            raise
        self._number += 1
        if self._keep is not None:
            for old in self.paths[: -self._keep]:
                old.unlink(missing_ok=True)
        return self._file

    def _undo(self, file: FileIO) -> None:
        """Cut off what was written of a line."""
        try:
            file.truncate(self._at)
            file.seek(self._at)
        except OSError:
            self._leave()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _mend(path: Path) -> None:
    """Cut off a last line that has no end."""
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        at = end
        while at:
            start = max(0, at - 65_536)
            file.seek(start)
            found = file.read(at - start).rfind(b"\n")
            if found >= 0:
                at = start + found + 1
                break
            at = start
        if at < end:
            file.truncate(at)
