"""Places and loads: what a stream takes it gives back, whatever becomes of it."""

from __future__ import annotations

from penstock.drive.loads import Loads
from penstock.drive.targets import Targets, Watch
from penstock.outcome import Outcome
from penstock.policy.deadlines import Deadlines
from penstock.stream.summary import AttemptSummary

TARGETS = ("a/m", "a/n", "b/m")


def attempt(target: str) -> AttemptSummary:
    return AttemptSummary(target=target, label=target, started=0.0)


def watched(**places: int) -> tuple[Loads, Targets, Watch]:
    loads = Loads(places)
    targets = Targets(loads=loads)
    return loads, targets, Watch(targets, Deadlines(), TARGETS)


def test_places_are_the_providers_and_loads_the_targets() -> None:
    loads, targets, watch = watched(a=2)
    watch.dispatched(attempt("a/m"), 0.0)
    watch.dispatched(attempt("a/n"), 0.0)
    assert [loads.at(target) for target in TARGETS] == [1, 1, 0]
    assert targets.order(TARGETS, 0.0) == watch.admitted(0.0) == (2,)
    assert targets.order(TARGETS[:2], 0.0) == ()
    assert loads.providers["a"].refused == 6
    assert not watch.may_try(1, 0.0) and watch.may_try(2, 0.0)


def test_a_place_is_given_back_once() -> None:
    loads, targets, watch = watched(a=1)
    one = attempt("a/m")
    watch.dispatched(one, 0.0)
    for _ in range(2):
        one.outcome = Outcome.CLIENT_CLOSED
        watch.over(one, 0.0, 1.0)
        watch.done()
    assert (loads.at("a/m"), loads.providers["a"].in_flight) == (0, 0)
    assert targets.order(TARGETS, 1.0) == (0, 1, 2)


def test_a_stream_that_is_done_holds_nothing() -> None:
    loads, _, watch = watched(a=1)
    watch.dispatched(attempt("a/m"), 0.0)
    watch.dispatched(attempt("b/m"), 0.0)
    watch.done()
    assert [bulkhead.in_flight for bulkhead in loads.providers.values()] == [0, 0]


def test_an_attempt_that_has_ended_makes_room_for_the_next() -> None:
    """The machine closes the one and opens the other in one turn."""
    _, _, watch = watched(a=1)
    one = attempt("a/m")
    watch.dispatched(one, 0.0)
    assert not watch.may_try(1, 0.5)
    one.ended = 1.0
    assert watch.may_try(1, 1.0)


def test_an_attempt_beyond_the_limit_gives_nothing_back() -> None:
    loads, _, watch = watched(a=1)
    first, second = attempt("a/m"), attempt("a/n")
    watch.dispatched(first, 0.0)
    watch.dispatched(second, 0.0)
    watch.over(second, 0.0, 1.0)
    assert loads.providers["a"].in_flight == 1


def test_places_are_kept_where_health_is_off() -> None:
    loads = Loads({"a": 1})
    watch = Watch(Targets(loads=loads), Deadlines(), TARGETS, health=False)
    watch.dispatched(attempt("a/m"), 0.0)
    assert watch.admitted(0.0) == (2,)
