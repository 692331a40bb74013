"""The spool: whatever ends a process, what was appended is read back."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from ledger_rows import row

from penstock.errors import PenstockError
from penstock.store import spool as module
from penstock.store.spool import Left, Spool, read
from penstock.testing.disk import disk_of


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path, "gw_1", 1024 * 1024)


def all_rows(spool: Spool) -> list[str]:
    return [each.stream for segment in spool.cut() for each in read(segment)[0]]


def test_rows_are_read_back_in_their_order(spool):
    spool.append([row("st_1", None)])
    spool.append([row("st_2"), row("st_3")])
    assert spool.size > 0
    (segment,) = spool.cut()
    spool.append([row("st_4")])
    assert [each.stream for each in read(segment)[0]] == ["st_1", "st_2", "st_3"]
    assert all_rows(spool) == ["st_1", "st_2", "st_3", "st_4"]
    for each in spool.cut():
        spool.drop(each)
    assert spool.size == 0 and all_rows(spool) == []
    spool.close()
    assert not spool.folder.exists()


def test_a_long_outage_makes_few_files(spool, monkeypatch):
    monkeypatch.setattr(module, "SEGMENT", 2000)
    for number in range(20):
        spool.append([row(f"st_{number}")])
    assert 2 < len(spool.cut()) < 20
    assert len(all_rows(spool)) == 20


def test_room_is_kept_for_the_settlement_of_every_open_stream(tmp_path):
    spool = Spool(tmp_path, "gw_1", 10 * module.RESERVE)
    assert spool.room(9) and not spool.room(10)
    spool.append([row()])
    assert spool.room(8) and not spool.room(9)


def test_a_full_disk_takes_all_of_the_rows_or_none(spool):
    spool.append([row("st_1")])
    with disk_of(spool.size + 100), pytest.raises(OSError, match="too large"):
        spool.append([row("st_2"), row("st_3")])
    spool.append([row("st_4")])
    assert all_rows(spool) == ["st_1", "st_4"]


def test_a_line_that_was_cut_short_hides_no_other(spool):
    spool.append([row("st_1")])
    (segment,) = spool.cut()
    segment.write_bytes(segment.read_bytes() + b'{"stream":"st_2","start')
    rows, broken = read(segment)
    assert ([each.stream for each in rows], broken) == (["st_1"], 1)


def test_only_what_nobody_holds_is_taken_over(tmp_path, spool):
    spool.append([row()])
    assert Left.found(tmp_path, "gw_2") == []
    spool.close()
    (left,) = Left.found(tmp_path, "gw_2")
    assert left.owner == "gw_1"
    assert Left.found(tmp_path, "gw_3") == [], "two take over the same"
    left.release()
    assert left.folder.exists(), "its rows are still there"
    (left,) = Left.found(tmp_path, "gw_2")
    for segment in left.segments():
        segment.unlink()
    left.release()
    assert not left.folder.exists()


def test_a_folder_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PenstockError, match=r"spool .*file/gw_1 cannot be used: Not a directory"):
        Spool(tmp_path / "file", "gw_1", 1000)


def test_what_is_appended_while_files_are_dropped_is_never_dropped_with_them(spool):
    taken: list[str] = []
    over = threading.Event()

    def take() -> None:
        last = False
        while not last:
            last = over.is_set()
            for segment in spool.cut():
                taken.extend(each.stream for each in read(segment)[0])
                spool.drop(segment)

    taker = threading.Thread(target=take)
    taker.start()
    for number in range(3000):
        spool.append([row(f"st_{number}")])
    over.set()
    taker.join()
    assert taken == [f"st_{number}" for number in range(3000)]
    assert spool.size == 0
