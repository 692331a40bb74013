"""TLS towards providers is verified, always."""

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme
from upstream_peers import Ear, Peer, Wire, answer, ask, until

from penstock.upstream.pool import Pool


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> str:
    """The PEM file of the authority, as in a provider's ``ca``."""
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def serving(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def obedient(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.write(answer())


async def test_a_provider_with_an_authority_of_its_own_is_reached_with_ca(
    pool: Pool, authority: trustme.CA, ca: str
) -> None:
    async with Peer(obedient, serving(authority, "localhost")) as peer:
        for _ in range(3):
            ear, exchange = await ask(pool, peer.at("localhost", "https", ca))
            exchange.close(reuse=True)
            assert (ear.text, ear.clean) == (b"hello", True)
        assert peer.connections == 1


async def test_without_ca_its_certificate_is_not_trusted(pool: Pool, authority: trustme.CA) -> None:
    async with Peer(obedient, serving(authority, "localhost")) as peer:
        ear, exchange = await ask(pool, peer.at("localhost", "https"))
        exchange.close(reuse=False)
        assert ear.message and ear.message.startswith("the certificate of localhost is not trusted: ")
        assert not ear.stale and not ear.opened_count and not peer.requests


async def test_another_authority_is_not_trusted(pool: Pool, authority: trustme.CA, ca: str) -> None:
    async with Peer(obedient, serving(trustme.CA(), "localhost")) as peer:
        ear, exchange = await ask(pool, peer.at("localhost", "https", ca))
        exchange.close(reuse=False)
        assert ear.message and "the certificate of localhost is not trusted" in ear.message
        assert not peer.requests


async def test_a_certificate_for_another_name_is_refused(pool: Pool, authority: trustme.CA, ca: str) -> None:
    async with Peer(obedient, serving(authority, "other.example")) as peer:
        ear, exchange = await ask(pool, peer.at("localhost", "https", ca))
        exchange.close(reuse=False)
        assert ear.message and "the certificate of localhost is not trusted: Hostname mismatch" in ear.message
        assert not peer.requests


async def test_an_address_is_checked_as_an_address(pool: Pool, authority: trustme.CA, ca: str) -> None:
    async with Peer(obedient, serving(authority, "127.0.0.1")) as peer:
        ear, exchange = await ask(pool, peer.at("127.0.0.1", "https", ca))
        exchange.close(reuse=True)
        assert ear.clean


async def test_a_server_without_tls_is_named_as_such(pool: Pool, ca: str) -> None:
    async def plain(wire: Wire) -> None:
        await wire.reader.read(1)
        await wire.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await wire.gone()

    async with Peer(plain) as peer:
        ear, exchange = await ask(pool, peer.at("localhost", "https", ca))
        exchange.close(reuse=False)
        assert ear.message and ear.message.startswith("TLS with localhost failed: ")


async def test_a_server_that_hangs_up_during_the_handshake_is_a_failure_with_words(pool: Pool, ca: str) -> None:
    async def rude(wire: Wire) -> None:
        await wire.reader.read(1)

    async with Peer(rude) as peer:
        ear, exchange = await ask(pool, peer.at("localhost", "https", ca))
        exchange.close(reuse=False)
        assert ear.message and "localhost" in ear.message and len(ear.message) > len("localhost:12345: ")


async def test_giving_up_during_the_handshake_closes_the_socket(pool: Pool, ca: str) -> None:
    greeted = asyncio.Event()

    async def mute(wire: Wire) -> None:
        await wire.reader.read(1)
        greeted.set()
        await wire.gone()

    async with Peer(mute) as peer:
        ear = Ear()
        exchange = pool.open(peer.at("localhost", "https", ca), [], b"{}", ear, fresh=False)
        await asyncio.wait_for(greeted.wait(), 5)
        exchange.close(reuse=False)
        await until(lambda: peer.open == 0)
        assert not ear.over.is_set() and pool.busy == 0


async def test_giving_up_in_the_middle_of_an_answer_closes_the_socket(
    pool: Pool, authority: trustme.CA, ca: str
) -> None:
    async def half(wire: Wire) -> None:
        await wire.request()
        await wire.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await wire.gone()

    async with Peer(half, serving(authority, "localhost")) as peer:
        ear = Ear()
        exchange = pool.open(peer.at("localhost", "https", ca), [], b"{}", ear, fresh=False)
        await asyncio.wait_for(ear.heard.wait(), 5)
        exchange.close(reuse=False)
        await until(lambda: peer.open == 0)
        assert not ear.over.is_set()


async def test_a_file_that_is_no_authority_is_a_failure_with_words(pool: Pool, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")

    async with Peer(obedient) as peer:
        for path in (str(wrong), str(tmp_path / "missing.pem")):
            ear, exchange = await ask(pool, peer.at("localhost", "https", path))
            exchange.close(reuse=False)
            assert ear.message and "localhost" in ear.message
        await until(lambda: peer.open == 0)
