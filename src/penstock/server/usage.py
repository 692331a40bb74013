"""``GET /v1/usage``: rows of the ledger."""

from __future__ import annotations

import asyncio
import time
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from penstock.config.values import Key
from penstock.errors import BadRequest
from penstock.metering.row import fields
from penstock.outcome import Outcome
from penstock.store.database import StoreError
from penstock.store.instants import parse_instant
from penstock.store.ledger import Ledger
from penstock.store.query import MOST, Query
from penstock.wire import json

_TEXTS = ("stream", "key", "model")
_INSTANTS = ("since", "until")
_NUMBERS = ("after", "limit")
FILTERS = (*_TEXTS, "outcome", *_INSTANTS, *_NUMBERS)


async def usage_page(ledger: Ledger, key: Key | None, scope: MutableMapping[str, Any]) -> bytes:
    """One page: the rows of the asking key, of all keys for an admin and where the gateway is open. Raises
    BadRequest."""
    query = read_query(scope["query_string"], time.time())
    if key is not None and not key.admin:
        if query.key not in (None, key.name):
            message = f"the key {key.name!r} may see its own usage only"
            raise BadRequest(message, status=403, code="not_allowed", param="key")
        query = Query(**{**{name: getattr(query, name) for name in FILTERS}, "key": key.name})
    try:
        page = await asyncio.to_thread(ledger.page, query)
    except StoreError:
        message = "the ledger's database cannot be read now; try again later"
        raise BadRequest(message, status=503, code="ledger_unavailable") from None
    data = [{**fields(row), "cursor": str(cursor)} for cursor, row in page.rows]
    return json.dumps({"data": data, "next": None if page.next is None else str(page.next)})


def read_query(query: bytes, now: float) -> Query:
    """The filters of a query string. Raises BadRequest."""
    given: dict[str, Any] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in FILTERS or name in given:
            problem = "given twice" if name in given else "unknown"
            message = f"{name!r} is {problem}; filters: {', '.join(FILTERS)}"
            raise BadRequest(message, code="invalid_filter", param=name)
        given[name] = value if name in _TEXTS else _read(name, value, now)
    return Query(**given)


def _read(name: str, value: str, now: float) -> float | str:
    try:
        if name == "outcome":
            if value not in list(Outcome):
                raise ValueError(f"one of {', '.join(Outcome)}")
            return value
        if name in _INSTANTS:
            return parse_instant(value, now)
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 19 else -1
        if number < 0 or (name == "limit" and not 1 <= number <= MOST):
            raise ValueError(f"a limit from 1 to {MOST}" if name == "limit" else "the cursor of a row")
        return number
    except ValueError as error:
        raise BadRequest(f"{name} takes {error}", code="invalid_filter", param=name) from None
