"""``journal:`` – where delivered frames are kept for those who resume."""

from __future__ import annotations

from urllib.parse import urlsplit

from penstock.config.fernet import read_fernet_keys
from penstock.config.reading import Field
from penstock.config.values import Journal

KEYS = ("url", "ttl", "per_stream", "total", "key")
URL = "memory://, sqlite:///journal.db or redis://host:6379/0"
_SQLITE = "sqlite:///"


def read_journal(field: Field | None) -> Journal | None:
    """The journal; in memory when nothing is said, None for null."""
    base = Journal()
    if field is None or field.null:
        return None if field is not None else base
    section = field.section(KEYS)
    url = base.url
    said = section.get("url", secret=True)
    if said is not None and (text := said.text(URL)) is not None:
        url = text
        if not usable(text):
            # Not shown: it may hold a password.
            said.fail("no journal can be kept there", found="", allowed=URL)
    per_stream = section.size("per_stream", base.per_stream)
    total = section.size("total", base.total)
    if total < per_stream and (place := section.get("total") or section.get("per_stream")) is not None:
        place.fail("less than one stream may hold", allowed="total at least as large as per_stream")
    key = section.get("key", secret=True)
    keys = read_fernet_keys(key)
    if key is not None and keys and url == base.url:
        field.report.warn(key.key, f"{url} keeps streams in memory alone: nothing is written that could be encrypted")
    ttl = section.duration("ttl", base.ttl, least=1.0)
    return Journal(url=url, ttl=ttl, per_stream=per_stream, total=total, keys=keys)


def usable(url: str) -> bool:
    """Is there a store of that kind?"""
    if url == Journal().url:
        return True
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if parts.scheme == "sqlite":
        return url.startswith(_SQLITE) and len(url) > len(_SQLITE)
    return parts.scheme in ("redis", "rediss") and bool(parts.hostname) and port != 0


def path_of(url: str) -> str:
    """The file of ``sqlite:///journal.db``, or with a fourth slash ``sqlite:////var/lib/penstock/journal.db``."""
    return url.removeprefix(_SQLITE)
