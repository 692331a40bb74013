"""Many virtual streams over targets with scripted outages: what the policies promise together.

20,000 streams a scenario; 100,000 with ``HYPOTHESIS_PROFILE=thorough``.
"""

from __future__ import annotations

import functools
import os

import msgspec
import pytest

from penstock.policy.hedge import HedgeAfter
from penstock.testing.outages import Outage, Result, Scenario, Target, Trouble, simulate

STREAMS = 100_000 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 20_000
PER_SECOND = 50.0
LENGTH = STREAMS / PER_SECOND
TARGETS = (Target(name="a/m"), Target(name="b/m", weight=2.0), Target(name="c/m", rank=1))
SETTLED = 60.0
"""Seconds after an outage in which everything is as before."""


def outage(target: str, trouble: Trouble, start: float, end: float, share: float = 1.0) -> Outage:
    """An outage, in shares of the simulation's length."""
    return Outage(target=target, start=start * LENGTH, end=end * LENGTH, trouble=trouble, share=share)


PRIMARY_HANGS = (outage("a/m", Trouble.HANGS, 0.2, 0.4),)
SCRIPTS = {
    "calm": (),
    "one hangs": PRIMARY_HANGS,
    "one after the other": (
        outage("a/m", Trouble.REFUSES, 0.1, 0.25),
        outage("b/m", Trouble.FAILS, 0.4, 0.55),
        outage("a/m", Trouble.CUTS, 0.7, 0.8),
    ),
    "all at once": tuple(outage(f"{name}/m", Trouble.FAILS, 0.3, 0.5) for name in "abc"),
    "all hang": tuple(outage(f"{name}/m", Trouble.HANGS, 0.3, 0.45) for name in "abc"),
    "a third fails": tuple(outage(f"{name}/m", Trouble.FAILS, 0.3, 0.6, 0.33) for name in "abc"),
    "limits": (outage("a/m", Trouble.LIMITS, 0.2, 0.6), outage("b/m", Trouble.LIMITS, 0.4, 0.5, 0.5)),
}


@functools.cache
def played(script: str, hedged: bool = False, every_retry_pays: bool = False) -> Result:
    """The result of a script."""
    return simulate(
        Scenario(
            targets=TARGETS,
            outages=SCRIPTS[script],
            streams=STREAMS,
            per_second=PER_SECOND,
            hedge=HedgeAfter(quantile=0.95) if hedged else None,
            every_retry_pays=every_retry_pays,
            places=500,
        )
    )


ALL = [(script, False) for script in SCRIPTS] + [("calm", True), ("one hangs", True)]
every = pytest.mark.parametrize(("script", "hedged"), ALL)


@every
def test_every_stream_ends_once_and_every_place_is_given_back(script, hedged):
    result = played(script, hedged)
    assert result.total("requests") == STREAMS
    assert result.total("successes") + result.total("failures") + result.total("departures") == STREAMS
    assert sum(sum(second.by_target.values()) for second in result.seconds) == result.total("attempts")
    firsts = result.total("attempts") - result.total("retries") - result.total("hedges")
    assert 0 <= STREAMS - firsts <= sum(provider.bulkhead.refused for provider in result.providers.values())
    for provider in result.providers.values():
        assert provider.bulkhead.in_flight == 0
        assert provider.bulkhead.most <= 500


def check_budget(result: Result) -> None:
    """In every window, and over all, retries that pay stay under the budget."""
    limits = result.scenario.retries
    window = int(limits.seconds)
    for name, provider in result.providers.items():
        paid = [second.paid[name] for second in result.seconds]
        earned = [second.earned[name] for second in result.seconds]
        for end in range(1, len(paid) + 1):
            if not paid[end - 1]:
                continue  # Successes expire before the retries that they paid for.
            recent = sum(paid[max(0, end - window + 1) : end])
            income = limits.ratio * sum(earned[max(0, end - window) : end])
            assert recent <= limits.minimum * window + income + 1e-6
        windows = len(paid) // window + 1
        assert provider.paid == sum(paid) <= limits.minimum * window * windows + limits.ratio * provider.successes


@every
def test_retries_stay_under_their_budget(script, hedged):
    check_budget(played(script, hedged))


def test_where_every_retry_pays_none_is_outside_the_budget():
    result = played("all at once", every_retry_pays=True)
    check_budget(result)
    assert all(provider.paid == provider.retries for provider in result.providers.values())


def test_in_an_outage_of_all_targets_retries_do_not_become_the_load():
    result = played("all at once")
    during = [second for second in result.seconds if 0.32 * LENGTH <= second.at < 0.5 * LENGTH]
    requests, retries = (sum(getattr(second, name) for second in during) for name in ("requests", "retries"))
    limits = result.scenario.retries
    assert retries <= limits.minimum * len(during) * len(result.providers) * 1.1
    assert sum(second.unhelped for second in during) > 0
    assert requests > 0


@every
def test_hedging_stays_under_its_budget(script, hedged):
    result = played(script, hedged)
    scenario = result.scenario
    assert result.total("hedges") <= result.hedge.spent
    assert result.hedge.spent <= scenario.hedge_ratio * result.hedgeable + scenario.hedge_burst
    assert hedged or result.hedge.spent == 0


def test_hedging_cuts_the_tail():
    def tail(result: Result) -> float:
        waits = sorted(wait for second in result.seconds for wait in second.waits)
        return waits[int(0.99 * len(waits))]

    # A spread as it is seen at providers: one in a hundred takes ten times as long as the median.
    targets = (Target(name="a/m", spread=1.0), Target(name="b/m", spread=1.0))
    usual = simulate(Scenario(targets=targets, streams=10_000))
    hedged = simulate(Scenario(targets=targets, streams=10_000, hedge=HedgeAfter(quantile=0.95)))
    assert tail(hedged) < 0.75 * tail(usual)
    assert 0.02 * 10_000 < hedged.total("hedges") <= 0.05 * 10_000 + 10


@pytest.mark.parametrize("script", ["one hangs", "one after the other", "all at once", "all hang"])
def test_what_has_healed_is_found_within_a_probe_interval(script):
    result = played(script)
    found = 0
    for outage in result.scenario.outages:
        recovery = result.recovery(outage)
        if outage.target.startswith("c") or recovery is None:
            continue  # A standby is not asked while the others answer.
        found += 1
        ejections = [change.until or 0.0 for change in result.changes if change.target == outage.target]
        ejection = max((until for until in ejections if until <= outage.end + 60.0), default=0.0) - outage.end
        # The next request, and its first token; a cut target must bring a whole answer, to a client that stays.
        answer = 15.0 if outage.trouble is Trouble.CUTS else 4.0
        assert recovery <= max(result.scenario.health.probe_interval, ejection) + answer
    assert found


@pytest.mark.parametrize("trouble", list(Trouble))
def test_with_a_healthy_second_target_no_stream_fails_but_those_that_were_cut(trouble):
    targets = (Target(name="a/m"), Target(name="b/m", rank=1))
    outages = (Outage(target="a/m", start=30, end=60, trouble=trouble),)
    result = simulate(Scenario(targets=targets, outages=outages, streams=10_000, per_second=100))
    if trouble is Trouble.CUTS:
        assert result.total("failures") < 0.1 * 30 * 100 * 2
    else:
        assert result.total("failures") == 0
        assert result.total("unhelped") == 0
    slowest = max(max(second.waits, default=0.0) for second in result.seconds)
    assert slowest < (15.0 if trouble is Trouble.HANGS else 0.0) + 5.0


@every
def test_no_target_starves(script, hedged):
    result = played(script, hedged)
    outages = result.scenario.outages
    quiet = [
        second
        for second in result.seconds[5 : int(LENGTH)]
        if not any(outage.start - 1 <= second.at <= outage.end + SETTLED for outage in outages)
    ]
    total = sum(second.requests for second in quiet)
    assert total > 1000
    first, second = (sum(each.by_target[name] for each in quiet) / total for name in ("a/m", "b/m"))
    assert first == pytest.approx(1 / 3, abs=0.08)
    assert second == pytest.approx(2 / 3, abs=0.08)


def test_clients_that_leave_never_eject():
    targets = (Target(name="a/m"), Target(name="b/m", rank=1))
    result = simulate(Scenario(targets=targets, departures=1.0, streams=5_000))
    assert result.total("departures") > 2_000
    assert result.changes == []


def test_K5_a_target_that_hangs_takes_no_places_from_the_others():
    hangs = Outage(target="a/m", start=0, end=1000, trouble=Trouble.HANGS)
    targets = (Target(name="a/m"), Target(name="b/m", rank=1))
    common = Scenario(targets=targets, streams=3_000, per_second=30, departures=0.0, places=300)
    hanging, usual = simulate(msgspec.structs.replace(common, outages=(hangs,))), simulate(common)
    assert hanging.total("failures") == usual.total("failures") == 0
    assert hanging.providers["a"].bulkhead.most == 300
    assert hanging.providers["a"].bulkhead.refused > 0
    assert hanging.providers["b"].bulkhead.refused == 0

    def mean(result: Result) -> float:
        # The first is full by then, and none of its streams has run into its deadline yet.
        waits = [wait for second in result.seconds[12:14] for wait in second.waits]
        return sum(waits) / len(waits)

    assert mean(hanging) == pytest.approx(mean(usual), rel=0.3)


def test_equal_scenarios_have_equal_results():
    scenario = Scenario(targets=TARGETS, outages=PRIMARY_HANGS, streams=2_000)
    assert simulate(scenario).seconds == simulate(scenario).seconds
