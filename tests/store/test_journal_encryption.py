"""The journal encrypted at rest: nothing of what was said is in the store, keys are changed without a gap, and without
the right key a stream is not resumable and says why."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st
from test_shared_journal import ON, events, stored

from penstock import app
from penstock.config.values import Config, Journal
from penstock.framing.sse import SSEFramer
from penstock.store.cipher import PIECE, Cipher, Unreadable
from penstock.stores import StoreUnusable
from penstock.testing.client import Answer
from penstock.testing.redis_server import RedisServer
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import done, fin, hdr, role, tok

SAID = b"w17 "
ANSWER = [hdr(), role(), tok(30), fin(), done()]
OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
Begin = Callable[..., Awaitable[LiveGateway]]


class Place:
    """A store, and all of its bytes."""

    def __init__(self, url: str, contents: Callable[[], Awaitable[bytes]]):
        self.url = url
        self.contents = contents


@pytest.fixture(params=["sqlite", "redis"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    if request.param == "sqlite":

        async def files() -> bytes:
            return b"".join(path.read_bytes() for path in tmp_path.glob("journal.db*"))

        yield Place(f"sqlite:///{tmp_path}/journal.db", files)
        return
    async with RedisServer("--dir", str(tmp_path), "--rdbcompression", "no") as redis:

        async def dump() -> bytes:
            assert await redis.say("SAVE") == b"+OK\r\n"
            return (tmp_path / "dump.rdb").read_bytes()

        yield Place(redis.url, dump)


@pytest.fixture
async def begin(rig: Rig, place: Place) -> Begin:
    """A further gateway over the store, with these keys."""
    upstream = await rig.upstream(*[ANSWER] * 4)

    async def gateway(*keys: str) -> LiveGateway:
        return await rig.gateway(upstream, journal={"url": place.url, "ttl": 60.0, "keys": keys}, total=30.0)

    return gateway


async def asked(gateway: LiveGateway, **headers: str) -> tuple[str, Answer]:
    """A stream that the store has whole."""
    answer = await gateway.ask(headers={**ON, **headers})
    assert answer.marks == 1
    stream, store = answer.headers["x-penstock-stream"], gateway.gateway.store
    assert store is not None
    async with asyncio.timeout(20):
        while (known := await store.known(stream)) is None or known.ended is None:
            await asyncio.sleep(0.02)
    return stream, answer


async def refused(gateway: LiveGateway, stream: str) -> None:
    told = await gateway.get(f"/v1/streams/{stream}/events")
    assert (told.status, told.json["error"]["code"]) == (410, "not_resumable")
    assert "journal.key" in told.json["error"]["message"]
    assert (await gateway.get(f"/v1/streams/{stream}")).status == 410
    assert (await gateway.post(f"/v1/streams/{stream}/stop", b"")).status == 410
    assert SAID not in told.body


@pytest.mark.parametrize("keys", [(), (NEW,)])
async def test_nothing_of_what_was_said_is_in_the_store(
    rig: Rig, begin: Begin, place: Place, keys: tuple[str, ...]
) -> None:
    gateway, other = await begin(*keys), await begin(*keys)
    stream, answer = await asked(gateway)
    folded = await gateway.ask(stream=False, headers=ON)
    await stored(other, folded.headers["x-penstock-stream"])
    assert await events(other, stream, 12) == b"".join(SSEFramer().feed(answer.body)[12:])
    written = await place.contents()
    # Its id is how it is found.
    assert stream.encode() in written
    # Frames, an answer in one piece, and what is known of the stream.
    for text in (SAID, b'"content"', b'"choices"', b"openai-chat", b"event-stream"):
        assert (text in written) == (not keys), text


async def test_keys_are_changed_without_a_gap(rig: Rig, begin: Begin) -> None:
    before = await begin(OLD)
    stream, answer = await asked(before, **{"idempotency-key": "once"})
    await before.stop()
    between, after = await begin(NEW, OLD), await begin(NEW)
    assert await events(between, stream) == answer.body
    assert (await between.get(f"/v1/streams/{stream}")).json["outcome"] == "completed"
    # The newest writes.
    later, further = await asked(between)
    assert await events(after, later) == further.body
    await refused(after, stream)
    # No other key, and no other generation, for what cannot be read.
    again = await after.ask(headers={"idempotency-key": "once"})
    assert (again.status, again.json["error"]["code"]) == (410, "not_resumable")
    assert len(rig.upstreams[0].requests) == 2  # type: ignore[union-attr]
    assert [shown["id"] for shown in (await after.get("/v1/streams")).json["data"]] == [later]


@pytest.mark.parametrize("keys", [(), (OTHER,)])
async def test_the_wrong_key_and_none_are_told(begin: Begin, keys: tuple[str, ...]) -> None:
    before = await begin(NEW)
    stream, _ = await asked(before)
    await before.stop()
    stranger = await begin(*keys)
    await refused(stranger, stream)
    assert sum("no key of this gateway opens" in line for line in stranger.writer.lines) == 1


async def test_what_was_written_before_there_was_a_key_is_read(begin: Begin) -> None:
    before = await begin()
    stream, answer = await asked(before)
    await before.stop()
    assert await events(await begin(NEW), stream) == answer.body


async def test_a_frame_that_was_changed_ends_the_reading_in_words(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(ANSWER)
    settings = {"url": f"sqlite:///{tmp_path}/journal.db", "ttl": 60.0, "keys": (NEW,)}
    before = await rig.gateway(upstream, journal=settings)
    stream, _ = await asked(before)
    await before.stop()
    file = sqlite3.connect(tmp_path / "journal.db")
    with file:
        for last, written in file.execute("select last, frames from frames").fetchall():
            file.execute("update frames set frames = ? where last = ?", (written[:-9] + b"AAAAAAA==", last))
    file.close()
    told = await events(await rig.gateway(upstream, journal=settings), stream)
    (only,) = SSEFramer().feed(told)
    assert b'"code":"not_resumable"' in only


@given(st.lists(st.integers(0, 2 * PIECE), max_size=20), st.integers(0, 50))
def test_long_batches_are_encrypted_in_pieces(sizes: list[int], before: int) -> None:
    frames = [b"x" * size for size in sizes]
    pieces = list(Cipher([NEW]).pieces(before + len(frames), frames))
    assert [frame for _, piece in pieces for frame in piece] == frames
    reached = before
    for last, piece in pieces:
        reached += len(piece)
        assert last == reached
        assert len(piece) == 1 or sum(map(len, piece)) <= PIECE
    # No more of them than it takes: two neighbours would not fit together.
    for (_, one), (_, other) in pairwise(pieces):
        assert sum(map(len, one)) + len(other[0]) > PIECE


def test_what_is_no_token_of_ours_is_never_read_as_one() -> None:
    cipher = Cipher([NEW])
    for token in (Fernet(OTHER).encrypt(b"x"), cipher.encrypt(b"x")[:-3], b"gAAAAnonsense"):
        with pytest.raises(Unreadable):
            cipher.decrypt(token)


def test_a_key_that_is_none_is_told_before_the_start() -> None:
    for begin in (app.check, app.Gateway):
        with pytest.raises(StoreUnusable, match=r"journal\.key is no Fernet key"):
            begin(Config(journal=Journal(keys=("***",))))
