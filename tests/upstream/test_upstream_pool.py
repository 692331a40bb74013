"""Which connections are used again, and which never."""

import asyncio

import pytest
from upstream_peers import Ear, Peer, Wire, answer, ask, until

from penstock.upstream import connection
from penstock.upstream import pool as pool_module
from penstock.upstream.pool import Pool


async def obedient(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.write(answer())


async def silent(wire: Wire) -> None:
    await wire.request()
    await wire.gone()


async def test_a_whole_answer_leaves_the_connection_for_the_next_request(pool: Pool) -> None:
    async with Peer(obedient) as peer:
        for _ in range(5):
            ear, exchange = await ask(pool, peer.at())
            assert (ear.text, ear.clean, ear.status) == (b"hello", True, 200)
            exchange.close(reuse=True)
            assert pool.idle == 1 and pool.busy == 0
        assert peer.connections == 1
        assert [request.line for request in peer.requests] == ["POST /v1/chat/completions HTTP/1.1"] * 5
        assert peer.requests[0].headers["host"] == f"127.0.0.1:{peer.port}"
        assert peer.requests[0].headers["accept-encoding"] == "identity"


async def test_fresh_means_a_connection_of_its_own(pool: Pool) -> None:
    async with Peer(obedient) as peer:
        _, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        _, exchange = await ask(pool, peer.at(), fresh=True)
        exchange.close(reuse=True)
        assert peer.connections == 2


async def test_a_half_read_answer_is_never_followed_by_another_request(pool: Pool) -> None:
    async def half(wire: Wire) -> None:
        await wire.request()
        await wire.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await wire.gone()

    async with Peer(half) as peer:
        ear = Ear()
        exchange = pool.open(peer.at(), [], b"{}", ear, fresh=False)
        await ear.heard.wait()
        exchange.close(reuse=True)
        assert pool.idle == 0
        await until(lambda: peer.open == 0)


@pytest.mark.parametrize(
    "closing",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
    ids=["connection: close", "HTTP/1.0", "until the end"],
)
async def test_a_connection_that_is_to_close_is_not_kept(pool: Pool, closing: bytes) -> None:
    async def once(wire: Wire) -> None:
        await wire.request()
        await wire.write(closing)

    async with Peer(once) as peer:
        ear, exchange = await ask(pool, peer.at())
        assert (ear.text, ear.clean) == (b"ok", True)
        exchange.close(reuse=True)
        assert pool.idle == 0


async def test_a_connection_closed_while_idle_is_forgotten(pool: Pool) -> None:
    async def once(wire: Wire) -> None:
        await wire.request()
        await wire.write(answer())

    async with Peer(once) as peer:
        _, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        await until(lambda: pool.idle == 0)
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        assert ear.clean and peer.connections == 2


async def test_a_connection_that_dies_under_the_next_request_is_stale(pool: Pool) -> None:
    async def close_on_the_second(wire: Wire) -> None:
        await wire.request()
        await wire.write(answer())
        await wire.reader.read(1)

    async with Peer(close_on_the_second) as peer:
        _, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=False)
        assert ear.stale and ear.message and ear.opened_count == 1
        ear, exchange = await ask(pool, peer.at(), fresh=True)
        exchange.close(reuse=True)
        assert ear.clean and peer.connections == 2


async def test_a_first_use_that_gets_no_answer_is_not_stale(pool: Pool) -> None:
    async def rude(wire: Wire) -> None:
        await wire.request()

    async with Peer(rude) as peer:
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=False)
        assert (ear.clean, ear.message) == (False, None)


async def test_half_a_head_is_not_stale(pool: Pool) -> None:
    """The provider has seen the request: it must not be sent again in silence."""

    async def half(wire: Wire) -> None:
        await wire.request()
        await wire.write(answer())
        await wire.request()
        await wire.write(b"HTTP/1.1 200 OK\r\ncont")

    async with Peer(half) as peer:
        _, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=False)
        assert (ear.clean, ear.stale, ear.message) == (False, False, None)


async def test_a_close_after_long_work_is_not_stale(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "STALE_WITHIN", 0.0)

    async def works_then_dies(wire: Wire) -> None:
        await wire.request()
        await wire.write(answer())
        await wire.request()

    async with Peer(works_then_dies) as peer:
        _, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        ear, exchange = await ask(pool, peer.at())
        exchange.close(reuse=False)
        assert (ear.clean, ear.stale) == (False, False)


async def test_an_idle_connection_that_talks_is_dropped(pool: Pool) -> None:
    speak = asyncio.Event()

    async def chatty(wire: Wire) -> None:
        await wire.request()
        await wire.write(answer())
        await speak.wait()
        await wire.write(answer(b"nobody asked"))
        await wire.gone()

    async with Peer(chatty) as peer:
        _, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        assert pool.idle == 1
        speak.set()
        await until(lambda: pool.idle == 0 and peer.open == 0)


@pytest.mark.parametrize("extra", [answer(b"nobody asked"), b"HTTP/1.1 200 OK\r\ncontent-le", b"\x00garbage"])
async def test_bytes_behind_the_answer_end_the_connection(pool: Pool, extra: bytes) -> None:
    """In one packet with the answer: the next client must not get them."""

    async def generous(wire: Wire) -> None:
        await wire.request()
        await wire.write(answer() + extra)
        await wire.gone()

    async with Peer(generous) as peer:
        ear, exchange = await ask(pool, peer.at())
        assert ear.text == b"hello"
        exchange.close(reuse=True)
        await until(lambda: pool.idle == 0 and peer.open == 0)


async def test_bytes_behind_the_answer_end_it_when_it_was_given_back_at_once(pool: Pool) -> None:
    async def generous(wire: Wire) -> None:
        await wire.request()
        await wire.write(answer() + answer(b"nobody asked"))
        await wire.gone()

    async with Peer(generous) as peer:
        first, second = Ear(), Ear()
        exchange = pool.open(peer.at(), [], b"1", first, fresh=False)

        def go_on(clean: bool, reason: str) -> None:
            """What a failover does: the answer is put aside and the next request is sent, all in one call."""
            exchange.close(reuse=True)
            pool.open(peer.at(), [], b"2", second, fresh=False)
            first.over.set()

        first.ended = go_on  # type: ignore[method-assign]
        async with asyncio.timeout(5):
            await first.over.wait()
            await second.over.wait()
        assert second.text == b"hello" and peer.connections == 2
        assert [request.body for request in peer.requests] == [b"1", b"2"]


async def test_no_more_than_max_idle_connections_are_kept(pool: Pool) -> None:
    async with Peer(obedient) as peer:
        exchanges = await asyncio.gather(*(ask(pool, peer.at()) for _ in range(5)))
        assert peer.connections == 5
        for _, exchange in exchanges:
            exchange.close(reuse=True)
        assert pool.idle == 2
        await until(lambda: peer.open == 2)


async def test_a_connection_is_not_used_after_the_time_at_which_servers_close(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Peer(obedient) as peer:
        _, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        monkeypatch.setattr(pool_module, "IDLE_LIMIT", -1.0)
        _, exchange = await ask(pool, peer.at())
        assert peer.connections == 2
        exchange.close(reuse=False)


async def test_origins_do_not_share_connections(pool: Pool) -> None:
    async with Peer(obedient) as one, Peer(obedient) as other:
        for peer in (one, other, one, other):
            _, exchange = await ask(pool, peer.at())
            exchange.close(reuse=True)
        assert (one.connections, other.connections, pool.idle) == (1, 1, 2)


async def test_an_exchange_that_is_closed_at_any_point_of_its_beginning_is_heard_of_no_more(pool: Pool) -> None:
    async with Peer(silent) as peer:
        for turns in range(12):
            ear = Ear()
            exchange = pool.open(peer.at(), [], b"{}", ear, fresh=False)
            for _ in range(turns):
                await asyncio.sleep(0)
            exchange.close(reuse=False)
            assert pool.busy == 0
            assert not ear.over.is_set() and not ear.status
        await until(lambda: peer.open == 0)


async def test_closing_the_pool_closes_what_is_open_and_what_is_idle() -> None:
    async def hanging(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if request.body == b"hang":
                await wire.gone()
            await wire.write(answer())

    pool = Pool(asyncio.get_running_loop())
    async with Peer(hanging) as peer:
        busy = Ear()
        pool.open(peer.at(), [], b"hang", busy, fresh=True)
        _, exchange = await ask(pool, peer.at())
        exchange.close(reuse=True)
        assert (pool.busy, pool.idle) == (1, 1)
        await until(lambda: len(peer.requests) == 2)
        await pool.close()
        await until(lambda: peer.open == 0)
        assert (pool.busy, pool.idle) == (0, 0) and not busy.over.is_set()
