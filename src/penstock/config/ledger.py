"""``ledger:`` – where a row for every stream is kept."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from penstock.config.reading import MASK, Field
from penstock.config.values import Ledger

KEYS = ("url", "spool", "spool_size", "abandoned")
_URL = "sqlite:///penstock.db, or postgresql://user:password@host/name"
_FILE = "the path of a folder"
_SPOOL = "penstock-spool"


def read_ledger(field: Field | None) -> Ledger | None:
    """The ledger. Without ``ledger`` it is the default, null means none."""
    base = Ledger()
    if field is None:
        return base
    if field.null:
        return None
    section = field.section(KEYS)
    url = base.url
    if (given := section.get("url", secret=True)) is not None and (text := given.text(_URL)) is not None:
        if _usable(text):
            url = text
        else:
            given.fail(allowed=_URL)
    spool = f"{url.removeprefix('sqlite:///')}-spool" if url.startswith("sqlite:") else _SPOOL
    if (folder := section.get("spool")) is not None:
        spool = folder.text(_FILE) or spool
    return Ledger(
        url=url,
        spool=spool,
        spool_size=section.size("spool_size", base.spool_size, least=1024 * 1024),
        abandoned=section.duration("abandoned", base.abandoned, least=60.0),
    )


def masked(url: str) -> str:
    """An address without its password."""
    shown = re.sub(r"(?<=://)([^:/@]*):.*(?=@)", rf"\1:{MASK}", url)
    return re.sub(r"(?<=[?&]password=)[^&]*", MASK, shown)


def _usable(url: str) -> bool:
    if url.startswith("sqlite:///"):
        return len(url) > len("sqlite:///") and "?" not in url
    try:
        return url.startswith(("postgresql://", "postgres://")) and bool(urlsplit(url).path.strip("/"))
    except ValueError:
        return False
