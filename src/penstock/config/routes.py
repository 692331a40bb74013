"""``routes:`` – model names, their targets and their policies."""

from __future__ import annotations

from penstock.config.policies import KEYS as POLICY_KEYS
from penstock.config.policies import Policy, read_policy
from penstock.config.reading import Field
from penstock.config.targets import read_targets
from penstock.config.values import Route

CATCH_ALL = "*"


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
    targets = read_targets(section, providers, catch_all=name == CATCH_ALL)
    policy = read_policy(section, defaults)
    first_token, total = policy.deadlines.first_token, policy.deadlines.total
    if first_token is not None and total is not None and first_token > total:
        field.report.warn(field.key, "deadlines.first_token is longer than deadlines.total and never ends anything")
    if policy.balance != defaults.balance and not any(target.tied for target in targets):
        field.report.warn(field.key, "balance says nothing: no two targets of the route have the same rank")
    if policy.deadlines.min_rate != defaults.deadlines.min_rate and len(targets) == 1:
        field.report.warn(field.key, "deadlines.min_rate asks nobody: the route has one target")
    hedge = policy.hedge
    if section.get("hedge") is not None and hedge is not None:
        if len(targets) == 1:
            field.report.warn(field.key, "hedge asks nobody: the route has one target")
        elif hedge.fixed is not None and first_token is not None and hedge.fixed >= first_token:
            field.report.warn(field.key, "hedge is not shorter than deadlines.first_token and never asks anybody")
    return Route(
        name=name,
        targets=targets,
        balance=policy.balance,
        deadlines=policy.deadlines,
        delivery=policy.delivery,
        health=policy.health,
        retries=policy.retries,
        fake_stream=policy.fake_stream,
        tags=policy.tags,
        hedge=policy.hedge,
        mid_stream=policy.mid_stream,
        guards=policy.guards,
        stages=policy.stages,
        billing=policy.billing,
        metadata=policy.metadata,
        capture=policy.capture,
    )
