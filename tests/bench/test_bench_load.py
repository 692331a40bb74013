"""The load generator against a real provider: it counts what came whole, and fails for anything else."""

import asyncio
import os

import pytest

from penstock.bench import job as jobs
from penstock.bench.load import Load
from penstock.sim import Sim


async def run(model: str, **settings: object) -> jobs.Result:
    async with Sim() as sim:
        job = jobs.Job(model=model, port=sim.port, watch=(os.getpid(),), **settings)  # type: ignore[arg-type]
        try:
            return await asyncio.wait_for(Load(job, asyncio.get_running_loop()).run(), 20)
        finally:
            # The aborted connections are seen by the provider in its next turns.
            await asyncio.sleep(0.05)


async def test_paced_streams_are_measured_while_all_are_open() -> None:
    model = "sim?tokens=40&gap=10ms&first=0&pad=320"
    result = await run(model, streams=4, frames=43, ramp=0.05, settle=0.05, window=0.1)
    assert 0 < result.frames < 4 * 40
    assert result.streams == 0 and result.first.count == 4
    assert 0 < result.gaps.count <= result.frames
    assert result.cpu > 0 and result.seconds >= 0.1
    assert result.before.rss > 0 and result.after.rss > 0


@pytest.mark.parametrize("split", ["", "&split=1", "&split=7", "&split=320"])
async def test_streams_follow_one_another_however_they_are_cut(split: str) -> None:
    model = f"sim?tokens=2&gap=0&first=0{split}"
    result = await run(model, streams=2, frames=5, window=0.3, repeat=True)
    assert result.streams > 0 and result.frames > 0 and result.first.count > 0


async def test_streams_rest_in_between() -> None:
    result = await run("sim?tokens=1&gap=0&first=0", streams=3, frames=4, window=0.3, repeat=True, rest=0.02)
    assert result.streams > 0 and result.first.count > 0


async def test_held_streams_stay_open() -> None:
    model = "sim?stall_at=1&first=0"
    result = await run(model, streams=10, frames=2, ramp=0.05, window=0.05, hold=True)
    assert result.frames == result.streams == 0 and result.first.count == 10


async def test_open_ended_streams_are_measured_and_left() -> None:
    model = "sim?tokens=1000&gap=5ms&first=0"
    result = await run(model, streams=5, frames=1003, ramp=0.05, window=0.2, hold=True)
    assert 0 < result.frames < 5 * 1000 and result.first.count == 5


async def test_a_held_stream_that_lags_fails_the_job() -> None:
    async with Sim() as sim:
        job = jobs.Job(
            model="sim?tokens=1000&gap=5ms&first=0", port=sim.port, streams=3, frames=1003, window=0.3, hold=True
        )
        load = Load(job, asyncio.get_running_loop())
        running = asyncio.ensure_future(load.run())
        while load.answered < 3:
            await asyncio.sleep(0.01)
        load._clients[0]._transport.pause_reading()  # type: ignore[union-attr]
        with pytest.raises(jobs.BenchError, match=r"a stream had [0-9]+ frames where the others had"):
            await asyncio.wait_for(running, 20)
        for client in load._clients:
            client._load.stopping = load._closing = True
            client.abort()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("sim?tokens=9&gap=1ms&first=0&cut_at=5", "a stream ended after 6 of 12 frames"),
        ("sim?tokens=9&gap=1ms&first=0&error_at=5", "a stream ended after 6 of 12 frames"),
        ("sim?tokens=9&gap=1ms&first=0&reset_at=5", "a connection was closed after 6 of 12 frames"),
        ("sim?tokens=9&gap=1ms&first=0&drop_at=5", "a connection was closed after 6 of 12 frames"),
        ("sim?tokens=9&gap=0&first=0&done=0", "a stream ended after 11 of 12 frames"),
        ("sim?tokens=10&gap=0&first=0", "a stream had 13 frames instead of 12"),
        ("sim?status=429", "answered with b'HTTP/1.1 429"),
        ("other", "answered with b'HTTP/1.1 404"),
    ],
)
async def test_a_stream_that_is_not_whole_fails_the_job(model: str, message: str) -> None:
    with pytest.raises(jobs.BenchError, match=message):
        await run(model, streams=2, frames=12, window=0.3, repeat=True)


async def test_a_stream_that_ends_too_soon_fails_the_job() -> None:
    with pytest.raises(jobs.BenchError, match="over before the measured window"):
        await run("sim?tokens=3&gap=0&first=0", streams=2, frames=6, window=0.5)


async def test_nobody_at_the_port_fails_the_job() -> None:
    job = jobs.Job(model="sim", port=1, streams=1, frames=4, window=0.1)
    with pytest.raises(jobs.BenchError, match="no connection to port 1"):
        await Load(job, asyncio.get_running_loop()).run()


@pytest.mark.parametrize(
    ("wire", "more"),
    [
        ("openai-chat", 3),
        # created, in_progress, item and part opened; then text, part and item closed, completed
        ("openai-responses", 8),
        ("anthropic-messages", 5),
        ("gemini", 1),
        # the last of its six is [DONE]
        ("cohere-chat", 5),
        ("ollama-chat", 1),
        ("bedrock-converse", 4),
    ],
)
@pytest.mark.parametrize("split", ["", "&split=7", "&split=320"])
async def test_streams_of_every_wire_are_counted(wire: str, more: int, split: str) -> None:
    model = f"sim?tokens=4&gap=0&first=0&pad=320{split}"
    result = await run(model, wire=wire, streams=2, frames=4 + more, window=0.3, repeat=True)
    assert result.streams > 0 and result.frames > 0 and result.first.count > 0


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("sim?tokens=9&gap=1ms&first=0&cut_at=5", "a stream ended after 7 of 14 frames"),
        ("sim?tokens=9&gap=1ms&first=0&error_at=5", "a stream ended after 8 of 14 frames"),
        ("sim?tokens=9&gap=1ms&first=0&reset_at=5", "a connection was closed after 7 of 14 frames"),
        ("sim?tokens=10&gap=0&first=0", "a stream had 15 frames instead of 14"),
        ("sim?status=529", "answered with b'HTTP/1.1 529"),
    ],
)
async def test_a_stream_of_a_wire_that_is_not_whole_fails_the_job(model: str, message: str) -> None:
    with pytest.raises(jobs.BenchError, match=message):
        await run(model, wire="anthropic-messages", streams=2, frames=14, window=0.3, repeat=True)


async def test_a_held_stream_of_a_wire_that_ends_fails_the_job() -> None:
    model = "sim?tokens=100&gap=5ms&first=0&error_at=10"
    with pytest.raises(jobs.BenchError, match="a stream ended after 11 of 1000 frames"):
        await run(model, wire="ollama-chat", streams=3, frames=1000, window=1.0, hold=True)
