"""Ledgers in every database that Penstock knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.store.connect import connect
from penstock.store.database import Database
from penstock.testing.postgres import PostgresServer


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
