"""``delivery.slow_client.merge``: what waits for a client is merged, and a client that keeps up notices nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.delivery import Delivery, SlowClient
from penstock.policy.metadata import Metadata
from penstock.server.buffers import Bounds, Buffers
from penstock.server.merging import AHEAD, Merging, merges
from penstock.stream.inputs import Headers
from penstock.stream.plan import Plan, Resumable
from penstock.testing import frames
from penstock.testing.playbook import plan
from penstock.testing.rig import Rig
from penstock.testing.steps import done, fin, hdr, raw, role
from penstock.testing.wire_cases import read, text_of

MERGE = Delivery(slow_client=SlowClient(merge=True))


class Connection:
    """A connection's own buffer: the client takes from it what it is told to."""

    write_chunk = None

    def __init__(self, bounds: Bounds, own: int):
        self.bounds = bounds
        self.on_blocked = self.on_drained = self.on_left = None
        self.buffer = b""
        self.taken = b""
        self.mark = own
        self.full = False
        self.ended: tuple[bool, bool] | None = None
        bounds.enter(self, own)

    @property
    def waiting(self) -> int:
        return len(self.buffer)

    def allow(self, size: int) -> None:
        self.mark = size
        self.look()

    def look(self) -> None:
        if not self.full and len(self.buffer) > self.mark:
            self.full = True
            self.bounds.blocked(self)

    def head(self, status: int, headers: Headers) -> None:
        assert not self.buffer

    def write(self, data: bytes) -> None:
        assert self.ended is None
        self.buffer += data
        self.look()

    def end(self, *, abort: bool, cut: bool = False) -> None:
        self.ended = abort, cut

    def read(self, size: int) -> None:
        self.taken += self.buffer[:size]
        self.buffer = self.buffer[size:]
        if self.full and len(self.buffer) <= self.mark // 4:
            self.full = False
            self.bounds.drained(self)


def merging(bounds: Buffers, own: int, tell: Callable[[int], None] = lambda frames: None) -> tuple[Merging, Connection]:
    asked = msgspec.structs.replace(plan(), delivery=MERGE)
    assert merges(asked)
    sink = Merging(asked, bounds, tell)
    connection = Connection(sink, own)
    return sink.before(connection), connection


STEPS = st.lists(st.one_of(st.text(max_size=40), st.integers(0, 3000), st.just(frames.COMMENT)), max_size=40)


@given(STEPS, st.sampled_from([400, 2000, 20_000]), st.sampled_from([500, 1_000_000]))
def test_whatever_the_client_reads_it_is_the_answer(steps: list[Any], own: int, limit: int) -> None:
    bounds, told = Buffers(limit), []
    sink, connection = merging(bounds, own)
    blocked = False
    marks: list[str] = []
    sink.on_blocked, sink.on_drained = lambda: marks.append("blocked"), lambda: marks.append("drained")
    sent = b""
    for step in steps:
        if isinstance(step, int):
            connection.read(step)
        else:
            blocked = bool(marks) and marks[-1] == "blocked"
            if blocked:
                # The provider is paused.
                continue
            told.append(step)
            data = step if isinstance(step, bytes) else frames.chunk(step)
            sent += data
            sink.write(data)
        free = not marks or marks[-1] == "drained"
        assert not free or sink.waiting <= max(connection.mark * 4 + 3, 0)
    assert marks == ["blocked", "drained"] * (len(marks) // 2) + ["blocked"] * (len(marks) % 2)
    assert bounds.held >= (sink.waiting if len(marks) % 2 else 0)
    sink.end(abort=False)
    got = connection.taken + connection.buffer
    assert text_of(read("openai-chat", [got])[1]) == text_of(read("openai-chat", [sent])[1])
    assert got.count(frames.COMMENT) == sent.count(frames.COMMENT)
    assert connection.ended == (False, False)
    sink.leave(connection)
    assert bounds.held == 0


def test_a_client_that_keeps_up_gets_its_frames_as_they_are() -> None:
    told: list[int] = []
    sink, connection = merging(Buffers(1 << 20), 1 << 18, told.append)
    sent = b"".join(frames.chunk(str(number)) for number in range(1000))
    for number in range(1000):
        sink.write(frames.chunk(str(number)))
        connection.read(AHEAD)
    sink.end(abort=False)
    assert connection.taken == sent
    assert told == [0]


def test_a_client_that_catches_up_gets_what_waited_in_few_frames_and_then_each_by_itself() -> None:
    told: list[int] = []
    sink, connection = merging(Buffers(1 << 20), 1 << 18, told.append)
    for number in range(1000):
        sink.write(frames.chunk(str(number)))
    connection.read(1 << 20)
    connection.read(1 << 20)
    waited = connection.taken.count(b"\n\n")
    assert waited < 200
    sink.write(frames.chunk("now"))
    connection.read(1 << 20)
    assert connection.taken.endswith(frames.chunk("now"))
    assert connection.taken.count(b"\n\n") == waited + 1
    sink.end(abort=False, cut=True)
    assert connection.ended == (False, True)
    assert told == [1000 - waited]


def test_a_client_that_is_given_up_is_told_nothing_more() -> None:
    sink, connection = merging(Buffers(1 << 20), 4000)
    for _ in range(100):
        sink.write(frames.chunk("x"))
    held = connection.buffer
    sink.end(abort=True)
    assert connection.buffer == held
    assert connection.ended == (True, False)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, True),
        ({"delivery": Delivery()}, False),
        ({"metadata": Metadata(mode="final")}, False),
        ({"resumable": Resumable()}, False),
        ({"resumable": Resumable(ids=True)}, True),
    ],
    ids=["on", "off", "receipts", "counts_for_itself", "ids"],
)
def test_who_counts_frames_gets_them_as_they_are(fields: dict[str, Any], wanted: bool) -> None:
    asked: Plan = msgspec.structs.replace(plan(), **{"delivery": MERGE, **fields})
    assert merges(asked) is wanted
    whole = msgspec.structs.replace(asked, request=msgspec.structs.replace(asked.request, stream=False))
    assert not merges(whole)


TOKENS = 10_000
ANSWER = [frames.chunk(f"{number} ") for number in range(TOKENS)]


@pytest.mark.parametrize("resume", ["", "ids"])
async def test_K1_an_answer_waits_whole_for_a_client_that_reads_nothing(rig: Rig, resume: str) -> None:
    pieces = [raw(b"".join(ANSWER[place : place + 50])) for place in range(0, TOKENS, 50)]
    upstream = await rig.upstream([hdr(), role(), *pieces, fin(), done()])
    gateway = await rig.gateway(upstream, merge=True, slow_timeout=5, total=20)
    headers = {"x-penstock-resume": resume} if resume else {}
    client = await gateway.open(receive_buffer=4096, headers=headers)
    # 1.5 MB of frames have place in 256 KiB: the provider was never held up.
    record = await gateway.record()
    assert (record["outcome"], record["blocked_ms"]) == ("completed", 0)
    answer = await client.answer(within=10)
    assert text_of(read("openai-chat", [answer.body])[1]) == "".join(f"{number} " for number in range(TOKENS))
    assert answer.body.endswith(frames.DONE if not resume else b"\n\n")
    merged = gateway.metric("penstock_client_frames_merged_total")
    assert merged > TOKENS // 2
    assert answer.body.count(b"\n\n") == TOKENS + 3 - merged
    if resume:
        stream = record["stream"]
        assert f"id: {stream}.{TOKENS + 3}\n" in answer.body.decode()
