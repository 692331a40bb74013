"""Learned silence (``between_tokens: auto``): how long a target may say nothing, by what it was saying.

A model that thinks pauses longer than one that writes, and tool arguments come in bursts. One number is either too
short for the first or useless for the second, so gaps are learnt per target and phase. All times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from penstock.policy.quantile import Quantiles


class Phase(StrEnum):
    """What a stream was saying when it fell silent: the kind of its last token event."""

    THINKING = "thinking"
    TEXT = "text"
    TOOL = "tool arguments"


class SilenceRules(msgspec.Struct, frozen=True, kw_only=True):
    """How a limit is made of what was learnt."""

    quantile: float = 0.999
    """Of the gaps between token events …"""
    factor: float = 4.0
    """… times this."""
    floor: float = 3.0
    """No limit is shorter …"""
    ceiling: float = 60.0
    """… or longer; also the limit while too little is known."""
    least: float = 500.0
    """Gaps (weighed by age) that must be known."""


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """How long a stream may be silent, and why.

    ==========================================  ============================  ===========
    gaps known in this phase                    ``seconds``                   ``basis``
    ==========================================  ============================  ===========
    fewer than ``least``                        ``ceiling``                   unknown
    quantile * factor below ``floor``           ``floor``                     floor
    quantile * factor above ``ceiling``         ``ceiling``                   ceiling
    else                                        quantile * factor             learnt
    ==========================================  ============================  ===========
    """

    target: str
    phase: Phase
    seconds: float
    basis: str
    gaps: float
    learnt: float | None
    """The quantile."""
    rules: SilenceRules

    def explain(self, silent: float) -> str:
        """Why a stream that was ``silent`` for so long was called stalled, for the log."""
        said = f"{self.target} sent no token for {silent:.3g} s in its {self.phase}"
        return f"{said}, the limit is {self.seconds:.3g} s: {self.why}"

    @property
    def why(self) -> str:
        """Where the limit comes from."""
        rules = self.rules
        if self.learnt is None:
            return f"the ceiling, for only {self.gaps:.0f} gaps of {rules.least:.0f} are known"
        share = f"{rules.quantile * 100:.6g} % of {self.gaps:.0f} gaps were within {self.learnt:.3g} s"
        wanted = f"{share}, times {rules.factor:g} is {self.learnt * rules.factor:.3g} s"
        return wanted if self.basis == "learnt" else f"{wanted}, held to the {self.basis}"


class Silence:
    """What is known of one target's gaps.

    The gap of a stream that was called stalled is a gap, too: feed it (a lower bound). Without it a limit that is too
    short would confirm itself; with it, a target that has become slower gets its limit raised.
    """

    __slots__ = ("_gaps", "rules", "target")

    def __init__(self, target: str, rules: SilenceRules = SilenceRules(), *, half_life: float = 1800.0):  # noqa: B008
        self.target = target
        self.rules = rules
        self._gaps: Mapping[Phase, Quantiles] = {phase: Quantiles(half_life=half_life) for phase in Phase}

    def observe(self, phase: Phase, gap: float, now: float) -> None:
        """A gap that followed a token event of ``phase``. Time in which the client was blocked is no gap."""
        self._gaps[phase].add(gap, now)

    def limit(self, phase: Phase, now: float) -> Limit:
        """How long a stream may be silent after a token event of ``phase``."""
        rules, gaps = self.rules, self._gaps[phase]
        learnt = gaps.quantile(rules.quantile, now, least=rules.least)
        seconds, basis = rules.ceiling, "unknown"
        if learnt is not None:
            seconds, basis = learnt * rules.factor, "learnt"
            if seconds < rules.floor:
                seconds, basis = rules.floor, "floor"
            elif seconds > rules.ceiling:
                seconds, basis = rules.ceiling, "ceiling"
        return Limit(
            target=self.target, phase=phase, seconds=seconds, basis=basis, gaps=gaps.count(now), learnt=learnt,
            rules=rules,
        )  # fmt: skip
