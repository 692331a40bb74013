"""``capture:`` at the top level – where copies of streams go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from penstock.config.document import Mapping, join
from penstock.config.fernet import read_fernet_key
from penstock.config.providers import read_headers
from penstock.config.reading import MASK, Field, Section
from penstock.config.units import format_duration, format_size
from penstock.config.values import CaptureDatabase, CaptureFiles, CaptureSinks, CaptureWebhook, Ledger, Route
from penstock.config.variables import escape
from penstock.stages.redact.policy import RedactPolicy

KEYS = ("files", "webhook", "database", "key", "max_copy", "memory")
FILES = ("directory", "rotate_size", "rotate_age", "keep")
WEBHOOK = ("url", "headers", "timeout", "spool", "max_spool")
DATABASE = ("spool", "max_spool", "keep")
_SINKS = "files, webhook, database"
_DIRECTORY = "the path of a directory"
_URL = "an address such as https://collect.example/streams"


def read_sinks(field: Field, ledger: Ledger | None) -> CaptureSinks:
    """The sinks of a section that is there."""
    section = field.section(KEYS)
    before = len(field.report.problems)
    base = CaptureSinks()
    files, webhook, database = (section.get(name) for name in ("files", "webhook", "database"))
    sinks = CaptureSinks(
        files=None if files is None or files.null else _files(files.section(FILES)),
        webhook=None if webhook is None or webhook.null else _webhook(webhook.section(WEBHOOK)),
        database=None if database is None or database.null else _database(database, ledger),
        key=read_fernet_key(section.get("key", secret=True)),
        max_copy=section.size("max_copy", base.max_copy),
        memory=section.size("memory", base.memory),
    )
    if not (sinks.files or sinks.webhook or sinks.database) and len(field.report.problems) == before:
        field.fail("no sink is configured", found="", allowed=f"{_SINKS}, or several of them")
    return sinks


def _files(section: Section) -> CaptureFiles:
    base = CaptureFiles(directory="")
    keep = section.get("keep")
    return CaptureFiles(
        directory=_directory(section, "directory"),
        rotate_size=section.size("rotate_size", base.rotate_size),
        rotate_age=section.duration("rotate_age", base.rotate_age, least=1.0),
        keep=None if keep is None or keep.null else section.count("keep", 1, 1, 10**6),
    )


def _webhook(section: Section) -> CaptureWebhook:
    base = CaptureWebhook(url="", spool="")
    return CaptureWebhook(
        url=_url(section),
        spool=_directory(section, "spool"),
        headers=read_headers(section, with_key=False),
        timeout=section.duration("timeout", base.timeout),
        max_spool=section.size("max_spool", base.max_spool, least=1024 * 1024),
    )


def _database(field: Field, ledger: Ledger | None) -> CaptureDatabase:
    section, base = field.section(DATABASE), CaptureDatabase(url="", spool="")
    if ledger is None:
        field.fail("there is no ledger whose database could take copies", found="", allowed="ledger: {url: …}")
    keep = section.get("keep")
    return CaptureDatabase(
        url="" if ledger is None else ledger.url,
        spool=_directory(section, "spool"),
        max_spool=section.size("max_spool", base.max_spool, least=1024 * 1024),
        keep=None if keep is None or keep.null else section.duration("keep", 60.0, least=60.0),
    )


def _directory(section: Section, name: str) -> str:
    field = section.require(name, _DIRECTORY)
    text = field.text(_DIRECTORY) if field is not None else None
    if field is not None and text == "":
        field.fail(allowed=_DIRECTORY)
    return text or ""


def _url(section: Section) -> str:
    field = section.require("url", _URL, secret=True)
    if field is None or (text := field.text(_URL)) is None:
        return ""
    try:
        url = urlsplit(text)
        usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        usable = False
    if not usable or not text.isascii() or set(text) & set(" @?#"):
        field.fail(allowed=f"{_URL}, without credentials, query and fragment")
    return text


def check_captures(field: Field, routes: Iterable[Route], sinks: CaptureSinks | None) -> None:
    """What routes ask for must be possible. ``field`` is that of all routes."""
    fields = dict(field.entries("")) if not field.null else {}
    for route in routes:
        capture, place = route.capture, _place(fields[route.name])
        if capture is None:
            continue
        if sinks is None:
            place.fail(
                "the copies have nowhere to go", found="", allowed=f"capture: with one of {_SINKS}, at the top level"
            )
        elif capture.content == "original" and sinks.key is None:
            place.fail("copies of original content need a key", found="", allowed="capture.key, at the top level")
        elif capture.content == "redacted" and any(_puts_back(stage) for stage in route.stages):
            place.fail(
                "with tokenise the client gets its own text back: a copy of that is not redacted",
                found="",
                allowed="capture: {content: original}, which is encrypted, or another action",
            )
        elif capture.content == "redacted" and not any(isinstance(stage, RedactPolicy) for stage in route.stages):
            place.report.warn(place.key, "nothing redacts this route: copies are of all that was said, as it was")


def _place(route: Field) -> Field:
    """The route's own key, or the route where the key is that of ``defaults``."""
    node = route.node
    if not isinstance(node, Mapping) or "capture" not in node.entries:
        return route
    line, inner = node.entries["capture"]
    return Field(inner, join(route.key, "capture"), line, route.report)


def _puts_back(stage: Any) -> bool:
    actions = {getattr(stage, "action", ""), *(action for _, action in getattr(stage, "actions", ()))}
    return "tokenise" in actions


def show_sinks(sinks: CaptureSinks) -> dict[str, Any]:
    """As `read_sinks` reads them, secrets masked."""
    shown: dict[str, Any] = {}
    if (files := sinks.files) is not None:
        shown["files"] = {
            "directory": escape(files.directory),
            "rotate_size": format_size(files.rotate_size),
            "rotate_age": format_duration(files.rotate_age),
            "keep": files.keep,
        }
    if (webhook := sinks.webhook) is not None:
        shown["webhook"] = {"url": escape(webhook.url), "spool": escape(webhook.spool)}
        if webhook.headers:
            shown["webhook"]["headers"] = {name: MASK for name, _ in webhook.headers}
        shown["webhook"]["timeout"] = format_duration(webhook.timeout)
        shown["webhook"]["max_spool"] = format_size(webhook.max_spool)
    if (database := sinks.database) is not None:
        shown["database"] = {"spool": escape(database.spool), "max_spool": format_size(database.max_spool)}
        shown["database"]["keep"] = None if database.keep is None else format_duration(database.keep)
    if sinks.key is not None:
        shown["key"] = MASK
    return {**shown, "max_copy": format_size(sinks.max_copy), "memory": format_size(sinks.memory)}
