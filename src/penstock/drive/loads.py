"""What is under way at each target, and the places of each provider."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from penstock.policy.bulkhead import Bulkhead

_NO_LIMITS: Mapping[str, int] = MappingProxyType({})


class Loads:
    """Attempts in flight. Targets are named as they are configured: all models of ``provider/*`` are one.

    ``places`` has the most attempts at once of each provider with a limit (``providers.X.max_streams``).
    """

    def __init__(self, places: Mapping[str, int] = _NO_LIMITS):
        self._places = places
        self._in_flight: dict[str, int] = {}
        self.providers: dict[str, Bulkhead] = {}
        """Of those that were asked for by now."""

    def resize(self, places: Mapping[str, int]) -> None:
        """Other limits from now on; what is under way stays."""
        self._places = places
        for provider, bulkhead in self.providers.items():
            bulkhead.limit = places.get(provider)

    def at(self, target: str) -> int:
        """Attempts under way at one target."""
        return self._in_flight.get(target, 0)

    def room(self, target: str, leaving: int = 0) -> bool:
        """Has its provider a place, once ``leaving`` attempts have given theirs back? A no is counted."""
        bulkhead = self._bulkhead(target)
        if bulkhead.admits(leaving):
            return True
        bulkhead.refused += 1
        return False

    def begin(self, target: str) -> bool:
        """An attempt begins. False when it has no place; true asks for one `end`."""
        if not self._bulkhead(target).acquire():
            return False
        self._in_flight[target] = self.at(target) + 1
        return True

    def end(self, target: str) -> None:
        """It is over."""
        self._bulkhead(target).release()
        self._in_flight[target] -= 1

    def _bulkhead(self, target: str) -> Bulkhead:
        provider = provider_of(target)
        found = self.providers.get(provider)
        if found is None:
            found = self.providers[provider] = Bulkhead(self._places.get(provider))
        return found


def provider_of(target: str) -> str:
    """``provider`` of ``provider/model``."""
    return target.partition("/")[0]
