"""``targets:`` – a route's targets, rank by rank."""

from __future__ import annotations

import msgspec

from penstock.config.document import Mapping, Sequence
from penstock.config.problems import did_you_mean, quoted
from penstock.config.reading import Field, Section
from penstock.config.values import Target

_TARGETS = "a list such as [openai/gpt-4o], tried in order"
_EQUALS = "a list of targets of equal rank, such as [openai/gpt-4o, {target: azure/gpt-4o, weight: 2}]"
_TARGET = "provider/model"
HEAVIEST = 1_000_000


def read_targets(section: Section, providers: frozenset[str], *, catch_all: bool) -> tuple[Target, ...]:
    """The targets of a route's section, each once."""
    field = section.require("targets", _TARGETS)
    if field is None:
        return ()
    before = len(field.report.problems)
    items = field.items(_TARGETS)
    if not items and len(field.report.problems) == before:
        field.fail("a route needs a target", allowed=_TARGETS)
    targets: list[Target] = []
    for item in items:
        equals = isinstance(item.node, Sequence)
        members = item.items(_EQUALS) if equals else [item]
        if not members:
            item.fail("a rank needs a target", allowed=_EQUALS)
        tied = False
        for member in members:
            target = _member(member, providers, catch_all=catch_all, alone=not equals)
            if target is None:
                continue
            if any(target.name == other.name for other in targets):
                member.fail("the same target twice", allowed="each target once")
                continue
            targets.append(msgspec.structs.replace(target, tied=tied))
            tied = True
    return tuple(targets)


def _member(field: Field, providers: frozenset[str], *, catch_all: bool, alone: bool) -> Target | None:
    """A target, perhaps with a weight."""
    if not isinstance(field.node, Mapping):
        return _target(field, providers, catch_all=catch_all)
    if alone:
        field.fail("only targets of equal rank have a weight", allowed=f"{_TARGET}, or {_EQUALS}")
        return None
    section = field.section(("target", "weight"))
    weight = section.number("weight", 1.0, HEAVIEST)
    named = section.require("target", _TARGET)
    target = _target(named, providers, catch_all=catch_all) if named is not None else None
    return None if target is None else msgspec.structs.replace(target, weight=weight)


def _target(field: Field, providers: frozenset[str], *, catch_all: bool) -> Target | None:
    if (text := field.text(_TARGET)) is None:
        return None
    provider, _, model = text.partition("/")
    if not provider or not model or not model.isascii() or model != model.strip():
        field.fail(allowed=_TARGET)
    elif provider not in providers:
        known = ", ".join(sorted(providers)) or "none is configured"
        field.fail(
            f"no provider is named {quoted(provider)}{did_you_mean(provider, providers)}",
            allowed=f"{_TARGET} with one of: {known}",
        )
    elif model == "*" and not catch_all:
        field.fail('only the route "*" passes the client\'s model name through', allowed="the name of a model")
    elif "*" in model and model != "*":
        field.fail("a pattern is not understood", allowed=f'{_TARGET}, or provider/* in the route "*"')
    else:
        return Target(provider, model)
    return None
