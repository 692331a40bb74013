"""The player and its wheel, against a transport that only notes what it is told."""

import asyncio
import json
from typing import Any

import pytest

from penstock.sim import Record, Sim
from penstock.sim.player import Player
from penstock.sim.steps import HEAD, HOLD, Play
from penstock.sim.wheel import Wheel


class Noted:
    """A transport's face; ``turns`` counts the event loop's turns in which it was written to."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.turns = 0
        self._fresh = True

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self._fresh:
            self._fresh = False
            self.turns += 1
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._fresh = True


async def play(model: str) -> tuple[Noted, Record]:
    loop = asyncio.get_running_loop()
    body = json.dumps({"model": model, "stream": True}).encode()
    record = Record(method="POST", path="/v1/chat/completions", body=body)
    noted: Any = Noted()
    over = loop.create_future()
    Player(noted, Wheel(loop), loop, record, Sim().answer(record), over.set_result).start()
    assert await over
    return noted, record


async def test_a_paced_stream_writes_each_chunk_by_itself() -> None:
    noted, record = await play("sim?tokens=10&first=1ms&gap=1ms")
    # The head before them, the last chunk of HTTP after them.
    assert len(noted.writes) == record.chunks_written + 2


async def test_without_a_gap_writes_are_shared_up_to_16_kib() -> None:
    noted, record = await play("sim?tokens=1000&first=0&gap=0&pad=300")
    assert max(map(len, noted.writes)) < 17 * 1024 + 300
    assert len(noted.writes) < record.chunks_written / 40
    assert noted.turns >= sum(map(len, noted.writes)) // (17 * 1024)


async def test_split_gives_each_write_a_turn_of_the_loop() -> None:
    noted, record = await play("sim?tokens=2&first=0&gap=0&split=100")
    assert noted.turns >= record.chunks_written > 5


@pytest.mark.parametrize("gap", ["100ms", "0.1ms"])
async def test_the_pace_is_kept_when_the_loop_is_late(gap: str) -> None:
    loop = asyncio.get_running_loop()
    body = json.dumps({"model": f"sim?tokens=5&first=0&gap={gap}", "stream": True}).encode()
    record = Record(method="POST", path="/v1/chat/completions", body=body)
    wheel = Kept()
    noted: Any = Noted()
    player = Player(noted, wheel, loop, record, Sim().answer(record), lambda _: None)  # type: ignore[arg-type]
    player.start()
    start = wheel.when[0]
    for _ in range(4):
        player.beat(loop.time() + 5)
    step = {"100ms": 0.1, "0.1ms": 0.0001}[gap]
    assert [when - start for when in wheel.when] == pytest.approx([step * n for n in range(5)])


class Kept:
    """A wheel that never turns and keeps what it is asked for."""

    def __init__(self) -> None:
        self.when: list[float] = []

    def add(self, who: object, when: float) -> None:
        self.when.append(when)

    def remove(self, who: object) -> None: ...


async def test_paused_it_writes_nothing_and_then_goes_on_from_now() -> None:
    loop = asyncio.get_running_loop()
    noted: Any = Noted()
    wheel = Kept()
    steps = iter([(0.0, b"head", HEAD, 0), (1.0, b"a", 0, 1), (1.0, b"b", 0, 1), (0.0, b"", HOLD, 0)])
    player = Player(noted, wheel, loop, Record(), Play(steps), lambda _: None)  # type: ignore[arg-type]
    player.start()
    player.pause()
    player.beat(loop.time())
    assert noted.writes == [b"head"]
    player.resume()
    assert noted.writes == [b"head", b"1\r\na\r\n"]
    assert wheel.when[-1] >= loop.time() + 0.9
    player.stop()
    player.beat(loop.time())
    assert len(noted.writes) == 2


class Beats:
    def __init__(self, told: list[str], name: str, also: object = None):
        self.slot = 0
        self.told, self.name, self.also = told, name, also

    def beat(self, now: float) -> None:
        self.told.append(self.name)
        if callable(self.also):
            self.also()


async def test_the_wheel_beats_in_order_with_one_timer() -> None:
    loop = asyncio.get_running_loop()
    wheel, told = Wheel(loop), list[str]()
    done = loop.create_future()
    now = loop.time()
    wheel.add(Beats(told, "last", lambda: done.set_result(None)), now + 0.02)
    wheel.add(Beats(told, "second"), now + 0.01)
    wheel.add(Beats(told, "third"), now + 0.01)
    wheel.add(Beats(told, "first"), now + 0.002)
    await done
    assert told == ["first", "second", "third", "last"]
    assert loop.time() >= now + 0.02


async def test_who_is_taken_out_does_not_beat() -> None:
    loop = asyncio.get_running_loop()
    wheel, told = Wheel(loop), list[str]()
    done = loop.create_future()
    soon = loop.time() + 0.005
    out, neighbour = Beats(told, "out"), Beats(told, "neighbour")
    wheel.add(out, soon)
    wheel.add(Beats(told, "takes its neighbour out", lambda: wheel.remove(neighbour)), soon)
    wheel.add(neighbour, soon)
    wheel.add(Beats(told, "end", lambda: done.set_result(None)), soon + 0.01)
    wheel.remove(out)
    wheel.remove(Beats(told, "never in"))
    await done
    assert told == ["takes its neighbour out", "end"]


async def test_who_comes_in_during_a_tick_beats_later() -> None:
    loop = asyncio.get_running_loop()
    wheel, told = Wheel(loop), list[str]()
    done = loop.create_future()
    late = Beats(told, "late", lambda: done.set_result(None))
    wheel.add(Beats(told, "early", lambda: wheel.add(late, loop.time() + 0.003)), loop.time() + 0.002)
    await done
    assert told == ["early", "late"]


async def test_a_stopped_wheel_is_still() -> None:
    loop = asyncio.get_running_loop()
    wheel, told = Wheel(loop), list[str]()
    wheel.add(Beats(told, "x"), loop.time() + 0.002)
    wheel.stop()
    await asyncio.sleep(0.01)
    assert told == []
