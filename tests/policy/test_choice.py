"""The choice among equals is an order of all of them, fair by weight or by load."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.policy.choice import Candidate, by_rank, least_loaded, weighted

CANDIDATES = st.lists(st.builds(Candidate, st.sampled_from([0.1, 1.0, 2.5, 1000.0]), st.integers(0, 4)), max_size=6)
CHANCE = st.floats(0, 1, exclude_max=True)


@given(CANDIDATES, CHANCE)
def test_everyone_has_one_place(candidates, chance):
    for order in (weighted(candidates, chance), least_loaded(candidates, chance)):
        assert sorted(order) == list(range(len(candidates)))


@given(CANDIDATES, CHANCE)
def test_the_least_loaded_goes_first(candidates, chance):
    loads = [candidates[index].load for index in least_loaded(candidates, chance)]
    assert loads == sorted(loads)


@pytest.mark.parametrize("choose", [weighted, least_loaded])
def test_whole_orders_are_drawn_by_weight(choose):
    weights = [1.0, 2.0, 5.0]
    draws = 100_000
    seen = Counter(choose([Candidate(weight) for weight in weights], (n + 0.5) / draws) for n in range(draws))
    for order in itertools.permutations(range(3)):
        first, second, _ = (weights[index] for index in order)
        share = first / 8.0 * second / (8.0 - first)
        assert seen[order] / draws == pytest.approx(share, abs=0.001)


def test_a_target_twice_as_heavy_carries_twice_as_much():
    flying = [0, 0]
    for number in range(300):
        (first, _) = least_loaded([Candidate(1.0, flying[0]), Candidate(2.0, flying[1])], number / 300)
        flying[first] += 1
    assert flying == [100, 200]


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_is_above_zero(weight):
    with pytest.raises(ValueError):
        Candidate(weight)


RANKED = st.lists(st.tuples(st.booleans(), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0, 3)), max_size=6)
BALANCE = st.sampled_from(["least_loaded", "weighted"])


def in_ranks(drawn):
    ranks = itertools.accumulate(int(new) for new, _, _ in drawn)
    return [Candidate(weight, flying, rank) for (_, weight, flying), rank in zip(drawn, ranks, strict=True)]


@given(RANKED.map(in_ranks), CHANCE, BALANCE)
def test_ranks_come_one_after_the_other_and_everyone_has_one_place(candidates, chance, balance):
    order = by_rank(candidates, chance, balance)
    assert sorted(order) == list(range(len(candidates)))
    ranks = [candidates[index].rank for index in order]
    assert ranks == sorted(ranks)


@given(st.lists(st.integers(0, 3), max_size=6), CHANCE)
def test_within_a_rank_the_least_loaded_goes_first(flying, chance):
    candidates = [Candidate(1.0, load, rank=3) for load in flying]
    assert by_rank(candidates, chance, "least_loaded") == least_loaded(candidates, chance)
    assert by_rank(candidates, chance, "weighted") == weighted(candidates, chance)


def test_the_order_of_one_rank_says_nothing_of_the_next():
    candidates = [Candidate(rank=rank) for rank in (0, 0, 1, 1)]
    draws = 10_000
    seen = Counter(by_rank(candidates, (n + 0.5) / draws, "weighted") for n in range(draws))
    assert len(seen) == 4
    assert all(count == pytest.approx(draws / 4, rel=0.01) for count in seen.values())
