"""A bulkhead lets in what it has places for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.bulkhead import Bulkhead


@given(st.none() | st.integers(1, 5), st.lists(st.booleans(), max_size=50))
def test_it_never_holds_more_than_its_limit(limit, steps):
    bulkhead, held, refused = Bulkhead(limit), 0, 0
    for acquire in steps:
        if acquire:
            granted = bulkhead.acquire()
            assert granted is (limit is None or held < limit)
            held, refused = held + granted, refused + (not granted)
        elif held:
            bulkhead.release()
            held -= 1
        assert (bulkhead.in_flight, bulkhead.refused) == (held, refused)
        assert bulkhead.full is (limit is not None and held == limit)
        assert limit is None or bulkhead.most <= limit


def test_a_place_is_released_once():
    bulkhead = Bulkhead(1)
    assert bulkhead.acquire()
    bulkhead.release()
    with pytest.raises(RuntimeError):
        bulkhead.release()


def test_a_bulkhead_without_places_is_refused():
    with pytest.raises(ValueError):
        Bulkhead(0)
