"""Fail at the Nth step, for N = 1, 2, 3, … until a run goes through without reaching it. After SQLite's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum

from penstock.stream.inputs import ClientBlocked, ClientLeft, Shutdown, Stop
from penstock.stream.plan import Plan
from penstock.testing import frames
from penstock.testing.run import Ends, Fails, Meanwhile, Opens, Responds, Script, Sends, Stalls, Step, run
from penstock.testing.transcript import Transcript


class Fault(Enum):
    """What can go wrong at a step, in its place."""

    CUT = "the provider ends its body cleanly, and too early"
    RESET = "the provider's connection breaks"
    ERROR_FRAME = "the provider reports an error in the stream"
    MALFORMED_FRAME = "the provider sends a frame that is no JSON, and goes on"
    STALL = "the provider says nothing more"
    CLIENT_LEFT = "the client leaves"
    CLIENT_BLOCKED = "the client reads no more"
    STOP = "somebody stops the generation"
    SHUTDOWN = "the gateway goes down"


_MEANWHILE = {
    Fault.CLIENT_LEFT: ClientLeft(),
    Fault.CLIENT_BLOCKED: ClientBlocked(),
    Fault.STOP: Stop(),
    Fault.SHUTDOWN: Shutdown(),
}


def fail_at_step(number: int, steps: Script, fault: Fault) -> Script | None:
    """``steps`` with a fault in front of step ``number`` (from 1), or None where there is no such step.

    The provider's faults end the script; the others let it go on.
    """
    if number > len(steps):
        return None
    before, after = list(steps[: number - 1]), list(steps[number - 1 :])
    if fault in _MEANWHILE:
        return [*before, (0.0, Meanwhile(_MEANWHILE[fault])), *after]
    seen = {type(step) for _, step in before}
    if fault is Fault.MALFORMED_FRAME and Responds in seen:
        # It comes between frames: inside one it would be that frame which is malformed.
        return [*before, (0.0, Sends(b"data: {no json\n\n")), *after]
    return [*before, *((0.0, step) for step in _ending(fault, seen))]


def _ending(fault: Fault, seen: set[type[Step]]) -> list[Step]:
    if fault is Fault.STALL:
        return [Stalls()]
    if Opens not in seen or (Responds not in seen and fault in (Fault.CUT, Fault.RESET)):
        return [Fails(fault.value)]
    if fault in (Fault.CUT, Fault.RESET):
        return [Ends(clean=fault is Fault.CUT, reason=fault.value)]
    ending: list[Step] = [] if Responds in seen else [Responds()]
    return [*ending, Sends(frames.error() if fault is Fault.ERROR_FRAME else b"data: {no json\n\n"), Ends()]


def at_every_step(
    plan: Callable[[], Plan], steps: Script, fault: Fault, *, then: Script = ()
) -> Iterator[tuple[int, Transcript]]:
    """Run after run, each with the fault one step later; ``then`` is what the second target would say. The last run
    has no fault, and its number is 0."""
    number = 1
    while (broken := fail_at_step(number, steps, fault)) is not None:
        yield number, run(plan(), [broken, then])
        number += 1
    yield 0, run(plan(), [steps, then])
