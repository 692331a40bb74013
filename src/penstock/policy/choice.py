"""In which order targets of equal rank are tried. One random number in [0, 1) makes a whole order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import msgspec

Balance = Literal["least_loaded", "weighted"]
"""How targets of equal rank share the streams."""


class Candidate(msgspec.Struct, frozen=True):
    """A target as the choice sees it."""

    weight: float = 1.0
    """Its share of the load, relative to the others'; above 0."""
    in_flight: int = 0
    """Attempts under way at it."""
    rank: int = 0
    """Lower ranks are tried first."""

    def __post_init__(self) -> None:
        if not self.weight > 0.0:
            raise ValueError("a weight is above 0; a target that shall get nothing is left out")

    @property
    def load(self) -> float:
        """Attempts per weight."""
        return self.in_flight / self.weight


def weighted(candidates: Sequence[Candidate], chance: float) -> tuple[int, ...]:
    """The order to try, as indices: each place is drawn from those that are left, in proportion to their weight."""
    return _drawn(candidates, chance)[0]


def least_loaded(candidates: Sequence[Candidate], chance: float) -> tuple[int, ...]:
    """The order to try, as indices: the fewest attempts in flight per weight first, equals as `weighted` has them."""
    return _lightest(candidates, weighted(candidates, chance))


def by_rank(candidates: Sequence[Candidate], chance: float, balance: Balance) -> tuple[int, ...]:
    """The order to try, as indices: rank by rank, equals as ``balance`` says. They come in the ranks' order."""
    order: list[int] = []
    for _, group in groupby(range(len(candidates)), key=lambda index: candidates[index].rank):
        indices = list(group)
        equals = [candidates[index] for index in indices]
        drawn, chance = _drawn(equals, chance)
        if balance == "least_loaded":
            drawn = _lightest(equals, drawn)
        order += [indices[place] for place in drawn]
    return tuple(order)


def _lightest(candidates: Sequence[Candidate], drawn: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(drawn, key=lambda index: candidates[index].load))


def _drawn(candidates: Sequence[Candidate], chance: float) -> tuple[tuple[int, ...], float]:
    """The order of `weighted`, and a random number that is as good as new."""
    left = list(range(len(candidates)))
    order: list[int] = []
    while left:
        point = chance * sum(candidates[index].weight for index in left)
        for index in left:
            weight = candidates[index].weight
            if point < weight or index == left[-1]:
                # Where the point fell within this one's part is a fresh random number: the next draw uses it.
                chance = min(max(point / weight, 0.0), 1.0)
                order.append(index)
                left.remove(index)
                break
            point -= weight
    return tuple(order), chance
