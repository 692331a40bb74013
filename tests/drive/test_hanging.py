"""A provider that hangs, a thousand streams, and everybody else: in virtual time."""

from __future__ import annotations

import random

import pytest
from virtual_world import World

from penstock.config.values import Route, Target
from penstock.drive.loads import Loads
from penstock.drive.targets import Targets
from penstock.policy.health import HealthRules
from penstock.stream.summary import Summary

A, B, C = Target("a", "m"), Target("b", "m"), Target("c", "m")
BOTH = Route(name="both", targets=(A, B))
OTHER = Route(name="other", targets=(B,))
ALONE = Route(name="alone", targets=(A,))
RULES = HealthRules()
TOKEN = 0.1
"""Seconds to a healthy provider's first token."""


def world(**places: int) -> World:
    return World(Targets(RULES, loads=Loads(places)))


def streams(world: World, route: Route, count: int, start: float, every: float, **policies: float) -> None:
    for number in range(count):
        world.at(start + number * every, lambda: world.ask(route, **policies))


def waits(world: World, route: str) -> list[float]:
    """Seconds to the first token of a route's streams; each had one."""
    return [wait for _, summary in world.summaries if summary.route == route and (wait := summary.first_token)]


def targets_of(summary: Summary) -> list[str]:
    return [attempt.target for attempt in summary.attempts]


def test_K5_a_thousand_streams_at_a_provider_that_hangs_cost_the_others_nothing():
    """1,000 streams in 10 s: 50 wait, the others go to the second target at once."""
    play = world(a=50)
    play.hanging.add("a")
    streams(play, BOTH, 1000, 0.0, 0.01)
    streams(play, OTHER, 200, 0.005, 0.05)
    play.run()
    assert waits(play, "other") == pytest.approx([TOKEN] * 200)
    assert len(play.summaries) == 1200 and play.refused == 0
    assert {summary.outcome for _, summary in play.summaries} == {"completed"}
    waited = [wait for wait in waits(play, "both") if wait > 2 * TOKEN]
    assert len(waited) == play.most["a"] == 50
    assert waited == pytest.approx([15 + TOKEN] * 50, abs=0.01)
    assert play.open == {"a": 0, "b": 0}


def test_K5_without_another_target_all_but_its_places_are_refused_at_once():
    play = world(a=50)
    play.hanging.add("a")
    streams(play, ALONE, 1000, 0.0, 0.01)
    streams(play, OTHER, 200, 0.005, 0.05)
    play.run()
    assert play.refused == 950
    assert play.most["a"] == 50
    assert waits(play, "other") == pytest.approx([TOKEN] * 200)


def test_places_that_are_left_serve_again_at_once():
    play = world(a=10)
    play.hanging.add("a")
    streams(play, ALONE, 10, 0.0, 0.0)
    play.at(20.0, play.hanging.clear)
    streams(play, ALONE, 1, 22.0, 0.0)
    streams(play, ALONE, 5, 23.0, 0.1)
    play.run()
    # The only target has half as long again: 22.5 s.
    assert play.refused == 1
    assert waits(play, "alone") == pytest.approx([TOKEN] * 5)


@pytest.mark.parametrize("heals", [16.0, 21.0, 37.5, 64.0, 123.0])
def test_what_has_healed_serves_again_within_a_probe_interval(heals: float):
    """Ten streams a second; it hangs from the start, is ejected at 15 s, and one probe in 5 s waits for it."""
    play = world(a=50)
    play.hanging.add("a")
    play.at(heals, play.hanging.clear)
    streams(play, BOTH, int(10 * heals) + 400, 0.0, 0.1)
    play.run()
    back = min(
        began for began, summary in play.summaries if targets_of(summary) == ["a/m"] and summary.first_token is not None
    )
    ejected_until = 15.0 + RULES.ejection
    assert back - max(heals, ejected_until) <= RULES.probe_interval + 0.2
    after = [targets_of(summary) for began, summary in play.summaries if began > back + TOKEN + 0.1]
    assert after and all(tried == ["a/m"] for tried in after)
    assert play.most["a"] <= 50
    # No one waited but those of the first 15 s, those that took a place before the fifth failure, and the probes.
    waited = sum(wait > 2 * TOKEN for wait in waits(play, "both"))
    assert waited <= 50 + RULES.consecutive + heals / RULES.probe_interval


def test_the_failovers_of_one_route_never_take_the_places_of_another_provider():
    """b has 20 places: what comes over from a takes those at most, and c is nobody's second."""
    play = world(a=5, b=20)
    play.hanging.add("a")
    streams(play, Route(name="both", targets=(A, B)), 300, 0.0, 0.001)
    streams(play, Route(name="third", targets=(C,)), 50, 0.0, 0.01)
    play.run()
    assert (play.most["a"], play.most["b"]) == (5, 20)
    assert play.refused == 300 - len(waits(play, "both"))
    assert waits(play, "third") == pytest.approx([TOKEN] * 50)


def test_equals_share_what_one_of_them_does_not_serve():
    """Of three equals one hangs: by load it gets few streams, and by health none."""
    play = World(Targets(RULES, loads=Loads({"a": 5})), random.Random(7).random)
    play.hanging.add("a")
    equals = Route(name="equals", targets=(A, Target("b", "m", tied=True), Target("c", "m", tied=True)))
    streams(play, equals, 1000, 0.0, 0.01)
    play.run()
    served = [summary.served.target for _, summary in play.summaries if summary.served is not None]
    assert served.count("a/m") == 0
    assert abs(served.count("b/m") - served.count("c/m")) < 100
    assert sum(wait > 2 * TOKEN for wait in waits(play, "equals")) <= 5
