"""Which client's side a stream has."""

from __future__ import annotations

from penstock.stream.checked import CheckedClient
from penstock.stream.client import ClientSide
from penstock.stream.commands import Command
from penstock.stream.plan import Plan
from penstock.stream.staged import Judge, StagedClient
from penstock.stream.summary import Summary


def client_side(plan: Plan, account: Summary, out: list[Command], machine: Judge, now: float) -> ClientSide:
    """The client's side of a stream, with stages where there are any, and a check where there is one."""
    stages = plan.stages
    if stages is None:
        return ClientSide(plan, account, out, now)
    if stages.check is None:
        return StagedClient(plan, stages, account, out, now, machine)
    return CheckedClient(plan, stages, stages.check, account, out, now, machine)
