"""Names, addresses and what goes wrong on the way to a connection."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from upstream_peers import Ear, Peer, Wire, answer, ask, until

from penstock.upstream.origin import endpoint
from penstock.upstream.pool import Pool

Address = tuple[int, int, int, str, tuple[str, int]]


async def obedient(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.write(answer())


def resolve(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Every name means these addresses."""
    loop = asyncio.get_running_loop()
    resolver = loop.getaddrinfo
    family = {True: socket.AF_INET6, False: socket.AF_INET}
    found = [(family[":" in at[0]], socket.SOCK_STREAM, socket.IPPROTO_TCP, "", at) for at in addresses]

    async def getaddrinfo(host: str, port: int, **options: Any) -> list[Address]:
        # uvloop asks for the addresses of an address too.
        return found if host.endswith(".example") else await resolver(host, port, **options)  # type: ignore

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


@contextlib.contextmanager
def silent_ipv6() -> Iterator[int]:
    """A port on which connecting hangs: the backlog of its listener is full."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with contextlib.ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6, backlog=0))
        port = listener.getsockname()[1]
        for _ in range(2):
            filler = sockets.enter_context(socket.socket(socket.AF_INET6))
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("::1", port))
        yield port


def unused_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


async def test_a_name_with_a_silent_ipv6_address_is_reached_over_ipv4(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with silent_ipv6() as silent:
        async with Peer(obedient) as peer:
            resolve(monkeypatch, ("::1", silent), ("127.0.0.1", peer.port))
            began = asyncio.get_running_loop().time()
            ear, exchange = await ask(pool, endpoint("http://provider.example:1", "/"))
            exchange.close(reuse=True)
            assert ear.clean and peer.connections == 1
            assert asyncio.get_running_loop().time() - began < 2


async def test_a_name_with_a_refusing_address_is_reached_at_the_next(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Peer(obedient) as peer:
        resolve(monkeypatch, ("::1", unused_port()), ("127.0.0.2", unused_port()), ("127.0.0.1", peer.port))
        ear, exchange = await ask(pool, endpoint("http://provider.example:1", "/"))
        exchange.close(reuse=True)
        assert ear.clean and peer.requests[0].headers["host"] == "provider.example:1"


async def test_giving_up_on_a_silent_address_leaves_nothing(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_ipv6() as silent:
        resolve(monkeypatch, ("::1", silent))
        ear = Ear()
        exchange = pool.open(endpoint("http://provider.example", "/"), [], b"{}", ear, fresh=False)
        await asyncio.sleep(0.01)
        exchange.close(reuse=False)
        await until(lambda: len(asyncio.all_tasks()) == 1)
        assert pool.busy == 0 and not ear.over.is_set()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (socket.EAI_NONAME, "no such host"),
        (socket.EAI_AGAIN, "its name could not be looked up; the name servers do not answer"),
    ],
)
async def test_a_name_without_addresses_is_called_so(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "whatever the system says")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    ear, exchange = await ask(pool, endpoint("http://no-such-host.invalid/v1", "/"))
    exchange.close(reuse=False)
    assert ear.message == f"no-such-host.invalid:80: {words}" and not ear.stale and not ear.opened_count


async def test_a_refused_connection_is_called_so(pool: Pool) -> None:
    port = unused_port()
    ear, exchange = await ask(pool, endpoint(f"http://127.0.0.1:{port}", "/"))
    exchange.close(reuse=False)
    assert ear.message == f"127.0.0.1:{port}: connection refused"


async def test_all_addresses_refusing_is_one_message(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, ("::1", unused_port()), ("127.0.0.1", unused_port()))
    ear, exchange = await ask(pool, endpoint("http://provider.example:7", "/"))
    exchange.close(reuse=False)
    assert ear.message == "provider.example:7: connection refused"


async def test_an_ipv6_address_is_written_in_brackets(pool: Pool) -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    peer = Peer(obedient)
    async with peer:
        server = await asyncio.start_server(peer._serve, "::1", 0)
        port = server.sockets[0].getsockname()[1]
        ear, exchange = await ask(pool, endpoint(f"http://[::1]:{port}/v1", "/x"))
        exchange.close(reuse=True)
        server.close()
        assert ear.clean and peer.requests[0].headers["host"] == f"[::1]:{port}"


async def test_small_writes_are_not_delayed_and_the_receive_buffer_is_bounded(pool: Pool) -> None:
    async with Peer(obedient) as peer:
        _, exchange = await ask(pool, peer.at())
        connection = exchange._connection
        assert connection is not None and connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * 256 * 1024
        exchange.close(reuse=True)
