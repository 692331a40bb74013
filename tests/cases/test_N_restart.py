"""N3, L9: configurations are swapped, workers replaced and gateways restarted under streams that do not notice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

from penstock.cli.runfile import Run, RunFile
from penstock.testing.client import CHAT, Answer
from penstock.testing.process import ServeProcess, document
from penstock.testing.redis_server import RedisServer
from penstock.testing.rig import Rig, request, until
from penstock.testing.rolling import rolling
from penstock.testing.steps import done, fin, hdr, role, tok, until_closed, usage, words

ANSWER: list[Any] = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]
LONG: list[Any] = [hdr(), role(), tok(30, gap=0.05), fin(), usage(9, 30), done()]


async def command(*words: str) -> tuple[int, str]:
    """Run a penstock command in the folder of its configuration: its exit code and all that it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock", *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=Path(words[words.index("-c") + 1]).parent,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


def file_of(tmp_path: Path) -> str:
    return str(tmp_path / "penstock.yaml")


# -- reload -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
async def test_N3_reload_swaps_the_configuration_under_a_stream(rig: Rig, tmp_path: Path, workers: int) -> None:
    old, new = await rig.upstream(LONG), await rig.upstream(ANSWER)
    server = {"workers": workers}
    async with ServeProcess(document([old.base_url], server=server), tmp_path) as process:
        client = await process.open()
        await client.events(3)
        Path(file_of(tmp_path)).write_text(json.dumps(document([new.base_url], server=server)))
        assert await command("reload", "-c", file_of(tmp_path)) == (0, f"{file_of(tmp_path)}: it serves now\n")
        await until(lambda: sum("a new configuration serves" in line for line in process.lines) == workers)
        for _ in range(4):
            later = await process.open()
            assert (await later.answer()).text == words(3)
        assert (await client.answer()).text == words(30)
        assert len(old.requests) == 1 and len(new.requests) == 4 and process.errors == []
        process.terminate()
        assert await process.exit_code() == 0


@pytest.mark.parametrize("workers", [1, 2])
async def test_N3_a_broken_file_changes_nothing(rig: Rig, tmp_path: Path, workers: int) -> None:
    upstream = await rig.upstream(ANSWER)
    async with ServeProcess(document([upstream.base_url], server={"workers": workers}), tmp_path) as process:
        assert (await process.get("/readyz")).status == 200
        Path(file_of(tmp_path)).write_text("routes: {m: {targets: [nobody/model]}}")
        code, said = await command("reload", "-c", file_of(tmp_path))
        assert code == 2 and "nobody" in said and "the old configuration goes on" in said
        assert any("the old configuration goes on" in line and '"level":"error"' in line for line in process.lines)
        client = await process.open()
        assert (await client.answer()).text == words(3)


async def test_N3_a_missing_file_changes_nothing(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(ANSWER)
    async with ServeProcess(document([upstream.base_url]), tmp_path) as process:
        assert (await process.get("/readyz")).status == 200
        Path(file_of(tmp_path)).unlink()
        code, said = await command("reload", "-c", file_of(tmp_path))
        assert code == 2 and "no such file" in said
        assert (await (await process.open()).answer()).text == words(3)


async def test_N3_what_waits_for_a_restart_is_said(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(ANSWER)
    async with ServeProcess(document([upstream.base_url]), tmp_path) as process:
        assert (await process.get("/readyz")).status == 200
        changed = document([upstream.base_url], server={"workers": 3, "drain": "1s"}) | {"journal": {"ttl": "1m"}}
        Path(file_of(tmp_path)).write_text(json.dumps(changed))
        os.kill(process.pid, signal.SIGHUP)
        await until(lambda: any("journal has changed: that waits" in line for line in process.lines), within=5)
        assert any("server.workers has changed: that waits" in line for line in process.lines)
        assert not any("server.drain" in line for line in process.lines)
        assert (await (await process.open()).answer()).text == words(3)


async def test_N3_reload_without_a_gateway(tmp_path: Path) -> None:
    code, said = await command("reload", "-c", file_of(tmp_path))
    assert code == 1 and said.startswith("no gateway serves ")


async def test_N3_reload_after_the_gateway_has_gone(rig: Rig, tmp_path: Path) -> None:
    async with ServeProcess(document(["http://127.0.0.1:1/v1"]), tmp_path) as process:
        assert (await process.get("/readyz")).status == 200
        process.kill()
        await process.exit_code()
        assert (await command("reload", "-c", file_of(tmp_path)))[0] == 1


async def test_N3_reload_signals_no_process_that_only_has_the_number(tmp_path: Path) -> None:
    """A gateway was killed, and its process id is somebody else's by now."""
    file, stranger = RunFile(file_of(tmp_path)), await asyncio.create_subprocess_exec("sleep", "60")
    file.write(Run(os.getpid()))
    assert file.read() == Run(os.getpid())
    file._path.write_bytes(msgspec.json.encode(Run(stranger.pid)))
    file._lock_of(stranger.pid).touch()
    try:
        code, said = await command("reload", "-c", file_of(tmp_path))
        assert code == 1 and said.startswith("no gateway serves") and stranger.returncode is None
    finally:
        stranger.kill()
        await stranger.wait()
        file._lock_of(stranger.pid).unlink()
        file._path.unlink()
        file.remove()


# -- workers ------------------------------------------------------------------------------------------------------


async def pids_of(process: ServeProcess, count: int) -> list[int]:
    """The workers' processes, when there are as many."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def found() -> list[int]:
        return [int(pid) for pid in children.read_text().split()]

    await until(lambda: len(found()) == count, within=10)
    return found()


async def scraped(process: ServeProcess, name: str) -> dict[str, float]:
    """A metric's samples by worker."""
    text = (await process.get("/metrics")).body.decode()
    lines = [line for line in text.splitlines() if line.startswith(name + "{")]
    return {line.partition('worker="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_N3_workers_share_the_port_and_one_is_asked_for_the_metrics_of_all(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(*[LONG] * 12)
    async with ServeProcess(document([upstream.base_url], server={"workers": 3}), tmp_path) as process:
        await pids_of(process, 3)
        assert any("in memory each worker has a journal" in line for line in process.lines)
        clients = [await process.open() for _ in range(12)]
        for client in clients:
            await client.events(2)
        active = await scraped(process, "penstock_streams_active")
        assert set(active) == {"1", "2", "3"} and sum(active.values()) == 12
        assert [(await client.answer()).text for client in clients] == [words(30)] * 12
        process.terminate()
        assert await process.exit_code() == 0
        assert [record["outcome"] for record in process.records] == ["completed"] * 12 and process.errors == []


async def test_N3_a_worker_that_dies_is_started_again(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(*[ANSWER] * 30)
    async with ServeProcess(document([upstream.base_url], server={"workers": 2}), tmp_path) as process:
        first = await pids_of(process, 2)
        assert (await process.get("/readyz")).status == 200
        await asyncio.sleep(1.1)
        os.kill(first[0], signal.SIGKILL)
        await until(lambda: any("is started again" in line for line in process.lines), within=5)
        second = await pids_of(process, 2)
        assert first[1] in second and first[0] not in second
        # Who came for the dead one in between waits, and is served by the new one.
        for _ in range(20):
            client = await process.open()
            assert (await client.answer()).text == words(3)
        process.terminate()
        assert await process.exit_code() == 0


async def test_L9_workers_drain_and_end_what_is_left(rig: Rig, tmp_path: Path) -> None:
    endless: list[Any] = [hdr(), role(), tok(2), until_closed()]
    upstream = await rig.upstream(endless, endless, endless, endless)
    settings = document([upstream.base_url], server={"workers": 2, "drain": "300ms"})
    async with ServeProcess(settings, tmp_path) as process:
        clients = [await process.open() for _ in range(4)]
        for client in clients:
            await client.events(2)
        process.terminate()
        for client in clients:
            answer = await client.answer()
            assert answer.error is not None and answer.error["code"] == "shutdown"
        assert await process.exit_code(within=3.0) == 0
        assert [record["outcome"] for record in process.records] == ["shutdown"] * 4


@pytest.mark.parametrize("drain", ["10s", "200ms"])
async def test_N3_a_websocket_is_told_its_end(rig: Rig, tmp_path: Path, drain: str) -> None:
    upstream = await rig.upstream(LONG)
    async with ServeProcess(document([upstream.base_url], server={"drain": drain}), tmp_path) as process:
        address = f"ws://127.0.0.1:{process.port}/v1/stream"
        async with connect(address, proxy=None) as idle, connect(address, proxy=None) as ws:
            await ws.send(json.dumps({"path": CHAT, "body": request()}))
            await ws.recv()
            process.terminate()
            messages = [message async for message in ws] if drain == "10s" else await told(ws)
            assert ws.close_code == (1000 if drain == "10s" else 1012)
            if drain == "10s":
                assert messages[-1] == "data: [DONE]\n\n"
            else:
                assert ws.close_reason == "shutdown" and '"code":"shutdown"' in str(messages[-1])
            await idle.wait_closed()
            assert idle.close_code == 1012
        assert await process.exit_code(within=5.0) == 0 and process.errors == []


async def told(ws: ClientConnection) -> list[str | bytes]:
    """The messages up to a close that is no good one."""
    found: list[str | bytes] = []
    with contextlib.suppress(ConnectionClosedError):
        while True:
            found.append(await ws.recv())
    return found


async def test_N3_workers_do_not_outlive_the_process_that_watches_them(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(ANSWER)
    async with ServeProcess(document([upstream.base_url], server={"workers": 2}), tmp_path) as process:
        workers = await pids_of(process, 2)
        assert (await (await process.open()).answer()).text == words(3)
        process.kill()
        await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), within=10)


# -- with a journal that is shared --------------------------------------------------------------------------------


async def followed(process: ServeProcess, stream: str, after: int = 0) -> Answer:
    """What another may read of a stream."""
    client = await process.connect()
    await client.request("GET", f"/v1/streams/{stream}/events?after={after}")
    return await client.answer(within=30)


async def test_N3_the_next_gateway_can_tell_how_the_last_one_left(rig: Rig, tmp_path: Path) -> None:
    """The drain time is over in the middle of an answer: the journal has all that was told, and the ending."""
    upstream = await rig.upstream([hdr(), role(), tok(1000, gap=0.05)])
    async with RedisServer() as redis:
        settings = document([upstream.base_url], server={"drain": "300ms"}) | {"journal": {"url": redis.url}}
        for name in ("old", "new"):
            (tmp_path / name).mkdir()
        async with ServeProcess(settings, tmp_path / "old") as old, ServeProcess(settings, tmp_path / "new") as new:
            client = await old.connect()
            await client.post(CHAT, request(), {"x-penstock-resume": "on"})
            await client.events(3)
            old.terminate()
            answer = await client.answer()
            assert answer.error is not None and answer.error["code"] == "shutdown"
            assert await old.exit_code() == 0
            replayed = await followed(new, answer.headers["x-penstock-stream"])
            assert replayed.body == answer.body and replayed.ended == "clean"


async def test_M9_a_stream_is_resumed_from_any_worker(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(LONG)
    async with RedisServer() as redis:
        settings = document([upstream.base_url], server={"workers": 2}) | {"journal": {"url": redis.url}}
        async with ServeProcess(settings, tmp_path) as process:
            assert not any("warning" in line for line in process.lines)
            client = await process.connect()
            await client.post(CHAT, request(), {"x-penstock-resume": "on"})
            await client.events(3)
            stream = client.headers["x-penstock-stream"]
            whole = await client.answer()
            for _ in range(8):
                assert (await followed(process, stream)).body == whole.body
            process.terminate()
            assert await process.exit_code() == 0 and process.errors == []
    assert len(upstream.requests) == 1


# -- the next gateway beside this one -----------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
async def test_N3_a_rolling_restart_loses_and_cuts_nothing(tmp_path: Path, workers: int) -> None:
    """Streams are under way, and more come all the time, while one gateway takes the port over from another."""
    told = await rolling(tmp_path, streams=60, seconds=3, workers=workers)
    assert told.ends == {"whole": 60} and told.outcomes == {"completed": 60}
    assert told.shares[0] >= 30 and told.shares[1] >= 10
    assert told.errors == [] and told.code == 0


async def test_N3_one_port_is_not_shared_by_accident(rig: Rig, tmp_path: Path) -> None:
    async with ServeProcess(document(["http://127.0.0.1:1/v1"]), tmp_path) as process:
        code, said = await command("serve", "-c", file_of(tmp_path), "--port", str(process.port))
        assert code == 1 and "cannot listen" in said
        code, said = await command("serve", "-c", file_of(tmp_path), "--port", str(process.port), "--workers", "2")
        assert code == 1 and "cannot listen" in said
