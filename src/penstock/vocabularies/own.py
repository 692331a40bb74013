"""Tokenizers that a user brings: ``tokenizer.json`` as Hugging Face's library writes it (extra ``tokenizers``)."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import PenstockError
from penstock.metering.windows import Windows
from penstock.plain import mended


class TokenizerError(PenstockError):
    """A tokenizer cannot be used; in words for who has configured it."""


def read_own(path: str, sha256: str | None) -> Windows:
    """A tokenizer from its file; ``sha256``: what the file must be. Raises TokenizerError. Takes its time: a file may
    have ten megabytes."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise TokenizerError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise TokenizerError(f"its SHA-256 is {digest}, not the one that is pinned")
    if importlib.util.find_spec("tokenizers") is None:
        raise TokenizerError("a tokenizer of one's own needs the extra: pip install 'penstock[tokenizers]'")
    import tokenizers  # only who brings one pays for it

    try:
        tokenizer = tokenizers.Tokenizer.from_str(data.decode())
    except Exception as error:  # the library raises nothing more precise
        raise TokenizerError(f"no tokenizer.json: {str(error).splitlines()[0]}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    # What an answer says is text, whatever it looks like.
    tokenizer.encode_special_tokens = True

    def encode(text: str) -> Sequence[tuple[int, int]]:
        offsets: Sequence[tuple[int, int]] = tokenizer.encode(mended(text), add_special_tokens=False).offsets
        return offsets

    return Windows(Path(path).name, encode)
