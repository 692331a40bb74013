"""What of HTTP/1.1 arrives at the listener, whatever way it comes over the wire."""

import asyncio
import socket

import pytest
from upstream_peers import Ear, Peer, Script, Wire, answer, ask, until

from penstock.upstream.connection import Connection
from penstock.upstream.pool import Pool

CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def says(data: bytes, piece: int | None = None) -> Script:
    """Answer each request with these bytes, then keep the connection until the gateway lets go."""

    async def script(wire: Wire) -> None:
        await wire.request()
        for start in range(0, len(data), piece or len(data)):
            await wire.write(data[start : start + (piece or len(data))])
            if piece:
                await asyncio.sleep(0)
        await wire.gone()

    return script


def says_and_closes(data: bytes) -> Script:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.write(data)

    return script


async def heard(pool: Pool, script: Script) -> tuple[Ear, bool]:
    """What the listener got, and whether the connection was kept."""
    async with Peer(script) as peer:
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        return ear, pool.idle == 1


WHOLE = [
    pytest.param(answer(), id="length"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", id="chunked"),
    pytest.param(CHUNKED + b'1;a=b\r\nh\r\n4;c="d;e"\r\nello\r\n0;x\r\n\r\n', id="chunk extensions"),
    pytest.param(CHUNKED + b"05\r\nhello\r\n000\r\n\r\n", id="leading zeros"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\nx-checksum: 1\r\nx-more: 2\r\n\r\n", id="trailers"),
    pytest.param(answer(b"hello", "200 OK", "Upgrade: h2,h2c", "Connection: Upgrade"), id="an upgrade on offer"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + answer(), id="100"),
    pytest.param(b"HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Wait\r\n\r\n" + answer(), id="several 1xx"),
]


@pytest.mark.parametrize("piece", [None, 1, 7])
@pytest.mark.parametrize("data", WHOLE)
async def test_a_whole_answer_arrives_in_every_transfer_coding_and_split(
    pool: Pool, data: bytes, piece: int | None
) -> None:
    ear, kept = await heard(pool, says(data, piece))
    assert (ear.status, ear.text, ear.clean, kept) == (200, b"hello", True, True)
    assert not any(name in (b"x-checksum", b"link") for name, _ in ear.headers)


async def test_header_names_are_lower_case_and_values_untouched(pool: Pool) -> None:
    ear, _ = await heard(pool, says(answer(b"x", "429 Slow Down", "X-Request-ID: AbC", "Retry-After:  7 ")))
    assert ear.status == 429
    assert (b"x-request-id", b"AbC") in ear.headers
    assert dict(ear.headers)[b"retry-after"].strip() == b"7"


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
async def test_a_status_without_a_body_is_whole_with_its_head(pool: Pool, status: str) -> None:
    ear, kept = await heard(pool, says(f"HTTP/1.1 {status}\r\n\r\n".encode()))
    assert (ear.text, ear.clean, kept) == (b"", True, True)


async def test_a_body_may_last_until_the_connection_ends(pool: Pool) -> None:
    ear, kept = await heard(pool, says_and_closes(b"HTTP/1.1 200 OK\r\ncontent-type: x/y\r\n\r\nall there is"))
    assert (ear.text, ear.clean, kept) == (b"all there is", True, False)


async def test_a_reset_ends_no_body_cleanly(pool: Pool) -> None:
    heard_it = asyncio.Event()

    async def resets(wire: Wire) -> None:
        await wire.request()
        await wire.write(b"HTTP/1.1 200 OK\r\n\r\nnot all")
        await heard_it.wait()
        sock = wire.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        wire.cut()

    async with Peer(resets) as peer:
        ear = Ear()
        ear.on_piece = lambda _: heard_it.set()
        exchange = pool.open(peer.at(), [], b"{}", ear, fresh=False)
        await asyncio.wait_for(ear.over.wait(), 5)
        exchange.close(reuse=False)
        assert (ear.text, ear.clean) == (b"not all", False) and ear.reason


CUT = [
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello", b"hello", id="under its length"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n", b"hello", id="before the last chunk"),
    pytest.param(CHUNKED + b"9\r\nhello", b"hello", id="inside a chunk"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\nx-trai", b"hello", id="inside a trailer"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-", b"", id="inside the head"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", b"", id="after an interim answer"),
    pytest.param(b"", b"", id="without a word"),
]


@pytest.mark.parametrize(("data", "text"), CUT)
async def test_an_end_before_the_end_is_not_clean(pool: Pool, data: bytes, text: bytes) -> None:
    ear, kept = await heard(pool, says_and_closes(data))
    assert (ear.text, ear.clean, kept, ear.message) == (text, False, False, None)
    assert ear.reason == "connection closed by the provider"


MALFORMED = [
    pytest.param(b"\x00\x01\x02\x03" * 20, b"", id="no HTTP at all"),
    pytest.param(b"<html>hello</html>\r\n\r\n", b"", id="a page without a head"),
    pytest.param(b"HTTP/1.1 abc\r\n\r\n", b"", id="no status"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello", b"", id="two lengths"),
    pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello", b"", id="a negative length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nbad header\r\n\r\nhello", b"", id="a header without a colon"),
    pytest.param(CHUNKED + b"5\r\nhello\r\nzz\r\n", b"hello", id="a size that is no number"),
    pytest.param(CHUNKED + b"5\r\nhello5\r\n", b"hello", id="a chunk longer than its size"),
    pytest.param(
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n", b"", id="another protocol"
    ),
]


@pytest.mark.parametrize("piece", [None, 1])
@pytest.mark.parametrize(("data", "text"), MALFORMED)
async def test_malformed_http_ends_the_answer_and_the_connection(
    pool: Pool, data: bytes, text: bytes, piece: int | None
) -> None:
    """What came before the fault is delivered, however it was split."""
    async with Peer(says(data, piece)) as peer:
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        assert (ear.text, ear.clean) == (text, False)
        assert "no valid HTTP" in ear.reason
        await until(lambda: peer.open == 0)


async def test_pausing_stops_the_provider_and_reading_on_loses_nothing(pool: Pool) -> None:
    piece = b"x" * 65536
    total = 512 * len(piece)
    written = 0
    blocked = asyncio.Event()

    async def pours(wire: Wire) -> None:
        nonlocal written
        await wire.request()
        await wire.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        for _ in range(512):
            wire.writer.write(piece)
            try:
                await asyncio.wait_for(wire.writer.drain(), 0.5)
            except TimeoutError:
                blocked.set()
                await wire.writer.drain()
            written += len(piece)
        await wire.gone()

    async with Peer(pours) as peer:
        ear = Ear()
        exchange = pool.open(peer.at(), [], b"{}", ear, fresh=False)
        ear.on_piece = lambda _: exchange.pause()
        await asyncio.wait_for(blocked.wait(), 10)
        # Both kernels' buffers, the one read that was under way, and nothing beyond.
        assert len(ear.text) < 1 << 20 and written < 16 << 20 and not ear.over.is_set()
        ear.on_piece = None
        exchange.resume()
        await asyncio.wait_for(ear.over.wait(), 10)
        assert ear.clean and len(ear.text) == total
        exchange.close(reuse=True)


async def test_a_paused_answer_that_is_given_up_closes_the_connection(pool: Pool) -> None:
    async with Peer(says(CHUNKED + b"5\r\nhello\r\n")) as peer:
        ear = Ear()
        exchange = pool.open(peer.at(), [], b"{}", ear, fresh=False)
        await asyncio.wait_for(ear.heard.wait(), 5)
        exchange.pause()
        exchange.close(reuse=False)
        await until(lambda: peer.open == 0)
        assert not ear.over.is_set()


async def test_giving_up_is_felt_by_the_provider_at_once(pool: Pool) -> None:
    async def pours(wire: Wire) -> None:
        await wire.request()
        await wire.write(CHUNKED)
        while not wire.writer.transport.is_closing():
            await wire.write(b"5\r\nhello\r\n")
            await asyncio.sleep(0)

    async with Peer(pours) as peer:
        for _ in range(20):
            ear = Ear()
            exchange = pool.open(peer.at(), [], b"{}", ear, fresh=False)
            await asyncio.wait_for(ear.heard.wait(), 5)
            exchange.close(reuse=False)
            count = len(ear.pieces)
            await until(lambda: peer.open == 0)
            assert len(ear.pieces) == count and not ear.over.is_set()


async def test_giving_up_from_within_a_piece_ends_it_there(pool: Pool) -> None:
    """What the machine does when a frame is over its cap: nothing more of the same read may arrive."""
    async with Peer(says(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")) as peer:
        ear = Ear()
        exchange = pool.open(peer.at(), [], b"{}", ear, fresh=False)
        ear.on_piece = lambda _: exchange.close(reuse=True)
        await asyncio.wait_for(ear.heard.wait(), 5)
        await until(lambda: peer.open == 0)
        assert not ear.over.is_set() and pool.idle == 0


async def test_giving_up_from_within_the_head_ends_it_there(pool: Pool) -> None:
    async with Peer(says(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n")) as peer:
        ear = Ear()
        exchange = pool.open(peer.at(), [], b"{}", ear, fresh=False)
        head = ear.head

        def closing(status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
            head(status, headers)
            exchange.close(reuse=True)

        ear.head = closing  # type: ignore[method-assign]
        await asyncio.wait_for(ear.heads.wait(), 5)
        await until(lambda: peer.open == 0)
        assert not ear.over.is_set() and not ear.pieces and pool.idle == 0


CHUNKS = [
    pytest.param([b"5\r\nhello\r\n"], b"hello", id="one"),
    pytest.param([b"1A\r\n" + b"x" * 26 + b"\r\n", b"1a\r\n" + b"y" * 26 + b"\r\n"], b"x" * 26 + b"y" * 26, id="hex"),
    pytest.param([b"05\r\nhello\r\n"], b"hello", id="a leading zero"),
    pytest.param([b"5;a=b\r\nhello\r\n"], b"hello", id="an extension"),
    pytest.param([b"3\r\n\r\n\r\r\n"], b"\r\n\r", id="line ends inside"),
    pytest.param([b"5\r\nhe", b"llo\r\n"], b"hello", id="in two reads"),
    pytest.param([b"5\r\nhello\r\n5", b"\r\nworld\r\n"], b"helloworld", id="the next size begun"),
    pytest.param([b"5\r\nhello\r\n1", b"5\r\n" + b"w" * 21 + b"\r\n"], b"hello" + b"w" * 21, id="half a size"),
    pytest.param([b"5\r\nhello\r\n5\r\n", b"world", b"\r\n"], b"helloworld", id="a size at the end"),
    pytest.param([b"c\r\n5\r\nhello\r\n\r\n\r\n"], b"5\r\nhello\r\n\r\n", id="a chunk in a chunk"),
    pytest.param([b"a\r\n", b"5\r\nhello\r\n", b"\r\n"], b"5\r\nhello\r\n", id="a chunk within, in a read of its own"),
    pytest.param([b"5\r\nhello\r\n0", b"\r\nx-late: 1\r\n\r\n"], b"hello", id="a trailer"),
]


@pytest.mark.parametrize(("reads", "text"), CHUNKS)
def test_chunks_mean_the_same_in_every_read(reads: list[bytes], text: bytes) -> None:
    heard: list[bytes] = []
    ended: list[bool] = []

    class Listens:
        def head(self, status: int, headers: object) -> None:
            pass

        def body(self, data: bytes, chunk: bytes | None = None) -> None:
            assert chunk is None or chunk == b"%x\r\n%b\r\n" % (len(data), data) or chunk.lower().startswith(b"1a\r\n")
            heard.append(data)

        def ended(self, clean: bool, reason: str) -> None:
            ended.append(clean)

    class Wire(asyncio.Transport):
        def write(self, data: bytes) -> None:
            pass

        def is_closing(self) -> bool:
            return False

    whole = b"".join(reads)
    last = b"" if whole.endswith(b"\r\n\r\n") and b"x-late" in whole else b"0\r\n\r\n"
    for pieces in (reads, [whole], [whole[at : at + 1] for at in range(len(whole))]):
        heard.clear()
        ended.clear()
        connection = Connection()
        connection.connection_made(Wire())
        connection.send(b"POST / HTTP/1.1\r\n\r\n", Listens())  # type: ignore[arg-type]
        connection.data_received(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in pieces:
            connection.data_received(piece)
        if last:
            connection.data_received(last)
        assert b"".join(heard) == text
        assert ended == [True]
