"""A credential that grows old."""

import asyncio
import logging
from typing import NoReturn

import pytest

from penstock.upstream.admitted import AdmittedExchange
from penstock.upstream.authority import Authority, Secrets
from penstock.upstream.renewing import CredentialError, Fetched, Renewing


class Source:
    """Gives s1, s2, … ; may be told to wait or to fail."""

    def __init__(self) -> None:
        self.now = 100.0
        self.fetched = 0
        self.refused: list[str | None] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.renewing: Renewing[str] = Renewing("it", self.fetch, lambda: self.now)

    async def fetch(self, refused: str | None) -> Fetched[str]:
        self.refused.append(refused)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.fetched += 1
        return Fetched(f"s{self.fetched}", good_for=10.0, renew_after=8.0)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_is_fetched_when_it_is_first_needed() -> None:
    source = Source()
    assert source.renewing.at_hand() is None and source.fetched == 0
    assert await source.renewing.get() == "s1" == source.renewing.at_hand()
    source.now += 7.9
    assert await source.renewing.get() == "s1" and source.fetched == 1


async def test_it_is_renewed_beside_the_requests() -> None:
    source = Source()
    await source.renewing.get()
    source.now += 8.0
    assert source.renewing.at_hand() == "s1"
    await settle()
    assert source.renewing.at_hand() == "s2" and source.fetched == 2


async def test_an_old_one_is_not_used() -> None:
    source = Source()
    await source.renewing.get()
    source.now += 10.0
    assert source.renewing.at_hand() is None
    assert await source.renewing.get() == "s2"


async def test_one_fetch_serves_all_who_wait() -> None:
    source = Source()
    source.gate.clear()
    waiting = [asyncio.create_task(source.renewing.get()) for _ in range(5)]
    await settle()
    waiting[0].cancel()
    await settle()
    source.gate.set()
    assert await asyncio.gather(*waiting[1:]) == ["s1"] * 4 and source.fetched == 1


async def test_a_refused_one_is_fetched_anew_once() -> None:
    source = Source()
    await source.renewing.get()
    first, second = await asyncio.gather(source.renewing.get("s1"), source.renewing.get("s1"))
    assert first == second == "s2" and source.refused == [None, "s1"]
    assert await source.renewing.get("s1") == "s2" and source.fetched == 2


async def test_a_failure_stands_for_a_moment() -> None:
    source = Source()
    source.error = CredentialError("no")
    for _ in range(3):
        with pytest.raises(CredentialError, match="no"):
            await source.renewing.get()
    assert len(source.refused) == 1
    source.error, source.now = None, source.now + 1.1
    assert await source.renewing.get() == "s1"


async def test_a_failure_beside_the_requests_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    await source.renewing.get()
    source.now += 8.0
    source.error = CredentialError("no")
    for _ in range(3):
        assert source.renewing.at_hand() == "s1"
        await settle()
    assert len(source.refused) == 2 and [record.getMessage() for record in caplog.records] == ["no"]
    source.error, source.now = None, source.now + 1.1
    assert source.renewing.at_hand() == "s1"
    await settle()
    assert source.renewing.at_hand() == "s2"


async def test_a_bug_says_nothing_to_clients(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    source.error = RuntimeError("sk-secret")
    for _ in range(2):
        with pytest.raises(CredentialError, match=r"^it failed$"):
            await source.renewing.get()
    assert any(record.levelno == logging.ERROR for record in caplog.records)


async def test_closing_gives_up() -> None:
    source = Source()
    source.gate.clear()
    waiting = asyncio.create_task(source.renewing.get())
    await settle()
    await source.renewing.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await source.renewing.close()


def test_secrets_are_the_latest_and_the_configured_ones() -> None:
    secrets = Secrets(b"configured", b"short", b"")
    assert list(secrets) == [b"configured"]
    for number in range(30):
        secrets.add(b"renewed-%d" % number, b"renewed-%d" % number, b"x")
    assert next(iter(secrets)) == b"configured" and list(secrets)[-1] == b"renewed-29" and len(list(secrets)) == 13


async def test_what_a_refusal_is() -> None:
    authority: Authority[str] = Authority(lambda key, at, headers, body: headers, fixed="k")
    expired = ((b"x-amzn-errortype", b"ExpiredTokenException:http://internal/"),)
    denied = ((b"x-amzn-errortype", b"AccessDeniedException"),)
    assert authority.refuses(401, ()) and authority.refuses(403, expired)
    assert not authority.refuses(403, ()) and not authority.refuses(403, denied) and not authority.refuses(500, expired)
    assert authority.at_hand() == "k" == await authority.get() and not authority.renews
    await authority.close()


async def test_what_cannot_be_sent_is_told() -> None:
    """Signing may fail: the one who waits for the credential must hear of it."""
    source, heard = Source(), asyncio.Event()

    class Ears:
        def failed(self, message: str, stale: bool) -> None:
            assert message == "the request could not be sent" and not stale
            heard.set()

    def open(credential: str, listener: object) -> NoReturn:
        raise ValueError(credential)

    authority: Authority[str] = Authority(lambda key, at, headers, body: headers, renewing=source.renewing)
    exchange: AdmittedExchange[str] = AdmittedExchange(authority, open, Ears())  # type: ignore[arg-type]
    exchange.start()
    async with asyncio.timeout(1):
        await heard.wait()
    exchange.close(reuse=False)
