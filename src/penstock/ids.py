"""Identifiers. The caller brings the randomness, so that the pure floors stay pure."""

from __future__ import annotations

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32: no i, l, o, u


def stream_id(entropy: bytes) -> str:
    """The name of a stream: ``st_`` and 20 characters of base 32 for 100 bits of ``entropy`` (at least 13 bytes)."""
    number = int.from_bytes(entropy[:13], "big")
    characters = []
    for _ in range(20):
        characters.append(_ALPHABET[number & 31])
        number >>= 5
    return "st_" + "".join(characters)
