"""Lines in files: whole or not at all, whatever happens to the disk and the process."""

import os
import resource
from io import FileIO
from pathlib import Path

import pytest

from penstock.capture.segments import Segments
from penstock.capture.sinks import Sink
from penstock.errors import PenstockError


def content(folder: Path) -> list[str]:
    return [path.read_text() for path in sorted(folder.glob("*.jsonl"))]


def test_a_file_is_followed_by_another_when_it_is_large_or_old(tmp_path):
    segments = Segments(tmp_path, size=10, age=60.0)
    for now, line in ((0.0, b"12345"), (1.0, b"67890"), (2.0, b"a"), (61.0, b"b"), (62.5, b"c")):
        segments.append(line, now)
    segments.close()
    assert content(tmp_path) == ["12345\n67890\n", "a\nb\n", "c\n"]


def test_the_oldest_files_go(tmp_path):
    segments = Segments(tmp_path, size=1, keep=2)
    for line in (b"a", b"b", b"c", b"d"):
        segments.append(line, 0.0)
    segments.close()
    assert content(tmp_path) == ["c\n", "d\n"]


def test_the_next_process_goes_on_behind_what_is_there_and_cuts_off_half_a_line(tmp_path):
    (tmp_path / "000000007.jsonl").write_bytes(b'{"a":1}\n{"b"' + b"x" * 70_000)
    segments = Segments(tmp_path, size=100)
    segments.append(b"{}", 0.0)
    segments.close()
    assert content(tmp_path) == ['{"a":1}\n', "{}\n"]
    assert (tmp_path / "000000008.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_directory_has_one_owner(tmp_path):
    segments = Segments(tmp_path, size=100)
    with pytest.raises(PenstockError, match="in use by another gateway"):
        Segments(tmp_path, size=100)
    segments.close()
    Segments(tmp_path, size=100).close()


def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PenstockError, match="cannot be used"):
        Segments(tmp_path / "file" / "below", size=100)


@pytest.fixture
def small_disk():
    """Files cannot grow beyond 100 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_of_a_line_for_which_there_is_no_room_nothing_is_left(tmp_path, small_disk):
    segments = Segments(tmp_path, size=1000)
    segments.append(b"a" * 60, 0.0)
    with pytest.raises(OSError):
        segments.append(b"b" * 60, 0.0)
    segments.append(b"c" * 30, 0.0)
    segments.close()
    assert content(tmp_path) == ["a" * 60 + "\n" + "c" * 30 + "\n"]


def test_lines_wait_for_the_disk_and_what_does_not_fit_into_memory_is_dropped(tmp_path, small_disk):
    sink = Sink("files", Segments(tmp_path, size=10_000), memory=130)
    sink.take(b"a" * 60)
    sink.write(0.0)
    for letter in (b"b", b"c", b"d"):
        sink.take(letter * 60)
        sink.write(0.0)
    assert sink.counts == {"kept": 1, "dropped": 1}
    assert sink.waiting == 2
    resource.setrlimit(resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)[1:] * 2)
    sink.write(0.0)
    assert sink.counts == {"kept": 3, "dropped": 1}
    assert sink.waiting == 0
    sink.give_up()
    assert content(tmp_path) == ["".join(letter * 60 + "\n" for letter in "abc")]


def test_a_spool_is_bounded(tmp_path):
    sink = Sink("webhook", Segments(tmp_path, size=50), memory=1000, most=150)
    for _ in range(4):
        sink.take(b"a" * 60)
    sink.write(0.0)
    assert sink.counts == {"kept": 2, "dropped": 2}
    sink.give_up()


def test_nothing_of_it_is_left_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    segments = Segments(tmp_path, size=1)
    segments.append(b"a", 0.0)
    segments.append(b"b", 0.0)
    segments.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_is_the_current_one_before_it_is_there(tmp_path, monkeypatch):
    segments = Segments(tmp_path / "spool", size=100)
    seen: list[bool] = []

    def opened(path: Path, *_: object, **__: object) -> FileIO:
        seen.append(segments.current == path)
        return FileIO(path, "xb")

    monkeypatch.setattr("penstock.capture.segments.FileIO", opened)
    segments.append(b"x", 0.0)
    segments.close()
    assert seen == [True]
