"""Recorded streams from a folder."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sim_client import Connect, Reply

from penstock.sim import Sim

SSE = b'data: {"a":1}\n\n: note\n\ndata: {"b":"\xc3\xa9"}\r\n\r\ndata: [DONE]\n\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "tapes"
    (root / "chat").mkdir(parents=True)
    (root / "chat" / "one.sse").write_bytes(SSE)
    (root / "lines.ndjson").write_bytes(b'{"a":1}\n{"b":2}\n')
    (root / "whole.json").write_bytes(b"[1]")
    (root / "binary.bin").write_bytes(bytes(range(256)))
    (root / "empty.sse").write_bytes(b"")
    (root / "notes.txt").write_bytes(b"no tape")
    (tmp_path / "secret.sse").write_bytes(b"data: secret\n\n")
    (root / "link.sse").symlink_to(tmp_path / "secret.sse")
    return root


@pytest.fixture
async def sim(folder: Path) -> AsyncIterator[Sim]:
    async with Sim(folder=folder) as sim:
        yield sim


async def play(connect: Connect, sim: Sim, model: str) -> Reply:
    line = await connect(sim)
    line.ask(model)
    return await line.reply()


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("chat/one.sse", "text/event-stream; charset=utf-8"),
        ("lines.ndjson", "application/x-ndjson"),
        ("whole.json", "application/json"),
        ("binary.bin", "application/vnd.amazon.eventstream"),
        ("notes.txt", "application/octet-stream"),
        ("empty.sse", "text/event-stream; charset=utf-8"),
    ],
)
async def test_a_file_is_played_to_the_byte(
    connect: Connect, sim: Sim, folder: Path, name: str, content_type: str
) -> None:
    data = (folder / name).read_bytes()
    for options in ("", "?split=1", "?cuts=30&seed=7", "?gap=1ms", "?split=3&cuts=2&gap=0"):
        reply = await play(connect, sim, f"tape:{name}{options}")
        assert (reply.status, reply.ended, reply.body) == (200, "clean", data)
        assert reply.headers["content-type"] == content_type


async def test_where_it_is_cut(connect: Connect, sim: Sim) -> None:
    assert len((await play(connect, sim, "tape:chat/one.sse")).chunks) == 1
    assert [len(chunk) for chunk in (await play(connect, sim, "tape:whole.json?split=2")).chunks] == [2, 1]
    one, same, other = [
        (await play(connect, sim, f"tape:chat/one.sse?cuts=9&seed={seed}")).chunks for seed in (7, 7, 8)
    ]
    assert one == same != other and len(one) == 10
    by_event = (await play(connect, sim, "tape:chat/one.sse?gap=1ms")).chunks
    assert by_event == [b'data: {"a":1}\n\n', b": note\n\n", b'data: {"b":"\xc3\xa9"}\r\n\r\n', b"data: [DONE]\n\n"]
    assert len((await play(connect, sim, "tape:lines.ndjson?gap=1ms")).chunks) == 2


@pytest.mark.parametrize("end", ["clean", "cut", "reset"])
@pytest.mark.parametrize("gap", ["0", "1ms"])
async def test_how_it_ends(connect: Connect, sim: Sim, end: str, gap: str) -> None:
    reply = await play(connect, sim, f"tape:chat/one.sse?end={end}&gap={gap}")
    assert (reply.body, reply.ended) == (SSE, end)


async def test_status(connect: Connect, sim: Sim) -> None:
    reply = await play(connect, sim, "tape:whole.json?status=503")
    assert (reply.status, reply.body) == (503, b"[1]")


@pytest.mark.parametrize(
    "name", ["nothing.sse", "../secret.sse", "chat/../../secret.sse", "link.sse", "chat", "", ".", "a\0b", "x" * 5000]
)
async def test_nothing_outside_of_the_folder(connect: Connect, sim: Sim, folder: Path, name: str) -> None:
    for path in (name, str(folder.parent / "secret.sse")):
        reply = await play(connect, sim, f"tape:{path}")
        assert (reply.status, reply.error["code"]) == (404, "model_not_found")


async def test_a_bad_option(connect: Connect, sim: Sim) -> None:
    reply = await play(connect, sim, "tape:whole.json?tokens=3")
    assert reply.status == 400
    assert "tokens is not an option; allowed are cuts, end, gap, seed, split, status" in reply.error["message"]


async def test_models_lists_the_tapes(connect: Connect, sim: Sim) -> None:
    line = await connect(sim)
    line.send("/v1/models", b"", "GET")
    names = [model["id"] for model in json.loads((await line.reply()).body)["data"]]
    assert names[0] == "sim" and "tape:chat/one.sse" in names and "tape:notes.txt" not in names
