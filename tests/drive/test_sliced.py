"""Long texts go through stages in slices: what others see of it, and that the stream itself shows nothing of it."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import msgspec
import pytest

from penstock.drive.driver import Driver
from penstock.drive.sliced import SlicedDriver, driver_of, in_slices, with_breaths
from penstock.outcome import Outcome
from penstock.ports import Listener
from penstock.slices import MORE, Slices, give_way, pieces
from penstock.stages.contract import Block, Channel
from penstock.stages.pipeline import StagesPlan
from penstock.stages.redact.policy import RedactPolicy
from penstock.stages.redact.redactor import Redactor
from penstock.stages.segments import Segmenting
from penstock.stream.inputs import Headers, Shutdown, Stop
from penstock.stream.machine import Stream
from penstock.stream.plan import Plan
from penstock.stream.summary import Summary
from penstock.testing.frames import DONE, SSE, chunk, finish, role
from penstock.testing.playbook import plan
from penstock.testing.run import run, script
from penstock.wire.continued import Prefix

REDACT = StagesPlan(stages=(Redactor(RedactPolicy(detectors=("email", "phone", "iban"))),))
LONG = chunk("Ask jane.doe@example.com, or DE89 3704 0044 0532 0130 00. " * 100)
TICK = 0.0004
"""Seconds that every look at the clock takes: a slice has three pieces at most."""


class World:
    """An event loop, a dialer, a client and a recorder for one stream. Its clock goes on by itself."""

    write_chunk = None

    def __init__(self, asked: Plan):
        self.now = 0.0
        self.soon: deque[Callable[[], None]] = deque()
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.log: list[str] = []
        self.sent: list[bytes] = []
        self.ended = False
        self.summary: Summary | None = None
        self.on_blocked: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.on_left: Callable[[], None] | None = None
        loop = cast(asyncio.AbstractEventLoop, self)
        kind = driver_of(asked)
        self.driver = kind(Stream(asked, 0.0), self, self, self, self.clock, loop, lambda driver: None)
        self.driver.start()
        self.provider.opened()
        self.provider.head(200, SSE)

    def clock(self) -> float:
        self.now += TICK
        return self.now

    # -- the loop -------------------------------------------------------------------------------------------------

    def call_soon(self, act: Callable[..., None], *arguments: Any) -> None:
        self.soon.append(partial(act, *arguments))

    def call_later(self, seconds: float, act: Callable[[], None]) -> World:
        self.later.append((self.now + seconds, act))
        return self

    def cancel(self) -> None:
        self.later.clear()

    def turns(self) -> int:
        """Until nothing is left to do: how often others had their turn."""
        count = 0
        while self.soon:
            self.soon.popleft()()
            count += 1
        return count

    def ring(self) -> None:
        """The timer goes off."""
        (_, act), self.later = self.later[0], []
        act()

    # -- the stream's outside --------------------------------------------------------------------------------------

    def open(
        self, target: int, listener: Listener, *, fresh: bool, ask_usage: bool, behind: Prefix | None = None
    ) -> World:
        self.provider = listener
        return self

    def pause(self) -> None:
        self.log.append("pause")

    def resume(self) -> None:
        self.log.append("resume")

    def close(self, *, reuse: bool) -> None:
        self.log.append("close")

    def head(self, status: int, headers: Headers) -> None:
        self.status = status

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def end(self, *, abort: bool, cut: bool = False) -> None:
        self.ended = True

    def record(self, summary: Summary) -> None:
        self.summary = summary

    @property
    def outcome(self) -> Outcome | None:
        return self.driver.outcome


class Breaks(msgspec.Struct, frozen=True):
    """A stage with a fault, in the middle of a long text."""

    name: str = "breaks"

    def open(self) -> Broken:
        return Broken()


class Broken:
    def __init__(self) -> None:
        self.pieces = 0

    def feed(self, channel: Channel, text: str) -> str | Block:
        self.pieces += 1
        if self.pieces == 12:
            raise RuntimeError("a fault of the stage")
        return text

    def flush(self, channel: Channel) -> str | Block:
        return ""

    def findings(self) -> Mapping[str, int]:
        return {}


def at_once(asked: Plan, *data: bytes) -> bytes:
    """What the client gets where nothing is sliced."""
    return run(asked, [script(*data)]).body


def test_a_stream_without_stages_has_the_plain_driver():
    assert driver_of(plan()) is Driver
    assert driver_of(plan(stages=REDACT)) is SlicedDriver


@pytest.mark.parametrize("segments", [None, Segmenting("sentence")])
def test_a_long_delta_leaves_turns_to_others_and_its_bytes_are_the_same(segments):
    asked = plan(stages=msgspec.structs.replace(REDACT, segments=segments))
    world = World(asked)
    world.provider.body(role() + LONG)
    assert world.soon and not world.sent
    world.provider.body(finish() + DONE)
    world.provider.ended(True, "")
    assert not world.sent
    assert world.turns() > 5
    assert b"".join(world.sent) == at_once(asked, role() + LONG, finish() + DONE)
    assert world.outcome is Outcome.COMPLETED and world.summary is not None
    assert world.summary.redactions == {"email": 100, "iban": 100}


def test_many_small_frames_of_one_read_leave_turns_too():
    asked = plan(stages=REDACT)
    world, frames = World(asked), b"".join(chunk(f"word {number} ") for number in range(200))
    world.provider.body(role() + frames)
    assert world.turns() > 3
    assert b"".join(world.sent) == at_once(asked, role() + frames)[: len(b"".join(world.sent))]


def test_short_deltas_are_done_with_at_once():
    world = World(plan(stages=REDACT))
    world.provider.body(role() + chunk("Hello world"))
    assert not world.soon and b"Hello " in b"".join(world.sent)
    assert "pause" not in world.log


def test_a_stop_meanwhile_comes_behind_the_text():
    world = World(plan(stages=REDACT))
    world.provider.body(role() + LONG)
    world.driver.feed(Stop())
    assert world.outcome is None
    world.turns()
    body = b"".join(world.sent)
    assert world.outcome is Outcome.STOPPED and body.count(b"[iban]") == 100
    assert body.index(b"[iban]") < body.index(b'"finish_reason":"stop"')


def test_a_shutdown_meanwhile_comes_behind_the_text():
    world = World(plan(stages=REDACT))
    world.provider.body(role() + LONG)
    world.driver.feed(Shutdown())
    world.turns()
    assert world.outcome is Outcome.SHUTDOWN and b"[iban]" in b"".join(world.sent)


def test_a_client_that_leaves_meanwhile_ends_the_stream():
    world = World(plan(stages=REDACT))
    world.provider.body(role() + LONG)
    assert world.on_left is not None
    world.on_left()
    world.turns()
    assert world.outcome is Outcome.CLIENT_CLOSED and world.log[-1] == "close"
    assert not world.sent, "nobody is there to be told"


def test_a_provider_that_breaks_off_meanwhile_fails_the_stream_behind_its_text():
    world = World(plan(stages=REDACT))
    world.provider.body(role() + LONG)
    world.provider.ended(False, "reset")
    world.turns()
    assert world.outcome is Outcome.UPSTREAM_CUT and b"[iban]" in b"".join(world.sent)


def test_no_deadline_falls_due_in_the_middle_of_work():
    """The provider has said in time what waits here."""
    world = World(plan(stages=REDACT, between_tokens=0.02, first_token=None))
    world.provider.body(role() + LONG)
    for _ in range(4):
        world.soon.popleft()()
        world.now += 0.01
    world.provider.body(finish() + DONE)
    world.ring()
    assert world.outcome is None and not world.sent
    world.provider.ended(True, "")
    world.turns()
    assert world.outcome is Outcome.COMPLETED


def test_what_falls_due_meanwhile_happens_afterwards():
    world = World(plan(stages=REDACT, between_tokens=5.0))
    world.provider.body(role() + LONG)
    world.ring()
    world.turns()
    assert world.outcome is None
    world.now += 6.0
    world.ring()
    assert world.outcome is Outcome.STALLED


def test_nothing_is_read_meanwhile():
    world = World(plan(stages=REDACT))
    world.provider.body(role() + LONG)
    assert world.log == ["pause"]
    world.turns()
    assert world.log == ["pause", "resume"]


def test_what_the_machine_has_paused_stays_so():
    world = World(plan(stages=REDACT))
    world.provider.body(role() + chunk("Hello world"))
    assert world.on_blocked is not None and world.on_drained is not None
    world.on_blocked()
    assert world.log == ["pause"]
    world.provider.body(LONG)
    world.turns()
    assert world.log == ["pause"]
    world.on_drained()
    assert world.log == ["pause", "resume"]


def test_a_stage_that_breaks_in_a_later_slice_ends_its_stream_as_crashed():
    world = World(plan(stages=StagesPlan(stages=(Breaks(),))))
    world.provider.body(role() + LONG)
    assert world.outcome is None
    world.provider.body(chunk("more"))
    world.turns()
    assert world.outcome is Outcome.CRASHED and world.ended
    world.driver.feed(Stop())
    assert world.outcome is Outcome.CRASHED


# -- the slices themselves ------------------------------------------------------------------------------------------


def work(count: int, seen: list[int]) -> int:
    for number in range(count):
        give_way()
        seen.append(number)
    return count


def test_work_goes_straight_on_where_nobody_slices_it():
    assert work(5, seen := []) == 5 and seen == [0, 1, 2, 3, 4]
    assert "".join(pieces("x" * 1000)) == "x" * 1000 and list(pieces("")) == []


def test_slices_end_by_the_clock():
    seen: list[int] = []
    slices = Slices[int](iter(range(100)).__next__)
    assert slices.run(partial(work, 3, seen)) is MORE and seen == []
    assert slices.run() is MORE and seen == [0]
    assert [slices.run(), slices.run()] == [MORE, 3]
    assert slices.run(partial(work, 0, seen)) == 0


def test_what_work_raises_is_raised_and_other_work_may_follow():
    slices = Slices[int](lambda: 0.0)
    with pytest.raises(ZeroDivisionError):
        slices.run(lambda: work(3, []) // 0)
    assert slices.run(partial(work, 3, [])) == 3


async def test_a_coroutine_waits_for_its_work_while_others_run():
    count = iter(range(1000)).__next__
    others: list[int] = []

    async def other() -> None:
        for number in range(3):
            others.append(number)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await in_slices(partial(work, 10, []), count) == 10
    assert others == [0, 1, 2]
    await task


async def test_work_of_a_coroutine_that_is_cancelled_is_given_up():
    seen: list[int] = []
    task = asyncio.create_task(in_slices(partial(work, 10, seen), iter(range(1000)).__next__))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(seen) < 10


async def test_a_thread_takes_a_breath_between_slices():
    assert await asyncio.to_thread(with_breaths, partial(work, 10, [])) == 10


def test_work_that_is_dropped_where_it_stands_is_freed():
    class Held:
        pass

    def work_on(held: Held) -> Held:
        give_way()
        return held

    slices, held = Slices[Held](iter(range(100)).__next__), Held()
    seen = weakref.ref(held)
    assert slices.run(partial(work_on, held)) is MORE
    del held
    assert seen() is not None
    del slices
    assert seen() is None
