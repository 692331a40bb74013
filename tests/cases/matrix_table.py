"""What docs/endings.md promises for every fault in every phase, as a table that knows nothing of the code.

``OPEN``: no client has got anything of the answer yet, which for a folded answer is so to its end.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Phase(Enum):
    """How far the first provider had come."""

    CONNECT = "no connection yet"
    TLS = "a connection, no TLS yet"
    SENT = "the request is sent, no answer yet"
    HEAD = "200 and headers, no frame yet"
    PINGS = "lifecycle frames, empty deltas and pings, no token yet"
    TOKEN_1 = "one token"
    TOKEN_10 = "ten tokens"
    LAST = "every token, and only the end is missing"


BEFORE_AN_ANSWER = (Phase.CONNECT, Phase.TLS, Phase.SENT)
BEFORE_A_TOKEN = (Phase.HEAD, Phase.PINGS)
AFTER_A_TOKEN = (Phase.TOKEN_1, Phase.TOKEN_10, Phase.LAST)
IN_THE_BODY = BEFORE_A_TOKEN + AFTER_A_TOKEN


class Then(Enum):
    """What the client sees of it, while there is a healthy second target."""

    NEXT = "the second target's answer, and nothing else"
    ANSWER = "an error with its own status, at once"
    FRAME = "what came until then, and one error frame"
    WHOLE = "the first target's answer, whole"
    GONE = "nothing more: it has left"
    CUT = "a connection that is cut"


class Row(NamedTuple):
    """A fault. ``outcome`` is how the attempt ends, and the stream, where nobody else is asked. ``status`` is what a
    client gets when there is no other target; ``limit`` names the deadline that ends it."""

    fault: str
    phases: tuple[Phase, ...]
    outcome: str
    open: Then
    """While nothing of the answer is out."""
    out: Then | None = None
    """When a token is."""
    status: int | str = 0
    limit: str = ""
    case: str = ""
    """Of failure-cases.md."""


def _statuses(case: str, then: Then, *statuses: int) -> list[Row]:
    return [
        Row(f"status {status}", (Phase.SENT,), "upstream_error", then, status=status, case=case) for status in statuses
    ]


ROWS: list[Row] = [
    Row("refused", (Phase.CONNECT,), "connect_failed", Then.NEXT, status=502, case="C6"),
    Row("untrusted", (Phase.TLS,), "connect_failed", Then.NEXT, status=502, case="C6"),
    Row("silence", (Phase.CONNECT, Phase.TLS), "connect_failed", Then.NEXT, status=502, limit="connect", case="B1"),
    Row("reset", (Phase.TLS,), "connect_failed", Then.NEXT, status=502, case="C6"),
    Row("reset", (Phase.SENT, *IN_THE_BODY), "upstream_cut", Then.NEXT, Then.FRAME, status=502, case="C12"),
    Row("unclean end", (Phase.SENT, *IN_THE_BODY), "upstream_cut", Then.NEXT, Then.FRAME, status=502, case="C12"),
    Row("clean end", BEFORE_A_TOKEN, "empty", Then.NEXT, status=502, case="C7"),
    Row("clean end", AFTER_A_TOKEN, "upstream_cut", Then.NEXT, Then.FRAME, status=502, case="C12"),
    *_statuses("C11", Then.NEXT, 408, 409, 425, 429, 500, 502, 503, 504, 529),
    *_statuses("C12", Then.ANSWER, 400, 401, 403, 404, 413, 422),
    Row(
        "silence",
        (Phase.SENT, *BEFORE_A_TOKEN),
        "first_token_timeout",
        Then.NEXT,
        status=504,
        limit="first_token",
        case="B1",
    ),
    Row("pings", BEFORE_A_TOKEN, "first_token_timeout", Then.NEXT, status=504, limit="first_token", case="B2"),
    Row("silence", AFTER_A_TOKEN, "stalled", Then.ANSWER, Then.FRAME, status=504, limit="between_tokens", case="B3"),
    Row("pings", AFTER_A_TOKEN, "stalled", Then.ANSWER, Then.FRAME, status=504, limit="between_tokens", case="B3"),
    Row("error", BEFORE_A_TOKEN, "upstream_error", Then.NEXT, status="said", case="C1"),
    Row("error", AFTER_A_TOKEN, "upstream_error", Then.NEXT, Then.FRAME, status="said", case="C4"),
    Row("empty", BEFORE_A_TOKEN, "empty", Then.NEXT, status=502, case="C7"),
    Row("malformed", IN_THE_BODY, "completed", Then.WHOLE, Then.WHOLE, status=200, case="D12"),
    Row("malformed, fail", IN_THE_BODY, "upstream_error", Then.NEXT, Then.FRAME, status=502, case="D12"),
    Row("oversized", IN_THE_BODY, "upstream_error", Then.NEXT, Then.FRAME, status=502, case="K1"),
    Row("client leaves", (*BEFORE_AN_ANSWER, *IN_THE_BODY), "client_closed", Then.GONE, Then.GONE, case="A6"),
    Row("client blocks", (*BEFORE_AN_ANSWER, *BEFORE_A_TOKEN), "completed", Then.WHOLE, status=200, case="B10"),
    Row(
        "client blocks", AFTER_A_TOKEN, "slow_client", Then.WHOLE, Then.CUT, status=200, limit="slow_client", case="B9"
    ),
    Row("shutdown", (*BEFORE_AN_ANSWER, *IN_THE_BODY), "shutdown", Then.ANSWER, Then.FRAME, status=503, case="N3"),
]


class Cell(NamedTuple):
    """One fault in one phase."""

    row: Row
    phase: Phase

    def __str__(self) -> str:
        return f"{self.row.case} {self.row.fault} {self.phase.name.lower()}"

    def then(self, streamed: bool) -> Then:
        """What the client sees of it."""
        later = self.row.out if streamed and self.phase in AFTER_A_TOKEN else None
        return later or self.row.open

    def outcome(self, streamed: bool) -> str:
        """How it ends for a client that is streamed to; a folded one reads nothing before the end."""
        return "completed" if self.then(streamed) is Then.WHOLE else self.row.outcome


LIMITS = {"connect": 5.0, "first_token": 15.0, "between_tokens": 30.0, "slow_client": 30.0}
"""Seconds, as they are in the route of the matrix."""
CELLS = [Cell(row, phase) for row in ROWS for phase in row.phases]

BOTH: list[tuple[str, str, int]] = [
    # The first target's fault, the second's, and the status that the client gets.
    ("status 503", "refused", 503),
    ("refused", "status 503", 503),
    ("silence", "status 500", 500),
    ("status 500", "silence", 500),
    ("status 429", "status 503", 429),
    ("status 503", "status 429", 429),
    ("status 429", "refused", 429),
    ("refused", "status 429", 429),
    ("status 503", "status 404", 404),
    ("status 429", "status 422", 422),
    ("refused", "empty", 502),
    ("empty", "silence", 504),
    ("silence", "refused", 502),
]
"""Only the caller can mend a 4xx; a 429 says when to come back; a provider's own words say more than a silence; of
equals the last."""
