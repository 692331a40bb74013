"""TLS towards providers: verified, always."""

from __future__ import annotations

import ssl
from functools import lru_cache


@lru_cache(maxsize=64)
def context(ca: str | None) -> ssl.SSLContext:
    """A context that trusts the system's roots, or only the authorities in the PEM file ``ca``.

    Raises OSError or ssl.SSLError when the file cannot be used. ``SSL_CERT_FILE`` is honoured, as OpenSSL does.
    """
    made = ssl.create_default_context(cafile=ca)
    made.set_alpn_protocols(["http/1.1"])
    return made
