"""A route's policy keys, read on top of others: what a section leaves out stays as it was."""

from __future__ import annotations

import msgspec

from penstock.config.document import Mapping, Sequence
from penstock.config.reading import NOT_YET, Section
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, SlowClient

KEYS = ("deadlines", "delivery", "tags", "stages", "metadata", "hedge", "mid_stream")
DEADLINES = ("connect", "first_token", "between_tokens", "total")
DELIVERY = (
    "mode", "keepalive", "commit_after", "on_disconnect", "drain", "slow_client",
    "max_frame", "settle", "malformed", "done_after_error", "pin_identity",
)  # fmt: skip


class Policy(msgspec.Struct, frozen=True):
    """What ``defaults`` and a route have in common."""

    deadlines: Deadlines = Deadlines()
    delivery: Delivery = Delivery()
    tags: tuple[tuple[str, str], ...] = ()


def read_policy(section: Section, base: Policy) -> Policy:
    """The policy of a section, with ``base`` for what it does not say."""
    _refuse_unbuilt(section)
    return Policy(
        deadlines=_deadlines(section.section("deadlines", DEADLINES), base.deadlines),
        delivery=_delivery(section.section("delivery", DELIVERY), base.delivery),
        tags=_tags(section, base.tags),
    )


def _deadlines(section: Section, base: Deadlines) -> Deadlines:
    return Deadlines(
        connect=section.duration("connect", base.connect),
        first_token=section.deadline("first_token", base.first_token),
        between_tokens=section.deadline("between_tokens", base.between_tokens, later=("auto",)),
        total=section.deadline("total", base.total),
    )


def _delivery(section: Section, base: Delivery) -> Delivery:
    section.choice("mode", "passthrough", ("passthrough",), later=("sentence", "paragraph", "full"))
    section.choice("on_disconnect", "cancel", ("cancel",), later=("drain", "detach"))
    if (field := section.get("drain")) is not None and not field.null:
        drain = field.section(("seconds", "tokens"))
        drain.duration("seconds", 30.0)
        drain.count("tokens", 4096, 1, 10**9)
        section.report.warn(field.key, "this version drains no stream of a client that left; it cancels")
    slow = section.section("slow_client", ("buffer", "timeout"))
    return Delivery(
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


def _refuse_unbuilt(section: Section) -> None:
    """Keys of the interface whose silence would be a lie: a stage that does not redact is worse than none."""
    section.choice("metadata", "off", ("off",), later=("final", "live"))
    section.choice("mid_stream", "fail", ("fail",), later=("continue",))
    if (hedge := section.get("hedge")) is not None and not hedge.null:
        hedge.fail(NOT_YET, allowed="null")
    if (stages := section.get("stages")) is not None and not stages.null:
        empty = isinstance(stages.node, Sequence | Mapping) and not (
            stages.node.items if isinstance(stages.node, Sequence) else stages.node.entries
        )
        if not empty:
            stages.fail(NOT_YET, allowed="[]")
