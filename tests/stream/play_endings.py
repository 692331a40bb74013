"""How a stream ends towards its client, as the plays expect it."""

from __future__ import annotations

from penstock.testing.playbook import (
    ANY,
    Close,
    Done,
    End,
    Head,
    Outcome,
    Record,
    Send,
    containing,
)

ONE = {"targets": 1}


def the_end(outcome: Outcome) -> tuple:
    return Record(ANY), Done(outcome)


def told(outcome: Outcome) -> Send:
    """An error frame or body that has the outcome as its code."""
    return Send(containing(b'{"error":{', b'"code":"%s"' % outcome.value.encode()))


def failed_before(status: int, outcome: Outcome) -> tuple:
    """What a client gets that has got nothing yet."""
    return Close(0), Head(status, ANY), told(outcome), End(), *the_end(outcome)


def failed_after(outcome: Outcome) -> tuple:
    """What a client gets that has got a token."""
    return Close(0), told(outcome), End(), *the_end(outcome)
