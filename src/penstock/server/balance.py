"""Which of a route's targets one stream tries, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from penstock.config.values import Route, Target
from penstock.drive.targets import Targets
from penstock.errors import BadRequest
from penstock.policy.choice import Candidate, by_rank


class Balancer:
    """Orders targets by rank, load and health. ``chance`` gives random numbers in [0, 1)."""

    def __init__(self, known: Targets, chance: Callable[[], float]):
        self._known = known
        self._chance = chance

    def order(self, route: Route, usable: Sequence[Target], now: float) -> tuple[int, ...]:
        """The places in ``usable``, which are targets of the route in its order, that are worth an attempt.

        Raises BadRequest (503) when every provider is full.
        """
        order: Sequence[int] = range(len(usable))
        if any(target.tied for target in usable):
            order = by_rank(self._candidates(route, usable), self._chance(), route.balance)
        admitted = self._known.order([usable[place].name for place in order], now, health=route.health)
        if not admitted:
            raise BadRequest(_full(usable), status=503, code="overloaded")
        return tuple(order[place] for place in admitted)

    def _candidates(self, route: Route, usable: Sequence[Target]) -> list[Candidate]:
        ranks: dict[Target, int] = {}
        for target in route.targets:
            ranks[target] = len(ranks) if not target.tied or not ranks else next(reversed(ranks.values()))
        at = self._known.loads.at
        return [Candidate(target.weight, at(target.name), ranks[target]) for target in usable]


def _full(usable: Sequence[Target]) -> str:
    keys = ", ".join(dict.fromkeys(f"providers.{target.provider}.max_streams" for target in usable))
    return f"all providers of this model are busy with as many streams as they may have ({keys}); try again"
