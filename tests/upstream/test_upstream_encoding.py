"""Providers that compress although identity was asked for (J7)."""

import gzip
import zlib

import pytest
from upstream_peers import Peer, Wire, ask

from penstock.upstream import encoding
from penstock.upstream.encoding import CodingError, Decoding, decoding
from penstock.upstream.pool import Pool

TEXT = b"".join(b'data: {"n": %d}\n\n' % number for number in range(200))
CODED = {
    "gzip": gzip.compress(TEXT, mtime=0),
    "gzip, several members": gzip.compress(TEXT[:900]) + gzip.compress(TEXT[900:]),
    "deflate": zlib.compress(TEXT),
    "deflate, bare": zlib.compress(TEXT)[2:-4],
}


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize("name", CODED)
def test_any_split_gives_the_same_text(name: str, size: int) -> None:
    coded = CODED[name]
    body = Decoding(name.split(",")[0])
    text = b"".join(body.feed(coded[start : start + size]) for start in range(0, len(coded), size))
    assert text == TEXT and body.complete


def test_each_flush_is_readable_at_once() -> None:
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    body = Decoding("gzip")
    for number in range(50):
        event = b'data: {"n": %d}\n\n' % number
        coded = compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert body.feed(coded) == event
    assert not body.complete


def test_a_bomb_is_refused() -> None:
    bomb = zlib.compress(b"\0" * (encoding.EXPANSION + 1), 9)
    assert len(bomb) < 32_768
    with pytest.raises(CodingError, match="grows"):
        Decoding("deflate").feed(bomb)


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_bytes_that_are_not_what_the_header_says_are_refused(coding: str) -> None:
    with pytest.raises(CodingError):
        Decoding(coding).feed(b"data: plain text after all\n\n" * 10)


@pytest.mark.parametrize(
    ("value", "known", "left"),
    [
        (b"gzip", True, 0),
        (b"X-GZIP", True, 0),
        (b"deflate", True, 0),
        (b"identity", False, 1),
        (b"br", False, 1),
        (b"gzip, br", False, 1),
    ],
)
def test_only_a_coding_that_is_undone_loses_its_header(value: bytes, known: bool, left: int) -> None:
    headers = [(b"content-encoding", value), (b"content-type", b"a/b")]
    assert (decoding(headers) is not None) is known
    assert len(headers) == 1 + left


async def test_a_compressed_answer_arrives_plain_and_the_connection_serves_on(pool: Pool) -> None:
    coded = CODED["gzip"]

    async def compresses(wire: Wire) -> None:
        while True:
            await wire.request()
            head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(coded)
            await wire.write(head + coded)

    async with Peer(compresses) as peer:
        for _ in range(2):
            ear, exchange = await ask(pool, peer.at())
            exchange.close(reuse=True)
            assert (ear.text, ear.clean) == (TEXT, True)
            assert b"content-encoding" not in dict(ear.headers)
        assert peer.connections == 1


@pytest.mark.parametrize("coded", [CODED["gzip"][:100], b"not compressed at all", CODED["gzip"][:50] + b"\xff" * 200])
async def test_a_compressed_answer_that_is_broken_does_not_end_cleanly(pool: Pool, coded: bytes) -> None:
    async def breaks(wire: Wire) -> None:
        await wire.request()
        await wire.write(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(coded))
        await wire.write(coded)
        await wire.gone()

    async with Peer(breaks) as peer:
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        assert ear.clean is False and "compressed" in ear.reason and pool.idle == 0
