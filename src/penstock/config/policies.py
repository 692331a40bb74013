"""A route's policy keys, read on top of others: what a section leaves out stays as it was."""

from __future__ import annotations

import re

import msgspec

from penstock.config.capture import read_capture
from penstock.config.guards import KEYS as GUARDS
from penstock.config.guards import read_guards
from penstock.config.reading import Section
from penstock.config.stage_list import RouteStage, check_modes, read_stages
from penstock.config.units import parse_duration
from penstock.policy.capture import Capture
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, Segment, SlowClient
from penstock.policy.guards import Guards
from penstock.policy.hedge import HedgeAfter
from penstock.policy.metadata import MODES, Metadata

KEYS = (
    "deadlines", "delivery", "tags", "health", "retries", "stages", "metadata", "metadata_every", "capture",
    "hedge", "mid_stream", "guards",
)  # fmt: skip
DEADLINES = ("connect", "first_token", "between_tokens", "total")
DELIVERY = (
    "mode", "segment", "max_held", "signed_reasoning", "keepalive", "commit_after",
    "on_disconnect", "drain", "slow_client",
    "max_frame", "settle", "malformed", "done_after_error", "pin_identity",
)  # fmt: skip

HEDGE = "a duration such as 800ms, a quantile from p50 to p99.9, or null"
_QUANTILE = re.compile(r"[pP]([5-9][0-9](?:\.[0-9])?)", re.ASCII)


class Policy(msgspec.Struct, frozen=True):
    """What ``defaults`` and a route have in common."""

    deadlines: Deadlines = Deadlines()
    delivery: Delivery = Delivery()
    health: bool = True
    retries: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    hedge: HedgeAfter | None = None
    guards: Guards = Guards()
    metadata: Metadata = Metadata()
    capture: Capture | None = None
    stages: tuple[RouteStage, ...] = ()


def read_policy(section: Section, base: Policy) -> Policy:
    """The policy of a section, with ``base`` for what it does not say."""
    _refuse_unbuilt(section)
    policy = Policy(
        deadlines=_deadlines(section.section("deadlines", DEADLINES), base.deadlines),
        delivery=_delivery(section.section("delivery", DELIVERY), base.delivery),
        health=section.flag("health", base.health),
        retries=section.count("retries", base.retries, 0, 10),
        tags=_tags(section, base.tags),
        hedge=_hedge(section, base.hedge),
        guards=read_guards(section.section("guards", GUARDS), base.guards),
        stages=read_stages(section, base.stages),
        metadata=_metadata(section, base.metadata),
        capture=read_capture(section, base.capture),
    )
    check_modes(section, policy.stages, policy.delivery.mode)
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
        between_tokens=section.deadline("between_tokens", base.between_tokens, later=("auto",)),
        total=section.deadline("total", base.total),
    )


def _delivery(section: Section, base: Delivery) -> Delivery:
    section.choice("on_disconnect", "cancel", ("cancel",), later=("drain", "detach"))
    if (field := section.get("drain")) is not None and not field.null:
        drain = field.section(("seconds", "tokens"))
        drain.duration("seconds", 30.0)
        drain.count("tokens", 4096, 1, 10**9)
        section.report.warn(field.key, "this version drains no stream of a client that left; it cancels")
    slow = section.section("slow_client", ("buffer", "timeout"))
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
        commit_after=section.deadline("commit_after", base.commit_after, least=0.0),
        slow_client=SlowClient(
            buffer=slow.size("buffer", base.slow_client.buffer),
            timeout=slow.deadline("timeout", base.slow_client.timeout),
        ),
        max_frame=section.size("max_frame", base.max_frame),
        settle=section.duration("settle", base.settle, least=0.0),
        malformed=section.choice("malformed", base.malformed, ("skip", "fail")),
        done_after_error=section.flag("done_after_error", base.done_after_error),
        pin_identity=section.flag("pin_identity", base.pin_identity),
    )


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
    section.choice("mid_stream", "fail", ("fail",), later=("continue",))
