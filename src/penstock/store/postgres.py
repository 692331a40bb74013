"""The ledger in PostgreSQL, by asyncpg on a private event loop: the caller's thread waits, the gateway's loop never."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from penstock.errors import PenstockError
from penstock.store import schema
from penstock.store.database import StoreError
from penstock.store.schema import Line

PATIENCE = 5.0
"""Seconds for a connection, and for a statement."""
_LOCK = 0x70656E73
"""One writer at a time numbers rows: whoever reads a number sees all the lower ones."""

Answer = TypeVar("Answer")


def check_installed() -> None:
    """Raises PenstockError without asyncpg."""
    try:
        import asyncpg  # noqa: F401
    except ImportError:
        raise PenstockError("a ledger in PostgreSQL needs asyncpg: pip install 'penstock[postgres]'") from None


class Postgres:
    """One connection."""

    def __init__(self, url: str):
        check_installed()
        import asyncpg

        self._errors = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
        self._name = url.partition("://")[2].rpartition("@")[2].partition("?")[0]
        self._loop = asyncio.new_event_loop()
        try:
            self._db = self._wait(asyncpg.connect(url, timeout=PATIENCE, command_timeout=PATIENCE))
        except StoreError:
            self._loop.close()
            raise

    def _wait(self, doing: Coroutine[Any, Any, Answer]) -> Answer:
        try:
            return self._loop.run_until_complete(doing)
        except self._errors as error:
            detail = str(error) or type(error).__name__
            raise StoreError(f"the ledger {self._name}: {detail}") from error
        except ValueError:
            # Its words may hold a part of the password.
            raise StoreError(f"the ledger {self._name}: the address or a value cannot be understood") from None

    def migrate(self) -> int:
        """See `database.Statements`."""
        return self._wait(self._migrate())

    async def _migrate(self) -> int:
        async with self._db.transaction():
            await self._db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
            if await self._db.fetchval("SELECT to_regclass('penstock_schema')") is None:
                await self._db.execute(schema.VERSIONS)
            version = int(await self._db.fetchval(schema.VERSION))
            if version > len(schema.MIGRATIONS):
                raise StoreError(f"the ledger {self._name} was made by a newer Penstock (schema {version})")
            for number in range(version, len(schema.MIGRATIONS)):
                for statement in schema.MIGRATIONS[number]:
                    await self._db.execute(statement)
                await self._db.execute(schema.SET_VERSION, number + 1)
        return len(schema.MIGRATIONS) - version

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[Sequence[Any]]:
        """See `database.Statements`."""
        return [tuple(record) for record in self._wait(self._db.fetch(sql, *values))]

    def run(self, sql: str, values: Sequence[Any]) -> None:
        """See `database.Statements`."""
        self._wait(self._db.execute(sql, *values))

    def run_all(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """See `database.Statements`."""
        # Many rows are one transaction of their own.
        self._wait(self._db.executemany(sql, rows))

    def put(self, settled: Sequence[Line], opened: Sequence[Line], owner: str) -> None:
        """See `database.Statements`."""
        self._wait(self._put(settled, opened, owner))

    async def _put(self, settled: Sequence[Line], opened: Sequence[Line], owner: str) -> None:
        async with self._db.transaction():
            if opened:
                await self._db.executemany(schema.PUT, [schema.values(line, None, owner) for line in opened])
            if settled:
                await self._db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
                last = await self._db.fetchval(schema.LAST)
                numbered = [schema.values(line, last + n, owner) for n, line in enumerate(settled, 1)]
                await self._db.executemany(schema.PUT, numbered)

    def close(self) -> None:
        """See `database.Statements`."""
        if self._loop.is_closed():
            return
        try:
            self._wait(self._db.close(timeout=1))
        except StoreError:
            self._db.terminate()
        finally:
            self._loop.run_until_complete(asyncio.sleep(0))
            self._loop.close()
