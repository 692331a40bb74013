"""What a gateway learns of its targets from the attempts of its streams."""

from __future__ import annotations

import logging

import pytest

from penstock.drive.targets import Targets, Watch, hang
from penstock.outcome import Outcome
from penstock.policy.deadlines import Deadlines
from penstock.policy.health import HealthRules
from penstock.policy.retry_budget import RetryLimits
from penstock.stream.summary import AttemptSummary

RULES = HealthRules(consecutive=3, ejection=5.0, probe_interval=5.0)
BOTH = ("a/m", "b/m")


def attempt(outcome: Outcome | None = None, target: str = "a/m", **fields: object) -> AttemptSummary:
    return AttemptSummary(target=target, label=target, started=0.0, outcome=outcome, **fields)  # type: ignore[arg-type]


def watched() -> tuple[Targets, Watch]:
    targets = Targets(RULES)
    return targets, Watch(targets, Deadlines(), BOTH)


def ended(watch: Watch, one: AttemptSummary, began: float = 0.0, now: float = 1.0) -> None:
    watch.dispatched(one, began)
    watch.over(one, began, now)


def test_a_second_attempt_at_a_provider_is_paid_for_and_another_provider_is_not() -> None:
    targets = Targets(RULES, RetryLimits(ratio=0.5, minimum=0.1, seconds=10.0))
    watch = Watch(targets, Deadlines(), ("a/m", "a/n", "b/m"))
    watch.dispatched(attempt(), 0.0)
    assert watch.may_try(2, 1.0) and watch.may_try(2, 1.0)
    assert watch.may_try(1, 1.0)  # the one retry that needs no success
    assert not watch.may_try(1, 1.0)
    for _ in range(2):
        ended(watch, attempt(None, first_token=0.5))
    assert watch.may_try(0, 2.0)
    assert not watch.may_try(0, 2.0)


def test_a_target_that_struggles_is_paid_for_by_everybody() -> None:
    targets = Targets(RULES, RetryLimits(ratio=0.0, minimum=0.1, seconds=10.0))
    for _ in range(3):
        ended(Watch(targets, Deadlines(), BOTH), attempt(Outcome.UPSTREAM_ERROR, "b/m", status=500))
    watch = Watch(targets, Deadlines(), BOTH)
    assert watch.may_try(1, 2.0)
    assert not watch.may_try(1, 2.0)


def test_with_health_off_nothing_is_held_against_a_target_and_retries_are_paid() -> None:
    targets = Targets(RULES, RetryLimits(ratio=0.0, minimum=0.1, seconds=10.0))
    watch = Watch(targets, Deadlines(), BOTH, health=False)
    for _ in range(5):
        ended(watch, attempt(Outcome.CONNECT_FAILED))
    watch.answered(attempt(), 0.0, 1.0)
    assert watch.admitted(2.0) == (0, 1)
    assert targets.out(2.0) == {}
    assert [watch.may_try(0, 2.0), watch.may_try(0, 2.0)] == [True, False]


def ejected() -> tuple[Targets, Watch]:
    targets, watch = watched()
    for _ in range(3):
        ended(watch, attempt(Outcome.UPSTREAM_ERROR, status=503))
    return targets, watch


def test_a_target_that_fails_again_and_again_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "penstock.targets"):
        targets, watch = ejected()
        assert targets.order(BOTH, 2.0) == (1,)
        assert targets.out(2.0) == {"a/m": True, "b/m": False}
        assert targets.order(BOTH, 6.0) == (0, 1)  # half-open: this one is the probe
        watch.dispatched(attempt(), 6.0)
        assert targets.order(BOTH, 6.1) == watch.admitted(6.1) == (1,)
        watch.answered(attempt(), 6.0, 6.5)
    assert targets.order(BOTH, 6.6) == (0, 1)
    assert targets.out(6.6) == {"a/m": False, "b/m": False}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("target a/m is ejected for another 5 s")
    assert said[1] == "target a/m answers again and is healthy"


def test_when_all_are_out_all_are_asked() -> None:
    targets, watch = ejected()
    for _ in range(3):
        ended(watch, attempt(Outcome.CONNECT_FAILED, "b/m"))
    assert sorted(targets.order(BOTH, 2.0)) == [0, 1]


def test_an_only_target_is_always_asked() -> None:
    assert ejected()[0].order(("a/m",), 2.0) == (0,)
    assert Targets().order((), 0.0) == ()


@pytest.mark.parametrize(
    "one",
    [
        attempt(Outcome.CLIENT_CLOSED),
        attempt(Outcome.CLIENT_CLOSED, first_token=0.2),
        attempt(Outcome.UPSTREAM_ERROR, status=400),
        attempt(Outcome.CONNECT_FAILED, blameless=True),
        attempt(None, lost=True),
        attempt(None, first_token=0.2),
    ],
    ids=["left early", "left in the middle", "caller's fault", "stale connection", "lost a race", "served"],
)
def test_what_says_nothing_against_a_target(one: AttemptSummary) -> None:
    targets, watch = watched()
    for _ in range(10):
        ended(watch, one)
    assert targets.order(BOTH, 2.0) == (0, 1)


def test_clients_that_give_up_on_a_target_that_hangs_are_evidence() -> None:
    targets, watch = watched()
    for _ in range(3):
        ended(watch, attempt(Outcome.CLIENT_CLOSED), 0.0, 11.0)
    assert targets.order(BOTH, 11.0) == (1,)


def test_a_target_that_asks_for_it_is_left_alone() -> None:
    targets, watch = watched()
    ended(watch, attempt(Outcome.UPSTREAM_ERROR, status=429, retry_after=7.0))
    assert targets.order(BOTH, 7.9) == (1,)
    assert targets.order(BOTH, 8.0) == (0, 1)
    assert targets.out(2.0)["a/m"] is False


def test_after_a_cut_a_first_token_alone_is_no_proof() -> None:
    targets, watch = watched()
    for _ in range(3):
        ended(watch, attempt(Outcome.UPSTREAM_CUT, first_token=0.1))
    watch.dispatched(attempt(), 6.0)
    watch.answered(attempt(), 6.0, 6.1)
    assert targets.out(6.2)["a/m"] is True
    watch.over(attempt(None, first_token=0.1), 6.0, 6.5)
    assert targets.out(6.6)["a/m"] is False


@pytest.mark.parametrize(("first_token", "seconds"), [(15.0, 10.0), (120.0, 10.0), (3.0, 2.0), (None, 10.0)])
def test_the_wait_that_is_evidence(first_token: float | None, seconds: float) -> None:
    assert hang(HealthRules(), Deadlines(first_token=first_token)) == seconds
