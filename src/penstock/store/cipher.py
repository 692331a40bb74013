"""Encryption of a journal at rest: what its store is given, and what it gives back."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from penstock.errors import BadRequest, PenstockError

logger = logging.getLogger("penstock.journal")
PIECE = 64 * 1024
"""Bytes that are encrypted at once, about: a quarter of a millisecond."""
_TOKEN = b"gAAAA"
"""How every Fernet token begins. MessagePack of what a journal writes never does."""


class Unreadable(PenstockError):
    """It was encrypted with a key that is not here, or is not what was written."""


class Cipher:
    """Fernet (AES-128-CBC, HMAC-SHA256): the first of ``keys`` encrypts, all of them decrypt; without keys nothing is
    encrypted. What was written before there were keys is read as it is. Raises ImportError without cryptography, and
    ValueError where a key is none."""

    def __init__(self, keys: Sequence[str] = ()):
        self._fernet = None
        if keys:
            from cryptography.fernet import Fernet, MultiFernet

            self._fernet = MultiFernet([Fernet(key) for key in keys])
        self._warned = False

    def encrypt(self, data: bytes) -> bytes:
        """For the store."""
        return data if self._fernet is None else self._fernet.encrypt(data)

    def decrypt(self, data: bytes) -> bytes:
        """From the store. Raises Unreadable."""
        if not data.startswith(_TOKEN):
            return data
        if self._fernet is not None:
            from cryptography.fernet import InvalidToken

            try:
                return self._fernet.decrypt(data)
            except InvalidToken:
                pass
        if not self._warned:
            self._warned = True
            logger.warning("the journal's store holds streams that no key of this gateway opens (journal.key)")
        raise Unreadable("no key of journal.key opens it")

    def pieces(self, last: int, frames: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
        """The frames up to the cursor ``last`` as they are to be written: in pieces that are encrypted quickly, each
        with its own last cursor."""
        if self._fernet is None:
            if frames:
                yield last, frames
            return
        number, size = last - len(frames), 0
        piece: list[bytes] = []
        for frame in frames:
            if piece and size + len(frame) > PIECE:
                yield number, piece
                size, piece = 0, []
            number += 1
            size += len(frame)
            piece.append(frame)
        if piece:
            yield number, piece


def sealed_off(stream: str) -> BadRequest:
    """There is a journal, and it cannot be read here."""
    message = (
        f"the journal of the stream {stream} was encrypted with a key that this gateway does not have (journal.key): "
        "the stream cannot be resumed here"
    )
    return BadRequest(message, status=410, code="not_resumable")
