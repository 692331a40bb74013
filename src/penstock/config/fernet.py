"""Keys of Fernet, which encrypt what is kept."""

from __future__ import annotations

import base64
import binascii

from penstock.config.document import Sequence
from penstock.config.reading import MASK, Field

KEY = "a Fernet key: 32 bytes as url-safe base64"


def read_fernet_key(field: Field | None, allowed: str = KEY) -> str | None:
    """One key; None where none is given. ``field`` is secret."""
    if field is None or field.null or (text := field.text(allowed)) is None:
        return None
    if text == MASK:
        field.report.warn(field.key, f"{MASK} is a mask from `penstock check --show`, not a key")
        return text
    try:
        usable = len(base64.urlsafe_b64decode(text.encode())) == 32
    except (ValueError, binascii.Error):
        usable = False
    if not usable:
        field.fail(allowed=allowed)
    return text


def read_fernet_keys(field: Field | None) -> tuple[str, ...]:
    """One key, or a list of them; elements that are null are left out."""
    if field is None:
        return ()
    allowed = f"{KEY}, or a list of such keys: the first encrypts, all of them decrypt"
    fields = field.items(allowed) if isinstance(field.node, Sequence) else [field]
    keys = [read_fernet_key(each, allowed) for each in fields]
    return tuple(key for key in keys if key is not None)
