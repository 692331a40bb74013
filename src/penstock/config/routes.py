"""``routes:`` – model names, their targets and their policies."""

from __future__ import annotations

from penstock.config.policies import KEYS as POLICY_KEYS
from penstock.config.policies import Policy, read_policy
from penstock.config.problems import did_you_mean, quoted
from penstock.config.reading import Field, Section
from penstock.config.values import Route, Target

CATCH_ALL = "*"
_TARGETS = "a list such as [openai/gpt-4o], tried in order"
_TARGET = "provider/model"


def read_routes(field: Field, providers: frozenset[str], defaults: Policy) -> tuple[tuple[Route, ...], frozenset[str]]:
    """The routes on top of ``defaults``, and the names of all that were declared."""
    named = field.entries("a mapping of model names to routes")
    return tuple(_route(name, one, providers, defaults) for name, one in named), frozenset(name for name, _ in named)


def _route(name: str, field: Field, providers: frozenset[str], defaults: Policy) -> Route:
    if not name or not name.isprintable() or name != name.strip():
        field.fail("not usable as a model's name", found="", allowed="text on one line, without spaces around it")
    elif "*" in name and name != CATCH_ALL:
        field.fail("a pattern is not understood", found="", allowed='a whole name, or "*" for every other model')
    section = field.section(("targets", *POLICY_KEYS))
    targets = _targets(section, providers, catch_all=name == CATCH_ALL)
    policy = read_policy(section, defaults)
    first_token, total = policy.deadlines.first_token, policy.deadlines.total
    if first_token is not None and total is not None and first_token > total:
        field.report.warn(field.key, "deadlines.first_token is longer than deadlines.total and never ends anything")
    hedge = policy.hedge
    if section.get("hedge") is not None and hedge is not None:
        if len(targets) == 1:
            field.report.warn(field.key, "hedge asks nobody: the route has one target")
        elif hedge.fixed is not None and first_token is not None and hedge.fixed >= first_token:
            field.report.warn(field.key, "hedge is not shorter than deadlines.first_token and never asks anybody")
    return Route(
        name=name,
        targets=targets,
        deadlines=policy.deadlines,
        delivery=policy.delivery,
        health=policy.health,
        retries=policy.retries,
        tags=policy.tags,
        hedge=policy.hedge,
        guards=policy.guards,
        stages=policy.stages,
        metadata=policy.metadata,
        capture=policy.capture,
    )


def _targets(section: Section, providers: frozenset[str], *, catch_all: bool) -> tuple[Target, ...]:
    field = section.require("targets", _TARGETS)
    if field is None:
        return ()
    before = len(field.report.problems)
    items = field.items(_TARGETS)
    if not items and len(field.report.problems) == before:
        field.fail("a route needs a target", allowed=_TARGETS)
    targets: list[Target] = []
    for item in items:
        target = _target(item, providers, catch_all=catch_all)
        if target in targets:
            item.fail("the same target twice", allowed="each target once")
        elif target is not None:
            targets.append(target)
    return tuple(targets)


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
