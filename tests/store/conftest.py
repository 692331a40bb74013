"""Databases of every kind that Penstock knows, and the rig with what must hold of its gateways after every test. On
uvloop, as the product does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from penstock.store.connect import connect
from penstock.store.database import Database
from penstock.testing.postgres import PostgresServer
from penstock.testing.rig import Rig


@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig()
    try:
        yield rig
        # The pool of connections to Redis stays: descriptors are not counted here.
        for gateway in rig.gateways:
            await gateway.check()
    finally:
        await rig.stop()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not part of any case."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: PostgresServer = request.getfixturevalue("clean")
    return server.url


@pytest.fixture
def opening(url: str) -> Iterator[Callable[[], Database]]:
    """Opens connections to one ledger, its tables made."""
    made: list[Database] = []

    def open_one() -> Database:
        made.append(connect(url))
        made[-1].migrate()
        return made[-1]

    yield open_one
    for each in made:
        each.close()


@pytest.fixture
def database(opening: Callable[[], Database]) -> Database:
    return opening()
