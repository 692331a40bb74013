"""What is known of the targets' silences, for the routes that learn them (``between_tokens: auto``)."""

from __future__ import annotations

import msgspec

from penstock.policy.silence import Silence, SilenceRules
from penstock.stream.plan import Plan


class Silences:
    """By target as it is configured, and by the rules of the routes that ask it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, SilenceRules], Silence] = {}

    def planned(self, plan: Plan) -> Plan:
        """The plan with what its targets' silences have taught."""
        rules = plan.deadlines.silence
        if rules is None:
            return plan
        return msgspec.structs.replace(plan, silences=tuple(self._of(way.label, rules) for way in plan.ways))

    def _of(self, target: str, rules: SilenceRules) -> Silence:
        found = self._known.get((target, rules))
        if found is None:
            found = self._known[target, rules] = Silence(target, rules)
        return found
