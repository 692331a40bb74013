"""The moderation of a route, as values."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

OnMatch = Literal["block", "replace", "flag"]
ON_MATCH: tuple[OnMatch, ...] = get_args(OnMatch)
CheckKind = Literal["openai", "webhook"]
CHECK_KINDS: tuple[CheckKind, ...] = get_args(CheckKind)
CheckMode = Literal["block", "window", "audit"]
CHECK_MODES: tuple[CheckMode, ...] = get_args(CheckMode)
OnFailure = Literal["block", "pass"]
ON_FAILURE: tuple[OnFailure, ...] = get_args(OnFailure)

OPENAI = "https://api.openai.com/v1/moderations"


class CheckPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A service that is asked about texts.

    ``mode``: unchecked text is all held back (``block``), at most ``characters`` of it (``window``), or none
    (``audit``). It is asked when ``characters`` are there, or the first of them for ``delay`` seconds; each time it
    gets ``overlap`` characters of before, too. ``max_checks``: of one stream; the last waits for the answer's end.
    ``timeout``: seconds for one check; what happens then, or when it fails, is ``on_failure``.
    """

    kind: CheckKind = "openai"
    url: str = OPENAI
    api_key: str = ""
    model: str = "omni-moderation-latest"
    headers: tuple[tuple[str, str], ...] = ()
    ca: str | None = None
    categories: tuple[str, ...] = ()
    """Those that count; empty: all."""
    mode: CheckMode = "block"
    on_failure: OnFailure = "block"
    timeout: float = 2.0
    characters: int = 400
    overlap: int = 100
    delay: float = 0.25
    max_checks: int = 32
    prompt: bool = False
    """The request is checked too."""
    flag: bool = False
    """What is found is only counted."""


class ModeratePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Local rules and a service to ask.

    ``deny`` holds words, and regular expressions where an entry has one of their signs in it. ``lists`` are names and
    files with a word or words a line. ``prompt``: the rules hold for the request too.
    """

    deny: tuple[str, ...] = ()
    lists: tuple[tuple[str, str], ...] = ()
    on_match: OnMatch = "block"
    replace: str = "[removed]"
    prompt: bool = False
    check: CheckPolicy | None = None


_SIGNS = frozenset("\\[](){}|*+?^$")


def is_pattern(entry: str) -> bool:
    """Whether an entry of ``deny`` is a regular expression."""
    return not _SIGNS.isdisjoint(entry)
