"""The configuration of a rig's gateway."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from penstock.config.values import CaptureSinks, Config, Journal, Key, Provider, Route, Server, Target
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, SlowClient
from penstock.policy.guards import Guards
from penstock.policy.hedge import HedgeAfter
from penstock.policy.rate import MinRate
from penstock.policy.silence import SilenceRules
from penstock.stages.moderate.policy import ModeratePolicy
from penstock.stages.own import OwnStage
from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.upstream import Blackhole, ScriptedUpstream

MODEL = "m"
"""The route of a rig's gateway."""
Upstream = ScriptedUpstream | Blackhole


def config(
    upstreams: Sequence[Upstream | str],
    *,
    wire: str = "openai-chat",
    connect: float = 0.5,
    first_token: float | None = 0.5,
    between_tokens: float | None = 0.5,
    total: float | None = 3.0,
    min_rate: MinRate | None = None,
    keepalive: float | None = None,
    commit_after: float | None = None,
    buffer: int = 256 * 1024,
    slow_timeout: float | None = 0.5,
    merge: bool = False,
    settle: float = 0.2,
    health: bool = True,
    retries: int = 0,
    hedge: HedgeAfter | None = None,
    mid_stream: Literal["fail", "continue"] = "fail",
    silence: SilenceRules | None = None,
    stages: tuple[RedactPolicy | ModeratePolicy | OwnStage, ...] = (),
    guards: Guards = Guards(),  # noqa: B008 (a value)
    keys: tuple[Key, ...] = (),
    provider: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    journal: dict[str, Any] | None = None,
    route_fields: dict[str, Any] | None = None,
    capture: CaptureSinks | None = None,
    **delivery: Any,
) -> Config:
    """A configuration with one route ``m`` that tries ``upstreams`` (or their base URLs) in order.

    All speak ``wire``. ``provider``, ``server``, ``journal`` and ``route_fields`` hold further fields of every
    `Provider`, of `Server`, of `Journal` and of the `Route`, ``delivery`` of `Delivery`.
    """
    urls = [upstream if isinstance(upstream, str) else upstream.base_url for upstream in upstreams]
    if not wire.startswith("openai-"):
        urls = [url.removesuffix("/v1") for url in urls]
    common: dict[str, Any] = {"wire": wire, "api_key": "sk-scripted-secret", **(provider or {})}
    route = Route(
        name=MODEL,
        targets=tuple(Target(f"m{number}", "model") for number in range(1, len(urls) + 1)),
        deadlines=Deadlines(
            connect=connect,
            first_token=first_token,
            between_tokens=between_tokens if silence is None else silence.ceiling,
            silence=silence,
            total=total,
            min_rate=min_rate,
        ),
        delivery=Delivery(
            keepalive=keepalive,
            commit_after=commit_after,
            slow_client=SlowClient(buffer=buffer, timeout=slow_timeout, merge=merge),
            settle=settle,
            **delivery,
        ),
        health=health,
        retries=retries,
        hedge=hedge,
        mid_stream=mid_stream,
        stages=stages,
        guards=guards,
        **(route_fields or {}),
    )
    return Config(
        server=Server(**(server or {})),
        providers=tuple(Provider(name=f"m{n}", base_url=url, **common) for n, url in enumerate(urls, 1)),
        routes=(route,),
        keys=keys,
        journal=Journal(**(journal or {})),
        capture=capture,
    )
