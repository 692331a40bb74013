"""A route's policy keys, read on top of others: what a section leaves out stays as it was."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from penstock.config.capture import read_capture
from penstock.config.document import Mapping, Scalar
from penstock.config.guards import KEYS as GUARDS
from penstock.config.guards import read_guards
from penstock.config.metering import read_billing
from penstock.config.reading import Section
from penstock.config.stage_list import RouteStage, check_modes, read_stages
from penstock.config.units import parse_duration
from penstock.config.variables import expand
from penstock.metering.charge import Billing
from penstock.policy.capture import Capture
from penstock.policy.choice import Balance
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, Segment, SlowClient
from penstock.policy.guards import Guards
from penstock.policy.hedge import HedgeAfter
from penstock.policy.leaving import Drain
from penstock.policy.metadata import MODES, Metadata
from penstock.policy.rate import MinRate
from penstock.policy.silence import SilenceRules

KEYS = (
    "deadlines", "delivery", "tags", "health", "retries", "stages", "metadata", "metadata_every", "capture", "hedge",
    "mid_stream", "balance", "guards", "billing", "fake_stream",
)  # fmt: skip
DEADLINES = ("connect", "first_token", "between_tokens", "total", "min_rate")
DELIVERY = (
    "mode", "segment", "max_held", "signed_reasoning", "keepalive", "heartbeat", "commit_after", "on_disconnect",
    "drain", "slow_client", "max_frame", "settle", "malformed", "done_after_error", "pin_identity", "served_model",
)  # fmt: skip

AUTO = "auto"
HEDGE = "a duration such as 800ms, a quantile from p50 to p99.9, or null"
_QUANTILE = re.compile(r"[pP]([5-9][0-9](?:\.[0-9])?)", re.ASCII)


class Policy(msgspec.Struct, frozen=True):
    """What ``defaults`` and a route have in common."""

    deadlines: Deadlines = Deadlines()
    delivery: Delivery = Delivery()
    health: bool = True
    retries: int = 0
    fake_stream: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    hedge: HedgeAfter | None = None
    balance: Balance = "least_loaded"
    mid_stream: Literal["fail", "continue"] = "fail"
    guards: Guards = Guards()
    metadata: Metadata = Metadata()
    capture: Capture | None = None
    stages: tuple[RouteStage, ...] = ()
    billing: Billing = Billing()


def read_policy(section: Section, base: Policy) -> Policy:
    """The policy of a section, with ``base`` for what it does not say."""
    _refuse_unbuilt(section)
    policy = Policy(
        deadlines=_deadlines(section.section("deadlines", DEADLINES), base.deadlines),
        delivery=_delivery(section.section("delivery", DELIVERY), base.delivery),
        health=section.flag("health", base.health),
        retries=section.count("retries", base.retries, 0, 10),
        fake_stream=section.flag("fake_stream", base.fake_stream),
        tags=_tags(section, base.tags),
        hedge=_hedge(section, base.hedge),
        balance=section.choice("balance", base.balance, ("least_loaded", "weighted")),
        mid_stream=section.choice("mid_stream", base.mid_stream, ("fail", "continue")),
        guards=read_guards(section.section("guards", GUARDS), base.guards),
        stages=read_stages(section, base.stages),
        billing=read_billing(section, base.billing),
        metadata=_metadata(section, base.metadata),
        capture=read_capture(section, base.capture),
    )
    check_modes(section, policy.stages, policy.delivery.mode)
    _check_merge(section, policy)
    return policy


def _hedge(section: Section, base: HedgeAfter | None) -> HedgeAfter | None:
    """A delay, or the quantile that it is learnt from."""
    field = section.get("hedge")
    if field is None or field.null:
        return base if field is None else None
    if (text := field.text(HEDGE)) is None:
        return base
    if match := _QUANTILE.fullmatch(text):
        return HedgeAfter(quantile=round(float(match[1]) / 100, 5))
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        field.fail("" if str(error) == "not a duration" else str(error), allowed=HEDGE)
        return base
    if seconds <= 0:
        field.fail("too short", allowed=HEDGE)
    return HedgeAfter(fixed=seconds)


def _deadlines(section: Section, base: Deadlines) -> Deadlines:
    return Deadlines(
        connect=section.duration("connect", base.connect),
        first_token=section.deadline("first_token", base.first_token),
        total=section.deadline("total", base.total),
        min_rate=_min_rate(section, base.min_rate),
        **_between_tokens(section, base),
    )


def _min_rate(section: Section, base: MinRate | None) -> MinRate | None:
    field = section.get("min_rate")
    if field is None or field.null:
        return base if field is None else None
    rate = field.section(("tokens_per_second", "window"))
    if base is None and rate.require("tokens_per_second", "a number above 0, such as 5") is None:
        return None
    known = base or MinRate(tokens=1.0)
    return MinRate(
        tokens=rate.number("tokens_per_second", known.tokens, 1_000_000),
        window=rate.duration("window", known.window),
    )


def _between_tokens(section: Section, base: Deadlines) -> dict[str, Any]:
    """A duration, null, ``auto``, or the bounds of what is learnt."""
    field = section.get("between_tokens")
    if field is None:
        return {"between_tokens": base.between_tokens, "silence": base.silence}
    node = field.node
    if isinstance(node, Mapping):
        bounds, rules = field.section(("floor", "ceiling")), SilenceRules()
        rules = msgspec.structs.replace(
            rules,
            floor=bounds.duration("floor", rules.floor),
            ceiling=bounds.duration("ceiling", rules.ceiling),
        )
        if rules.floor > rules.ceiling:
            field.fail("floor is above ceiling", found="", allowed="a floor that is no longer than the ceiling")
    elif isinstance(node, Scalar) and not field.null and expand(node.text, field.report.env).text == AUTO:
        rules = SilenceRules()
    else:
        return {"between_tokens": section.deadline("between_tokens", base.between_tokens, also=f", {AUTO}, or null")}
    return {"between_tokens": rules.ceiling, "silence": rules}


def _delivery(section: Section, base: Delivery) -> Delivery:
    drain = section.section("drain", ("seconds", "tokens", "streams"))
    slow = section.section("slow_client", ("buffer", "timeout", "merge"))
    segment = section.section("segment", ("delay", "characters"))
    return Delivery(
        mode=section.choice("mode", base.mode, ("passthrough", "sentence", "paragraph", "full")),
        segment=Segment(
            delay=segment.duration("delay", base.segment.delay),
            characters=segment.count("characters", base.segment.characters, 1, 10**6),
        ),
        max_held=section.size("max_held", base.max_held),
        signed_reasoning=section.choice("signed_reasoning", base.signed_reasoning, ("drop", "pass")),
        keepalive=section.deadline("keepalive", base.keepalive, least=0.1),
        heartbeat=section.deadline("heartbeat", base.heartbeat, least=0.1),
        commit_after=section.deadline("commit_after", base.commit_after, least=0.0),
        slow_client=SlowClient(
            buffer=slow.size("buffer", base.slow_client.buffer),
            timeout=slow.deadline("timeout", base.slow_client.timeout),
            merge=slow.flag("merge", base.slow_client.merge),
        ),
        on_disconnect=section.choice("on_disconnect", base.on_disconnect, ("cancel", "drain", "detach", "auto")),
        drain=Drain(
            seconds=drain.duration("seconds", base.drain.seconds),
            tokens=drain.count("tokens", base.drain.tokens, 1, 10**9),
            streams=drain.count("streams", base.drain.streams, 1, 10**6),
        ),
        max_frame=section.size("max_frame", base.max_frame),
        settle=section.duration("settle", base.settle, least=0.0),
        malformed=section.choice("malformed", base.malformed, ("skip", "fail")),
        done_after_error=section.flag("done_after_error", base.done_after_error),
        pin_identity=section.flag("pin_identity", base.pin_identity),
        served_model=section.choice("served_model", base.served_model, ("show", "hide")),
    )


def _check_merge(section: Section, policy: Policy) -> None:
    """A receipt is over the frames as they were written; merged, they are others."""
    if policy.delivery.slow_client.merge and policy.metadata.mode != "off":
        field = section.get("metadata") or section.get("delivery") or section.place
        message = f"metadata: {policy.metadata.mode} has a receipt over frames that slow_client.merge would change"
        field.fail(message, found="", allowed="metadata: off, or slow_client: {merge: false}")


def _tags(section: Section, base: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The tags of ``base`` and these; null takes an inherited one away."""
    tags = dict(base)
    field = section.get("tags")
    for name, one in field.entries("a mapping of names to text") if field else ():
        if not name or not name.isprintable():
            one.fail("not usable as a tag's name", found="", allowed="text on one line")
        elif one.null:
            tags.pop(name, None)
        elif (text := one.text()) is not None:
            tags[name] = text
    return tuple(tags.items())


def _metadata(section: Section, base: Metadata) -> Metadata:
    return Metadata(
        mode=section.choice("metadata", base.mode, MODES),
        every=section.count("metadata_every", base.every, 1, 10**6),
    )


def _refuse_unbuilt(section: Section) -> None:
    """Keys of the interface whose silence would be a lie."""
