"""A fault in front of the first step, the second, the third … until a run goes through without reaching it."""

from __future__ import annotations

import pytest

from penstock.outcome import Outcome
from penstock.testing.faults import Fault, at_every_step
from penstock.testing.frames import DONE, chunk, finish, role, tool, usage
from penstock.testing.laws import check_laws
from penstock.testing.playbook import plan
from penstock.testing.run import script

FIRST = script(role(), chunk("One "), chunk("two"), tool(0, id="t", name="f"), finish(), usage(), DONE)
SECOND = script(role() + chunk("Other"), finish() + DONE)
FAILED = {
    Fault.CUT: {Outcome.UPSTREAM_CUT, Outcome.COMPLETED},
    Fault.RESET: {Outcome.UPSTREAM_CUT, Outcome.COMPLETED},
    Fault.ERROR_FRAME: {Outcome.UPSTREAM_ERROR, Outcome.COMPLETED},
    Fault.MALFORMED_FRAME: {Outcome.COMPLETED},
    Fault.STALL: {Outcome.STALLED, Outcome.COMPLETED},
    Fault.CLIENT_LEFT: {Outcome.CLIENT_CLOSED, Outcome.COMPLETED},
    Fault.CLIENT_BLOCKED: {Outcome.SLOW_CLIENT, Outcome.COMPLETED},
    Fault.STOP: {Outcome.STOPPED, Outcome.COMPLETED},
    Fault.SHUTDOWN: {Outcome.SHUTDOWN, Outcome.COMPLETED},
}

THE_PROVIDERS = [Fault.CUT, Fault.RESET, Fault.ERROR_FRAME, Fault.STALL]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_fault_at_every_step_ends_in_its_own_outcome_and_breaks_no_law(fault, stream):
    outcomes = {}
    for number, transcript in at_every_step(lambda: plan(stream=stream), FIRST, fault, then=SECOND):
        check_laws(transcript)
        assert transcript.over, f"step {number} left the stream open"
        outcomes[number] = transcript.outcome
    assert outcomes.pop(0) is Outcome.COMPLETED
    assert len(outcomes) == len(FIRST)
    assert set(outcomes.values()) <= FAILED[fault]


@pytest.mark.parametrize(
    "fault", [Fault.CUT, Fault.RESET, Fault.ERROR_FRAME, Fault.STALL], ids=lambda f: f.name.lower()
)
def test_before_the_first_token_the_second_target_answers_and_after_it_the_client_is_told(fault):
    for number, transcript in at_every_step(plan, FIRST, fault, then=SECOND):
        first_token_is_out = number == 0 or number > 4
        assert (transcript.opened == [0]) is first_token_is_out
        assert (b"Other" in transcript.body) is not first_token_is_out


@pytest.mark.parametrize(
    "fault", [Fault.CUT, Fault.RESET, Fault.ERROR_FRAME, Fault.STALL], ids=lambda f: f.name.lower()
)
def test_with_one_target_every_fault_is_told(fault):
    for number, transcript in at_every_step(lambda: plan(targets=1), FIRST, fault):
        check_laws(transcript)
        told = b'"error"' in transcript.body
        assert told is (transcript.outcome is not Outcome.COMPLETED), f"at step {number}"
