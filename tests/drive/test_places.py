"""Whatever becomes of streams: no provider ever has more than its places, and all are given back."""

from __future__ import annotations

import itertools
import logging

from hypothesis import given
from hypothesis import strategies as st
from virtual_world import World

from penstock.config.values import Route, Target
from penstock.drive.loads import Loads
from penstock.drive.targets import Targets
from penstock.policy.rate import MinRate

KINDS = st.sampled_from(["answers", "answers", "hangs", "refuses", "cuts", "drips", "stale", "raises", "breaks"])
ROUTES = [
    Route(name="ordered", targets=(Target("a", "m"), Target("b", "m"), Target("a", "n"))),
    Route(name="equals", targets=(Target("a", "m"), Target("b", "m", 2.0, tied=True), Target("c", "m"))),
    Route(name="unjudged", targets=(Target("b", "n"), Target("a", "n")), health=False, balance="weighted"),
]
ASKS = st.tuples(
    st.sampled_from([0.0, 0.02, 0.06, 0.3, 15.0]),
    st.sampled_from(ROUTES),
    st.none() | st.floats(0, 20),
    st.booleans(),
    st.integers(0, 2),
)


@given(
    st.lists(ASKS, min_size=1, max_size=25),
    st.lists(KINDS, min_size=1, max_size=30),
    st.fixed_dictionaries({"a": st.integers(1, 4), "b": st.integers(1, 4)}),
    st.none() | st.just(0.5),
)
def test_places_are_never_exceeded_and_all_given_back(asks, kinds, places, hedge):
    logging.disable(logging.CRITICAL)
    try:
        world = World(Targets(loads=Loads(places)), itertools.cycle([0.1, 0.7, 0.4]).__next__)
        fate = itertools.cycle(kinds)
        world.behave = lambda provider: next(fate)
        for at, route, leaves, paced, retries in asks:
            rate = MinRate(tokens=20.0) if paced else None
            options = {"hedge_after": hedge, "retries": retries, "min_rate": rate, "total": 60.0}
            world.at(at, lambda route=route, leaves=leaves, options=options: world.ask(route, leaves, **options))
        world.run()
    finally:
        logging.disable(logging.NOTSET)
    assert len(world.summaries) + world.refused == len(asks)
    assert all(world.most.get(provider, 0) <= limit for provider, limit in places.items())
    assert not any(world.open.values())
    loads = world.targets.loads
    assert not any(bulkhead.in_flight for bulkhead in loads.providers.values())
    assert not any(loads.at(target.name) for route in ROUTES for target in route.targets)
