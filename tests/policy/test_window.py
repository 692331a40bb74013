"""A sum over the last seconds: never more than was added in them, never less than in all but one slot of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.window import Window

STEPS = st.lists(st.tuples(st.floats(0, 25), st.integers(0, 9)), max_size=40)


@given(STEPS, st.sampled_from([1, 2, 10]))
def test_it_looks_back_between_all_slots_but_one_and_all(steps, slots):
    window, now, added = Window(10.0, slots), 0.0, []
    for pause, amount in steps:
        now += pause
        window.add(now, amount)
        added.append((now, amount))
        most = sum(count for at, count in added if at > now - 10.0 - 1e-6)
        least = sum(count for at, count in added if at > now - 10.0 + 10.0 / slots + 1e-6)
        assert least <= window.total(now) <= most


def test_an_earlier_instant_counts_as_the_newest():
    window = Window(10.0)
    window.add(100.0)
    window.add(20.0)
    assert window.total(100.0) == window.total(3.0) == 2
    assert window.total(109.9) == 0 or window.total(108.9) == 2
    window.clear()
    assert window.total(100.0) == 0


@pytest.mark.parametrize(("seconds", "slots"), [(0, 1), (-1, 1), (1, 0)])
def test_a_window_without_room_is_refused(seconds, slots):
    with pytest.raises(ValueError):
        Window(seconds, slots)
