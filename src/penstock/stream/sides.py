"""Which client's side a stream has."""

from __future__ import annotations

from penstock.stream.checked import CheckedClient
from penstock.stream.client import ClientSide
from penstock.stream.commands import Command
from penstock.stream.outlet import CheckedOriginal, CheckedOutlet, Outlet, StagedOriginal, StagedOutlet
from penstock.stream.plan import Plan
from penstock.stream.staged import Judge, StagedClient
from penstock.stream.summary import Summary


def client_side(plan: Plan, account: Summary, out: list[Command], machine: Judge, now: float) -> ClientSide:
    """The client's side of a stream: with stages where there are any, with a check where there is one, and with an
    outlet where a copy is kept or the client is told more."""
    stages = plan.stages
    watched = plan.tape is not None or plan.metadata is not None
    if stages is None:
        return (Outlet if watched else ClientSide)(plan, account, out, now)
    original = plan.tape is not None and plan.tape.original
    if stages.check is None:
        staged = StagedClient if not watched else StagedOriginal if original else StagedOutlet
        return staged(plan, stages, account, out, now, machine)
    checked = CheckedClient if not watched else CheckedOriginal if original else CheckedOutlet
    return checked(plan, stages, stages.check, account, out, now, machine)
