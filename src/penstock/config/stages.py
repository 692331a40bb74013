"""The values of a route's stages."""

from __future__ import annotations

import re
from typing import Any

from penstock.config.problems import did_you_mean
from penstock.config.reading import MASK, Field, Section
from penstock.config.variables import escape
from penstock.stages.redact.pattern import PatternError
from penstock.stages.redact.policy import ACTIONS, KINDS, OVERFLOWS, Action, RedactPolicy, check_custom

REDACT = ("detectors", "custom", "action", "actions", "replace", "hash_key", "hold", "overflow", "prompt")

_KIND = "letters, digits and underscores, at most 32, that begin with a letter"
_LEAST_KEY = 16


def read_redact(field: Field) -> RedactPolicy:
    """The policy of a ``redact`` stage; problems go to the field's report."""
    before = len(field.report.problems)
    section = field.section(REDACT)
    hold = section.count("hold", RedactPolicy().hold, 64, 65_536)
    custom = _custom(section, hold)
    detectors = _detectors(section)
    replace = _replace(section)
    action = section.choice("action", "replace", ACTIONS)
    if section.get("replace") is not None and action != "replace":
        section.place.fail(f"replace has no meaning beside action: {action}", found="", allowed="one of them")
    actions = _actions(section, {*detectors, *(kind for kind, _ in custom)})
    used = {action, *(other for _, other in actions)}
    if not detectors and not custom and len(field.report.problems) == before:
        field.fail("nothing to look for", found="", allowed=f"detectors with {', '.join(KINDS)}, or custom")
    return RedactPolicy(
        detectors=detectors,
        custom=custom,
        action=action,
        actions=actions,
        replace=replace,
        hash_key=_hash_key(section, "hash" in used),
        hold=hold,
        overflow=section.choice("overflow", "block", OVERFLOWS),
        # What stands for text of the prompt is of use only where the prompt got it.
        prompt=section.flag("prompt", "tokenise" in used),
    )


def show_redact(policy: RedactPolicy) -> dict[str, Any]:
    """As `read_redact` reads it, the key masked."""
    shown: dict[str, Any] = {"detectors": list(policy.detectors)}
    if policy.custom:
        shown["custom"] = {kind: escape(pattern) for kind, pattern in policy.custom}
    shown["action"] = policy.action
    if policy.actions:
        shown["actions"] = dict(policy.actions)
    if policy.action == "replace":
        shown["replace"] = escape(policy.replace)
    if policy.hash_key:
        shown["hash_key"] = MASK
    return {**shown, "hold": policy.hold, "overflow": policy.overflow, "prompt": policy.prompt}


def _detectors(section: Section) -> tuple[str, ...]:
    allowed = ", ".join(KINDS)
    field = section.get("detectors")
    named: dict[str, None] = {}
    for one in field.items(f"a list of {allowed}") if field else ():
        if (kind := one.text(allowed)) is None:
            continue
        if kind not in KINDS:
            one.fail(f"no such detector{did_you_mean(kind.lower(), KINDS)}", allowed=allowed)
        named[kind] = None
    return tuple(named)


def _custom(section: Section, hold: int) -> tuple[tuple[str, str], ...]:
    field = section.get("custom")
    patterns = []
    for kind, one in field.entries("a mapping of names to regular expressions") if field else ():
        if not re.fullmatch(r"[A-Za-z]\w{0,31}", kind, re.ASCII):
            one.fail("not usable as a name", found="", allowed=_KIND)
        elif kind in KINDS:
            one.fail("the name of a built-in detector", found="", allowed="another name")
        elif (pattern := one.text("a regular expression")) is not None:
            try:
                check_custom(pattern, hold)
            except PatternError as error:
                one.fail(str(error), allowed="a regular expression whose repeats have bounds")
            patterns.append((kind, pattern))
    return tuple(patterns)


def _actions(section: Section, kinds: set[str]) -> tuple[tuple[str, Action], ...]:
    field = section.get("actions")
    allowed = " or ".join(ACTIONS)
    actions: list[tuple[str, Action]] = []
    for kind, one in field.entries("a mapping of detectors to actions") if field else ():
        if kind not in kinds:
            one.fail("not among this stage's detectors", found="", allowed=", ".join(sorted(kinds)))
        elif (text := one.text(allowed)) is not None:
            known = [action for action in ACTIONS if action == text]
            actions += [(kind, action) for action in known]
            if not known:
                one.fail(allowed=allowed)
    return tuple(actions)


def _replace(section: Section) -> str:
    base = RedactPolicy().replace
    field = section.get("replace")
    allowed = 'text, with {kind} for what was found, such as "[{kind}]"'
    if field is None or (text := field.text(allowed)) is None:
        return base
    if re.search(r"[{}]", text.replace("{kind}", "")):
        field.fail("a name in braces that stands for nothing", allowed=allowed)
    return text


def _hash_key(section: Section, needed: bool) -> str:
    allowed = f"a secret of {_LEAST_KEY} characters or more"
    field = section.get("hash_key", secret=True)
    if field is None:
        if needed:
            section.require("hash_key", allowed, secret=True)
        return ""
    key = field.text(allowed)
    if key is not None and len(key) < _LEAST_KEY:
        field.fail("too short", allowed=allowed)
    return key or ""
