"""``stages:`` – what the text of a route's answers goes through, in order."""

from __future__ import annotations

import re
from typing import Any

from penstock.config import document
from penstock.config.moderation import read_moderate, show_moderate
from penstock.config.problems import did_you_mean, quoted
from penstock.config.reading import MASK, Field, Section
from penstock.config.stages import read_redact, show_redact
from penstock.config.variables import escape
from penstock.stages.moderate.policy import ModeratePolicy
from penstock.stages.own import OwnStage
from penstock.stages.redact.policy import RedactPolicy

STAGES = ("redact", "moderate")
RouteStage = RedactPolicy | ModeratePolicy | OwnStage
_ALLOWED = "a list of stages such as [{redact: {detectors: [email]}}]"
_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_CREDENTIAL = re.compile("auth|key|token|secret|password", re.IGNORECASE)
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


def read_stages(section: Section, base: tuple[RouteStage, ...]) -> tuple[RouteStage, ...]:
    """The stages of a section; its list takes the place of all of ``base``."""
    field = section.get("stages")
    if field is None:
        return base
    if field.null:
        return ()
    stages = tuple(stage for item in field.items(_ALLOWED) for stage in _stage(item))
    if sum(isinstance(stage, ModeratePolicy) and stage.check is not None for stage in stages) > 1:
        field.fail("two of its stages have a check", found="", allowed="one check a route")
    return stages


def _stage(item: Field) -> list[RouteStage]:
    named = item.entries(_ALLOWED)
    if len(named) > 1:
        item.fail("more than one stage in one entry", found="", allowed=_ALLOWED)
    own = item.report.stages
    known = (*STAGES, *(name for name in own if name not in STAGES))
    for name, field in named[:1]:
        if name == "redact":
            return [read_redact(field)]
        if name == "moderate":
            return [read_moderate(field)]
        if name in own:
            return _own(name, field)
        field.fail(f"no stage is named {quoted(name)}{did_you_mean(name, known)}", found="", allowed=", ".join(known))
    return []


def _own(name: str, field: Field) -> list[RouteStage]:
    """A user's stage, made from its options."""
    before = len(field.report.problems)
    options = _plain(field)
    if options is None:
        options = {}
    if not isinstance(options, dict):
        field.fail(allowed="a mapping of the stage's options")
    if len(field.report.problems) > before:
        return []
    try:
        return [OwnStage(name, options, field.report.stages[name](options))]
    except (ValueError, ImportError) as error:
        field.fail(" ".join(str(error).split()) or type(error).__name__, found="", allowed="what the stage takes")
        return []


def _plain(field: Field) -> Any:
    """A value without a schema: its variables filled in, and what is not quoted read as a switch or a number."""
    if isinstance(field.node, document.Mapping):
        return {name: _plain(one) for name, one in field.entries("")}
    if isinstance(field.node, document.Sequence):
        return [_plain(one) for one in field.items("")]
    if field.null:
        return None
    text = field.text()
    if text is None or not (isinstance(field.node, document.Scalar) and field.node.plain):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if number := _NUMBER.fullmatch(text):
        return float(text) if number[1] else int(text)
    return text


def check_modes(section: Section, stages: tuple[RouteStage, ...], mode: str) -> None:
    """Whole answers that are held, and checks that let text go before they are answered, cannot both be."""
    for stage in stages:
        if mode == "full" and isinstance(stage, ModeratePolicy) and stage.check and stage.check.mode != "block":
            field = section.get("stages") or section.get("delivery") or section.place
            message = f"delivery.mode: full holds what check.mode: {stage.check.mode} would let go"
            field.fail(message, found="", allowed="check.mode: block, or another delivery.mode")


def show_stages(stages: tuple[RouteStage, ...]) -> list[dict[str, Any]]:
    """As `read_stages` reads them."""
    return [_shown(stage) for stage in stages]


def _shown(stage: RouteStage) -> dict[str, Any]:
    if isinstance(stage, RedactPolicy):
        return {"redact": show_redact(stage)}
    if isinstance(stage, ModeratePolicy):
        return {"moderate": show_moderate(stage)}
    return {stage.name: _escaped(stage.options)}


def _escaped(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: MASK if _CREDENTIAL.search(name) else _escaped(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one) for one in value]
    return escape(value) if isinstance(value, str) else value
