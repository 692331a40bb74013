"""Who is asking: keys of clients, compared without telling how much of a guess was right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from urllib.parse import parse_qsl

from penstock.config.values import Key
from penstock.errors import BadRequest

_HEADERS = (b"x-api-key", b"api-key", b"x-goog-api-key")


class Keyring:
    """The configured keys; without any the gateway is open."""

    def __init__(self, keys: Iterable[Key]):
        # Looked up by digest: a dictionary compares digests, which say nothing about the key.
        self._keys = {hashlib.sha256(key.key.encode()).digest(): key for key in keys}

    def who(self, headers: Iterable[tuple[bytes, bytes]], query: bytes = b"") -> Key | None:
        """The key that a request carries, in a header or as Google's ``?key=``; None when the gateway is open. Raises
        BadRequest (401)."""
        if not self._keys:
            return None
        for name, value in headers:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = value[7:].strip()
            elif name in _HEADERS:
                given = value.strip()
            else:
                continue
            return self._known(given)
        for name, value in parse_qsl(query):
            if name == b"key":
                return self._known(value)
        raise BadRequest("an API key is needed: send it as Authorization: Bearer …", status=401, code="missing_api_key")

    def _known(self, given: bytes) -> Key:
        key = self._keys.get(hashlib.sha256(given).digest())
        if key is None:
            raise BadRequest("the API key is not known to this gateway", status=401, code="invalid_api_key")
        return key
