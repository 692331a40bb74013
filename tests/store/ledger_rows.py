"""Rows for the tests of the stores."""

from __future__ import annotations

from penstock.metering.row import Row, Tokens
from penstock.outcome import Outcome


def row(stream: str = "st_1", outcome: Outcome | None = Outcome.COMPLETED, **fields: object) -> Row:
    """A row; settled unless ``outcome`` is None."""
    given: dict[str, object] = {
        "started_at": 1_000_000.0,
        "ended_at": 1_000_001.5,
        "key": "team-a",
        "route": "m",
        "client_wire": "openai-chat",
        "provider": "p",
        "model": "gpt",
        "reported": Tokens(input=10, output=20, cache_read=5),
        "charged": "reported",
        "cost": 300,
        **fields,
    }
    return Row(stream=stream, outcome=outcome, **given)  # type: ignore[arg-type]
