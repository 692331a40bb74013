"""The kind of client's side that a plan asks for."""

from __future__ import annotations

from penstock.stream.client import ClientSide
from penstock.stream.commands import Command
from penstock.stream.journaled import JournaledClient
from penstock.stream.plan import Plan
from penstock.stream.staged import Judge, StagedClient
from penstock.stream.summary import Summary


class StagedJournaledClient(StagedClient, JournaledClient):
    """What stages release is what the journal keeps."""


def client_side(plan: Plan, account: Summary, out: list[Command], machine: Judge, now: float) -> ClientSide:
    """A fresh one."""
    if plan.stages is not None:
        kind = StagedClient if plan.resumable is None else StagedJournaledClient
        return kind(plan, plan.stages, account, out, now, machine)
    return (ClientSide if plan.resumable is None else JournaledClient)(plan, account, out, now)
