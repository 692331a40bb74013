"""What was promised is there: after kill -9, with a dead webhook, on a full disk. And no stream is harmed."""

import asyncio
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
from capture_peers import Collector, lines_of

from penstock.sim import Sim
from penstock.testing.frames import DONE
from penstock.testing.process import ServeProcess, document

MODEL = "sim?tokens=5&gap=0&first=0"


@pytest.fixture
async def sim():
    sim = Sim()
    await sim.start()
    yield sim
    await sim.close()


def settings(sim: Sim, folder: Path, **sinks: Any) -> dict[str, Any]:
    policy = {"capture": {}, "stages": [{"redact": {"detectors": ["email"]}}]}
    return {**document([sim.base_url], **policy), "capture": sinks, "ledger": None}


async def counts(process: ServeProcess) -> dict[str, float]:
    """Copies by sink and fate."""
    text = (await process.get("/metrics")).body.decode()
    found = [line.split() for line in text.splitlines() if line.startswith("penstock_captures_total")]
    return {name[name.index("{") :]: float(value) for name, value in found}


async def counted(process: ServeProcess, sink: str, fate: str, least: int) -> None:
    async with asyncio.timeout(20):
        while (await counts(process))[f'{{fate="{fate}",sink="{sink}"}}'] < least:
            await asyncio.sleep(0.02)


async def stream(process: ServeProcess, model: str = MODEL) -> str:
    """The id of a stream that has ended well."""
    client = await process.open(model=model)
    answer = await client.answer()
    client.close()
    assert answer.body.endswith(DONE)
    return answer.headers["x-penstock-stream"]


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{deaf.getsockname()[1]}/in"


async def test_what_was_kept_is_posted_after_kill_9(sim, tmp_path):
    spool, copies = {"spool": str(tmp_path / "spool")}, {"directory": str(tmp_path / "copies")}
    async with ServeProcess(settings(sim, tmp_path, webhook={"url": nobody(), **spool}, files=copies), tmp_path) as one:
        streams = [await stream(one) for _ in range(5)]
        await counted(one, "webhook", "kept", 5)
        await counted(one, "files", "kept", 5)
        os.kill(one.pid, signal.SIGKILL)
        await one.exit_code()
        assert one.errors == []
    assert [line["stream"] for line in lines_of(tmp_path / "copies")] == streams
    with Collector() as collector:
        sinks = settings(sim, tmp_path, webhook={"url": collector.url, **spool}, files=copies)
        async with ServeProcess(sinks, tmp_path) as two:
            streams.append(await stream(two))
            await counted(two, "webhook", "delivered", 6)
        assert [line["stream"] for line in collector.lines] == streams
    assert [line["stream"] for line in lines_of(tmp_path / "copies")] == streams


async def test_kill_9_between_any_two_writes_costs_no_copy_that_was_kept(sim, tmp_path):
    spool = {"spool": str(tmp_path / "spool")}
    with Collector() as collector:
        sinks = settings(sim, tmp_path, webhook={"url": collector.url, **spool})
        promised = 0
        for number in range(4):
            async with ServeProcess(sinks, tmp_path) as process:
                await asyncio.gather(*(stream(process) for _ in range(8)))
                promised += int((await counts(process))['{fate="kept",sink="webhook"}'])
                await asyncio.sleep(number * 0.005)
                os.kill(process.pid, signal.SIGKILL)
                await process.exit_code()
        async with ServeProcess(sinks, tmp_path) as process:
            last = await stream(process)
            async with asyncio.timeout(20):
                while last not in {line["stream"] for line in collector.lines}:
                    await asyncio.sleep(0.02)
        # Some were kept behind the last look; some may have come twice.
        assert len({line["stream"] for line in collector.lines}) >= promised + 1


async def test_a_dead_webhook_and_a_full_spool_harm_no_stream(sim, tmp_path):
    webhook = {"url": nobody(), "spool": str(tmp_path / "spool"), "max_spool": "1MiB"}
    async with ServeProcess(settings(sim, tmp_path, webhook=webhook), tmp_path) as process:
        long = f"sim?text={'x' * 400}&tokens=1500&gap=0&first=0"
        for _ in range(12):
            await stream(process, long)
            await counted_any(process)
        assert (await counts(process))['{fate="dropped",sink="webhook"}'] > 0
        assert sum(path.stat().st_size for path in (tmp_path / "spool").glob("*.jsonl")) <= 1024**2
        assert process.errors == []
        assert sum("does not take copies" in line for line in process.lines) == 1
        process.terminate()
        assert await process.exit_code() == 0


async def counted_any(process: ServeProcess) -> None:
    total = len(process.records)
    async with asyncio.timeout(20):
        while sum((await counts(process)).values()) < total:
            await asyncio.sleep(0.02)


async def test_a_full_disk_harms_no_stream_and_copies_wait_for_room(sim, tmp_path):
    copies = {"directory": str(tmp_path / "copies")}
    async with ServeProcess(settings(sim, tmp_path, files=copies), tmp_path) as process:
        streams = [await stream(process)]
        await counted(process, "files", "kept", 1)
        soft, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (10, hard))
        streams += [await stream(process) for _ in range(3)]
        async with asyncio.timeout(10):
            while not any("cannot be written" in line for line in process.lines):
                await asyncio.sleep(0.02)
        assert (await counts(process))['{fate="kept",sink="files"}'] == 1
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        await counted(process, "files", "kept", 4)
        assert process.errors == []
    assert [line["stream"] for line in lines_of(tmp_path / "copies")] == streams


async def test_two_gateways_do_not_share_a_directory(sim, tmp_path):
    copies = {"directory": str(tmp_path / "copies")}
    config = settings(sim, tmp_path, files=copies)
    async with ServeProcess(config, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        with pytest.raises(AssertionError, match="in use by another gateway"):
            async with ServeProcess(config, other):
                pass
