"""The transition tables of a stream's two sides. They are the documentation: what is not in them cannot happen.

The coupling between the sides:

* a blocked client pauses the upstream and stops its clocks;
* a client that is gone for good or ended closes the upstream (after ``SETTLING``, when the answer is complete);
* a client that is gone leaves the stream ``DETACHED`` where its answer can be resumed, or is read on for the account
  (``drain``): the upstream runs on, and is closed when that is over;
* the upstream's first token moves the client from ``WAITING`` to ``STREAMING``, unless ``commit_after`` did before.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from penstock.errors import PenstockError


class Upstream(Enum):
    """The state of an attempt."""

    OPENING = "opening"
    WAITING = "waiting"
    STREAMING = "streaming"
    SETTLING = "settling"
    CLOSED = "closed"


class UpstreamStep(Enum):
    """What moves an attempt."""

    OPENED = "opened"
    TOKEN = "first token event"
    TERMINAL = "terminal frame"
    CLOSE = "close"


class Client(Enum):
    """The state of the client's side."""

    WAITING = "waiting"
    STREAMING = "streaming"
    BLOCKED = "blocked"
    DETACHED = "detached"
    CLOSED = "closed"


class ClientStep(Enum):
    """What moves the client's side."""

    HEAD = "head sent"
    BLOCK = "blocked"
    DRAIN = "drained"
    LEAVE = "left, the stream goes on"
    CLOSE = "ended or left"


UPSTREAM: dict[Upstream, dict[UpstreamStep, Upstream]] = {
    Upstream.OPENING: {UpstreamStep.OPENED: Upstream.WAITING, UpstreamStep.CLOSE: Upstream.CLOSED},
    Upstream.WAITING: {
        UpstreamStep.TOKEN: Upstream.STREAMING,
        UpstreamStep.TERMINAL: Upstream.SETTLING,
        UpstreamStep.CLOSE: Upstream.CLOSED,
    },
    Upstream.STREAMING: {UpstreamStep.TERMINAL: Upstream.SETTLING, UpstreamStep.CLOSE: Upstream.CLOSED},
    Upstream.SETTLING: {UpstreamStep.CLOSE: Upstream.CLOSED},
    Upstream.CLOSED: {},
}

CLIENT: dict[Client, dict[ClientStep, Client]] = {
    Client.WAITING: {
        ClientStep.HEAD: Client.STREAMING,
        ClientStep.LEAVE: Client.DETACHED,
        ClientStep.CLOSE: Client.CLOSED,
    },
    Client.STREAMING: {
        ClientStep.BLOCK: Client.BLOCKED,
        ClientStep.LEAVE: Client.DETACHED,
        ClientStep.CLOSE: Client.CLOSED,
    },
    Client.BLOCKED: {
        ClientStep.DRAIN: Client.STREAMING,
        ClientStep.LEAVE: Client.DETACHED,
        ClientStep.CLOSE: Client.CLOSED,
    },
    Client.DETACHED: {ClientStep.CLOSE: Client.CLOSED},
    Client.CLOSED: {},
}

State = TypeVar("State", Upstream, Client)
Step = TypeVar("Step", UpstreamStep, ClientStep)


class ImpossibleStep(PenstockError):
    """A step that the table does not have: a bug of Penstock, not of anybody outside."""


def step(table: dict[State, dict[Step, State]], state: State, happened: Step) -> State:
    """The state that follows. Raises ImpossibleStep."""
    try:
        return table[state][happened]
    except KeyError:
        raise ImpossibleStep(f"{happened.name} cannot happen in state {state.name}") from None


def diagram() -> str:
    """The tables as a Mermaid diagram, for docs/life-of-a-stream.md."""
    lines = ["stateDiagram-v2"]
    for title, table in (("Upstream", UPSTREAM), ("Client", CLIENT)):
        lines.append(f"    state {title} {{")
        for state, steps in table.items():
            for happened, after in steps.items():
                names = f"{title.lower()}_{state.value}", f"{title.lower()}_{after.value}"
                lines.append(f"        {names[0]} --> {names[1]}: {happened.value}")
        lines.append("    }")
    return "\n".join(lines)
