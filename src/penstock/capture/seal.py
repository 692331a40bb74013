"""Encryption of copies that were not redacted."""

from __future__ import annotations

from collections.abc import Callable

from penstock.errors import PenstockError
from penstock.wire import json

Seal = Callable[[bytes], bytes]


def sealer(key: str | None) -> Seal | None:
    """Encrypts a copy's content with Fernet (AES-128-CBC, HMAC-SHA256); None without a key. Raises PenstockError."""
    if key is None:
        return None
    try:
        from cryptography.fernet import Fernet
    except ImportError:
        raise PenstockError("capture.key needs cryptography: pip install 'penstock[capture]'") from None
    try:
        return Fernet(key).encrypt
    except ValueError:
        raise PenstockError("capture.key is no Fernet key: 32 bytes as url-safe base64") from None


def sealed(content: bytes, seal: Seal) -> bytes:
    """The content as one JSON string, encrypted."""
    return json.dumps(seal(content).decode())
