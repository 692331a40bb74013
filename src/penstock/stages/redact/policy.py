"""The redaction of a route, as values."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from penstock.stages.redact.api_keys import API_KEYS
from penstock.stages.redact.detectors import GENERAL, Detector
from penstock.stages.redact.national_ids import NATIONAL_IDS
from penstock.stages.redact.pattern import PatternError, translate
from penstock.stages.redact.scan import Overflow

Action = Literal["replace", "mask", "hash", "block", "tokenise"]
ACTIONS: tuple[Action, ...] = get_args(Action)
OVERFLOWS: tuple[Overflow, ...] = get_args(Overflow)

# Keys come before what could take a piece of them; bare numbers come last.
_GENERAL_FIRST = GENERAL[:3]
CATALOG: tuple[Detector, ...] = (*_GENERAL_FIRST, *API_KEYS, *GENERAL[3:], *NATIONAL_IDS)
"""Every built-in detector, in order of priority."""

KINDS: tuple[str, ...] = tuple(dict.fromkeys(detector.kind for detector in CATALOG))


class RedactPolicy(msgspec.Struct, frozen=True):
    """What is looked for, and what happens to it.

    ``custom`` are names and regular expressions, tried before the built-in ones. ``actions`` holds the kinds with
    another action than ``action``. ``hold``: characters that a candidate may keep back; what happens then is
    ``overflow``. ``prompt``: the request is redacted too.
    """

    detectors: tuple[str, ...] = ()
    custom: tuple[tuple[str, str], ...] = ()
    action: Action = "replace"
    actions: tuple[tuple[str, Action], ...] = ()
    replace: str = "[{kind}]"
    hash_key: str = ""
    hold: int = 8192
    overflow: Overflow = "block"
    prompt: bool = False

    def shapes(self) -> list[Detector]:
        """The detectors in order of priority."""
        named = set(self.detectors)
        own = [Detector(kind, pattern, ascii_only=False) for kind, pattern in self.custom]
        return own + [detector for detector in CATALOG if detector.kind in named]

    def action_of(self, kind: str) -> Action:
        """What happens to a kind."""
        return dict(self.actions).get(kind, self.action)


def check_custom(pattern: str, hold: int) -> None:
    """Whether a pattern can be looked for in a stream. Raises PatternError with what to write instead."""
    width = translate(pattern).width
    if width >= hold:
        raise PatternError(f"a match may have {width} characters, and hold is {hold}: lower its repeats, or raise hold")
