"""Health: only a target's own faults put it out, and an answer puts it back."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.outcome import Outcome
from penstock.policy.failover import RETRYABLE_STATUS
from penstock.policy.health import Evidence, Health, HealthRules, State, admission, evidence

RULES = HealthRules(consecutive=3, rate=0.5, least=10, window=30.0, ejection=5.0, longest=40.0, probe_interval=5.0)
HANG = 10.0
FAULTS = ("connect_failed", "first_token_timeout", "too_slow", "upstream_cut", "empty", "stalled")


def ejected(at: float = 0.0, *, answered: bool = False, rules: HealthRules = RULES) -> Health:
    """A target that was just ejected."""
    health = Health(rules)
    for _ in range(rules.consecutive):
        health.failed(at, at, "empty", answered=answered)
    assert health.state(at) is State.EJECTED
    return health


def judged(outcome: Outcome | None, status: int | None = None, waited: float | None = None) -> Evidence:
    """The evidence, without a retry-after."""
    return evidence(outcome=outcome, status=status, waited=waited, retry_after=None, hang=HANG)


# -- evidence ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", FAULTS)
def test_a_fault_of_the_target_is_one_with_and_without_a_token(outcome):
    assert {judged(Outcome(outcome), waited=waited) for waited in (None, 0.1, 99.0)} == {Evidence.FAULT}


def test_of_error_statuses_those_are_faults_that_another_target_may_not_have():
    for status in range(400, 600):
        wanted = Evidence.FAULT if status >= 500 or status in RETRYABLE_STATUS else Evidence.NOTHING
        assert judged(Outcome.UPSTREAM_ERROR, status) is wanted
    assert judged(Outcome.UPSTREAM_ERROR) is Evidence.FAULT


def test_a_target_that_names_its_wait_is_busy():
    said = evidence(outcome=Outcome.UPSTREAM_ERROR, status=429, waited=0.1, retry_after=7.0, hang=HANG)
    assert said is Evidence.BUSY
    said = evidence(outcome=Outcome.UPSTREAM_ERROR, status=503, waited=0.1, retry_after=7.0, hang=HANG)
    assert said is Evidence.FAULT


@pytest.mark.parametrize("outcome", [None, Outcome.CLIENT_CLOSED, Outcome.STOPPED, Outcome.MAX_DURATION])
def test_A5_a_departure_is_evidence_only_after_the_hang_threshold_without_a_token(outcome):
    assert judged(outcome, waited=None) is Evidence.NOTHING
    assert judged(outcome, waited=HANG - 0.01) is Evidence.NOTHING
    assert judged(outcome, waited=HANG) is Evidence.FAULT


def test_every_other_ending_says_nothing():
    spoken = {*map(Outcome, FAULTS), Outcome.UPSTREAM_ERROR, Outcome.CLIENT_CLOSED, Outcome.STOPPED}
    for outcome in set(Outcome) - spoken - {Outcome.MAX_DURATION}:
        assert judged(outcome, waited=99.0) is Evidence.NOTHING


# -- ejection ---------------------------------------------------------------------------------------------------------


def test_failures_in_a_row_eject():
    health = Health(RULES)
    assert [health.failed(float(at), float(at), "empty") for at in range(3)] == [False, False, True]
    assert not health.admits(2.0)
    assert health.ejected_until == 7.0
    assert health.explain(3.0) == "ejected for another 4 s (ejection 1 of late): 3 failures in a row, the last: empty"


def test_a_success_between_breaks_the_row():
    health = Health(RULES)
    for at in range(9):
        assert not (health.succeeded(at, at) if at % 3 == 2 else health.failed(at, at))
    assert health.state(9.0) is State.CLOSED


def test_a_failure_rate_ejects_once_enough_is_known():
    health = Health(RULES)
    told = [health.failed(at, at) if at % 2 else health.succeeded(at, at) for at in map(float, range(10))]
    assert told == [False] * 9 + [True]
    assert "5 of 10 attempts in 30 s failed" in health.explain(9.0)


def test_ejections_grow_for_a_target_that_heals_and_fails_in_turn_and_are_forgotten():
    health, now, lengths = Health(RULES), 0.0, []
    for _ in range(5):
        for _ in range(3):
            health.failed(now, now)
        until = health.ejected_until
        assert until is not None
        lengths.append(until - now)
        now = until
        assert health.answered(now, now)
    assert lengths == [5.0, 10.0, 20.0, 40.0, 40.0]
    now += RULES.longest
    for _ in range(3):
        health.failed(now, now)
    assert health.ejected_until == now + 5.0
    assert (health.ejections, health.repeats) == (6, 1)


def test_half_open_lets_one_probe_through_per_interval():
    health = ejected()
    assert not health.admits(4.9)
    assert health.admits(5.0)
    health.dispatched(5.0)
    assert not health.admits(9.9)
    health.failed(9.0, 5.0)
    assert health.state(9.0) is State.HALF_OPEN
    assert health.explain(9.0).startswith("half-open, next probe in 1 s: 3 failures in a row")
    assert health.admits(10.0)
    health.dispatched(10.0)
    assert health.answered(10.4, 10.0)
    assert health.admits(10.4)
    assert health.explain(10.4) == "healthy"


def test_a_cut_target_is_not_back_before_an_answer_is_whole():
    health = ejected(answered=True)
    health.dispatched(5.0)
    assert not health.answered(5.5, 5.0)
    assert health.state(5.5) is State.HALF_OPEN
    assert health.succeeded(8.0, 5.0)
    assert health.state(8.0) is State.CLOSED


def test_attempts_of_before_a_change_change_nothing():
    health = ejected(at=10.0)
    assert not health.answered(12.0, 9.9)
    assert not health.succeeded(12.0, 9.9)
    assert health.state(12.0) is State.EJECTED
    health.dispatched(15.0)
    assert health.answered(15.5, 15.0)
    # A thousand streams that had been hanging since before now run into their deadline.
    assert not any(health.failed(16.0, began / 100) for began in range(1000))
    assert health.state(16.0) is State.CLOSED


def test_an_attempt_made_all_the_same_that_is_answered_closes():
    health = ejected()
    assert health.answered(1.5, 1.0)
    assert health.admits(1.5)


def test_a_target_that_nobody_asked_for_long_is_innocent():
    health = ejected()
    assert health.state(5.0 + RULES.longest - 0.1) is State.HALF_OPEN
    assert health.state(5.0 + RULES.longest) is State.CLOSED


def test_a_busy_target_rests_without_blame():
    health = Health(RULES)
    health.rest(0.0, 7.0)
    assert (health.state(1.0), health.admits(1.0), health.admits(7.0)) == (State.CLOSED, False, True)
    assert health.explain(1.0) == "healthy; left alone for 6 s, as it asked"
    health.rest(10.0, 10**9)
    assert health.admits(10.0 + RULES.longest)


def test_an_answer_ends_the_rest():
    health = Health(RULES)
    health.rest(1.0, 30.0)
    health.answered(2.0, 0.5)
    assert not health.admits(2.0)
    health.answered(3.0, 2.0)
    assert health.admits(3.0)


def test_struggling_comes_before_ejection():
    health = Health(HealthRules(consecutive=100, least=100))
    for at in range(20):
        health.succeeded(at, at)
    assert [health.struggling(20.0) for _ in range(4) if not health.failed(20.0, 20.0)] == [False, False, True, True]
    assert ejected().struggling(0.0)
    assert not Health().struggling(0.0)
    health = Health()
    health.rest(0.0, 5.0)
    assert health.struggling(1.0) and not health.struggling(5.0)


# -- laws -------------------------------------------------------------------------------------------------------------

DEEDS = st.lists(
    st.tuples(
        st.floats(0.0, 12.0),
        st.sampled_from(["dispatch", "answer", "success", "fault", "late fault", "leaves", "rest"]),
        st.floats(0.0, 20.0),
    ),
    max_size=40,
)


def play(deeds: list[tuple[float, str, float]], health: Health) -> float:
    """Do them, and check at every step what holds at all times."""
    now, probes = 0.0, []
    for pause, deed, ago in deeds:
        now += pause
        before, began = health.state(now), now - ago
        if deed == "dispatch":
            if health.admits(now) and before is State.HALF_OPEN:
                assert not any(now - probe < RULES.probe_interval for probe in probes)
            if before is State.HALF_OPEN:
                probes.append(now)
            health.dispatched(now)
        elif deed == "answer":
            health.answered(now, began)
        elif deed == "success":
            health.succeeded(now, began)
        elif deed == "rest":
            health.rest(now, ago)
        elif deed != "leaves":
            assert health.failed(now, began, deed, answered=deed == "late fault") is (
                before is State.CLOSED and health.state(now) is State.EJECTED
            )
        elif judged(Outcome.CLIENT_CLOSED, waited=ago if ago < HANG else None) is Evidence.FAULT:
            health.failed(now, began, deed)
        after = health.state(now)
        assert health.explain(now)
        if before is State.CLOSED and after is not State.CLOSED:
            assert deed in ("fault", "late fault") and after is State.EJECTED
            until = health.ejected_until
            assert until is not None and RULES.ejection <= until - now + 1e-6 <= RULES.longest + 2e-6
        if after is State.EJECTED:
            assert not health.admits(now)
        if after is State.CLOSED:
            probes.clear()
    return now


@given(DEEDS)
def test_what_holds_at_all_times(deeds):
    health = Health(RULES)
    now = play(deeds, health)
    # However it came to be: once healed it is back with the first probe, an interval after its ejection at most.
    now = max(now, health.ejected_until or now) + max(RULES.probe_interval, RULES.longest)
    assert health.admits(now)
    health.dispatched(now)
    health.succeeded(now + 1.0, now)
    assert health.state(now + 1.0) is State.CLOSED


@given(DEEDS)
def test_A5_departures_never_eject(deeds):
    health = Health(RULES)
    now = play([deed for deed in deeds if deed[1] not in ("fault", "late fault")], health)
    assert health.state(now) is State.CLOSED
    assert health.ejections == 0


@given(st.lists(st.sampled_from(["closed", "ejected", "half-open", "probed", "resting"]), max_size=6))
def test_a_route_always_has_something_to_try(kinds):
    now = 6.0
    made = {"closed": Health(RULES)}
    made["ejected"] = ejected(at=5.0)
    made["half-open"], made["probed"], made["resting"] = ejected(), ejected(), Health(RULES)
    made["probed"].dispatched(5.5)
    made["resting"].rest(5.0, 10.0)
    admitted = admission([made[kind] for kind in kinds], now)
    good = [index for index, kind in enumerate(kinds) if kind in ("closed", "half-open")]
    if good:
        assert (list(admitted.order), admitted.panic) == (good, False)
    else:
        first = [index for index, kind in enumerate(kinds) if kind != "ejected"]
        last = [index for index, kind in enumerate(kinds) if kind == "ejected"]
        assert list(admitted.order) == first + last
        assert admitted.panic is bool(kinds)


def test_every_row_of_the_evidence_table_is_about_an_outcome():
    lines = [line.strip() for line in (evidence.__doc__ or "").splitlines()]
    rows = [line.split("  ")[0] for line in lines if "  " in line]
    words = set(itertools.chain.from_iterable(row.replace(":", ",").replace(";", ",").split(", ") for row in rows))
    assert {outcome for outcome in Outcome if outcome.value in words} == {
        *map(Outcome, FAULTS), Outcome.UPSTREAM_ERROR, Outcome.CLIENT_CLOSED, Outcome.STOPPED, Outcome.MAX_DURATION,
    }  # fmt: skip
