"""Which client's side a stream has."""

from __future__ import annotations

from functools import cache
from typing import TypeVar, cast

from penstock.stream.checked import CheckedClient
from penstock.stream.client import ClientSide
from penstock.stream.commands import Command
from penstock.stream.journaled import JournaledClient
from penstock.stream.outlet import CheckedOriginal, CheckedOutlet, Outlet, StagedOriginal, StagedOutlet
from penstock.stream.plan import Plan
from penstock.stream.staged import Judge, StagedClient
from penstock.stream.summary import Summary

Side = TypeVar("Side", bound=ClientSide)


def client_side(plan: Plan, account: Summary, out: list[Command], machine: Judge, now: float) -> ClientSide:
    """The client's side of a stream: with stages where there are any, with a check where there is one, with an outlet
    where a copy is kept or the client is told more, and with a journal, which keeps what all of these let out."""
    stages, journaled = plan.stages, plan.resumable is not None
    watched = plan.tape is not None or plan.metadata is not None
    if stages is None:
        if not journaled:
            return (Outlet if watched else ClientSide)(plan, account, out, now)
        return (with_journal(Outlet) if watched else JournaledClient)(plan, account, out, now)
    original = plan.tape is not None and plan.tape.original
    if stages.check is None:
        staged = StagedClient if not watched else StagedOriginal if original else StagedOutlet
        return (with_journal(staged) if journaled else staged)(plan, stages, account, out, now, machine)
    checked = CheckedClient if not watched else CheckedOriginal if original else CheckedOutlet
    kind = with_journal(checked) if journaled else checked
    return kind(plan, stages, stages.check, account, out, now, machine)


@cache
def with_journal(kind: type[Side]) -> type[Side]:
    """The same, whose last word goes through a `JournaledClient`."""
    return cast("type[Side]", type(f"Journaled{kind.__name__}", (kind, JournaledClient), {}))
