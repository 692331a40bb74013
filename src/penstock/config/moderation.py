"""The values of a ``moderate`` stage."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from penstock.config.reading import MASK, Field, Section
from penstock.config.units import format_duration
from penstock.config.variables import escape
from penstock.stages.moderate.policy import (
    CHECK_KINDS,
    CHECK_MODES,
    ON_FAILURE,
    ON_MATCH,
    OPENAI,
    CheckPolicy,
    ModeratePolicy,
    is_pattern,
)
from penstock.stages.moderate.words import LONGEST
from penstock.stages.redact.pattern import PatternError
from penstock.stages.redact.policy import check_custom

MODERATE = ("deny", "lists", "on_match", "replace", "prompt", "check")
CHECK = (
    "kind", "url", "api_key", "model", "headers", "ca", "categories", "mode", "on_failure", "timeout", "characters",
    "overlap", "delay", "max_checks", "prompt",
)  # fmt: skip

_HOLD = 8192
_URL = "an address such as https://api.openai.com/v1/moderations"
_NAME = re.compile(r"[A-Za-z]\w{0,31}", re.ASCII)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_OWN_HEADERS = frozenset({"authorization", "connection", "content-length", "content-type", "host", "transfer-encoding"})


def read_moderate(field: Field) -> ModeratePolicy:
    """The policy of a ``moderate`` stage; problems go to the field's report."""
    before = len(field.report.problems)
    section = field.section(MODERATE)
    on_match = section.choice("on_match", "block", ON_MATCH)
    deny, lists = _deny(section), _lists(section)
    check = None
    if (asked := section.get("check")) is not None and not asked.null:
        check = _check(asked.section(CHECK), flag=on_match == "flag")
        if on_match == "replace":
            asked.fail(
                "it judges whole texts, of which nothing can be replaced", found="", allowed="on_match: block or flag"
            )
    if not deny and not lists and check is None and len(field.report.problems) == before:
        field.fail("nothing to look for", found="", allowed="deny, lists or check")
    replace = ModeratePolicy().replace
    if (text := section.get("replace")) is not None:
        replace = text.text() or ""
        if on_match != "replace":
            text.fail(f"it has no meaning beside on_match: {on_match}", found="", allowed="one of them")
    return ModeratePolicy(
        deny=deny,
        lists=lists,
        on_match=on_match,
        replace=replace,
        prompt=section.flag("prompt", False),
        check=check,
    )


def _deny(section: Section) -> tuple[str, ...]:
    field = section.get("deny")
    entries = []
    for one in field.items("a list of words and regular expressions") if field else ():
        if (entry := one.text("words, or a regular expression")) is None:
            continue
        if is_pattern(entry):
            try:
                check_custom(entry, _HOLD)
            except PatternError as error:
                one.fail(str(error), allowed="a regular expression whose repeats have bounds, or words")
        elif not 0 < len(entry.strip()) <= LONGEST:
            one.fail(allowed=f"words of 1 to {LONGEST} characters")
        entries.append(entry if is_pattern(entry) else entry.strip())
    return tuple(entries)


def _lists(section: Section) -> tuple[tuple[str, str], ...]:
    field = section.get("lists")
    lists = []
    for name, one in field.entries("a mapping of names to files") if field else ():
        if not _NAME.fullmatch(name) or name == "deny":
            allowed = "letters, digits and underscores that begin with a letter; deny is taken"
            one.fail("not usable as a list's name", found="", allowed=allowed)
        elif (path := one.text("the path of a file with a word a line")) is not None:
            lists.append((name, path))
    return tuple(lists)


def _check(section: Section, *, flag: bool) -> CheckPolicy:
    base = CheckPolicy()
    kind = section.choice("kind", base.kind, CHECK_KINDS)
    mode = section.choice("mode", base.mode, CHECK_MODES)
    words = " (what is not checked does not pass) or ".join(ON_FAILURE) + " (it passes unchecked)"
    section.require("on_failure", words)
    model = section.get("model")
    if model is not None and kind == "webhook":
        model.fail("a webhook is asked for no model", found="", allowed="kind: openai")
    characters = section.count("characters", base.characters, 1, 100_000)
    overlap = section.count("overlap", min(base.overlap, characters), 0, 10_000)
    if overlap > characters:
        section.place.fail(f"overlap: {overlap} is more than characters", found="", allowed=f"0 to {characters}")
    return CheckPolicy(
        kind=kind,
        url=_url(section, kind),
        api_key=_text(section, "api_key", "", secret=True),
        model=_text(section, "model", base.model),
        headers=_headers(section),
        ca=_text(section, "ca", "") or None,
        categories=_categories(section),
        mode=mode,
        on_failure=section.choice("on_failure", base.on_failure, ON_FAILURE),
        timeout=section.duration("timeout", base.timeout, least=0.01),
        characters=characters,
        overlap=overlap,
        delay=section.duration("delay", base.delay, least=0.0),
        max_checks=section.count("max_checks", base.max_checks, 1, 10_000),
        prompt=section.flag("prompt", base.prompt),
        flag=flag,
    )


def _text(section: Section, name: str, base: str, *, secret: bool = False) -> str:
    field = section.get(name, secret=secret)
    return base if field is None else field.text() or base


def _url(section: Section, kind: str) -> str:
    field = section.get("url") if kind == "openai" else section.require("url", _URL)
    if field is None or (text := field.text(_URL)) is None:
        return OPENAI
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and "@" not in url.netloc
    except ValueError:
        usable = False
    if not usable or not re.fullmatch(r"[\x21-\x7e]+", text) or "#" in text:
        field.fail(allowed=_URL, found=MASK if "@" in text else None)
    return text


def _headers(section: Section) -> tuple[tuple[str, str], ...]:
    field = section.get("headers", secret=True)
    headers = []
    for name, one in field.entries("a mapping of header names to values") if field else ():
        value = one.text()
        if not _HEADER.fullmatch(name) or name.lower() in _OWN_HEADERS:
            one.fail("not usable as a header's name", found="", allowed="letters, digits and dashes, none of its own")
        elif value is not None and not _VALUE.fullmatch(value):
            one.fail(allowed="ASCII text without spaces around it")
        headers.append((name, value or ""))
    return tuple(headers)


def _categories(section: Section) -> tuple[str, ...]:
    field = section.get("categories")
    names = [one.text() for one in (field.items("a list of categories") if field else ())]
    return tuple(name for name in names if name)


def show_moderate(policy: ModeratePolicy) -> dict[str, Any]:
    """As `read_moderate` reads it, the key masked."""
    shown: dict[str, Any] = {}
    if policy.deny:
        shown["deny"] = [escape(entry) for entry in policy.deny]
    if policy.lists:
        shown["lists"] = {name: escape(path) for name, path in policy.lists}
    shown["on_match"] = policy.on_match
    if policy.on_match == "replace":
        shown["replace"] = escape(policy.replace)
    shown["prompt"] = policy.prompt
    if policy.check is not None:
        shown["check"] = _show_check(policy.check)
    return shown


def _show_check(check: CheckPolicy) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": check.kind, "url": escape(check.url)}
    if check.api_key:
        shown["api_key"] = MASK
    if check.kind == "openai":
        shown["model"] = escape(check.model)
    if check.headers:
        shown["headers"] = {name: MASK for name, _ in check.headers}
    if check.ca is not None:
        shown["ca"] = escape(check.ca)
    if check.categories:
        shown["categories"] = [escape(name) for name in check.categories]
    return {
        **shown,
        "mode": check.mode,
        "on_failure": check.on_failure,
        "timeout": format_duration(check.timeout),
        "characters": check.characters,
        "overlap": check.overlap,
        "delay": format_duration(check.delay),
        "max_checks": check.max_checks,
        "prompt": check.prompt,
    }
