"""The vocabularies of `metering.encodings`, shipped with the package: no network is needed to count.

The files are those that OpenAI publishes for tiktoken (MIT licence), compressed; each is checked against the SHA-256
that tiktoken pins before it is used.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import logging
import threading
from importlib import resources

from penstock.metering.counter import BytePairs, Estimate, Vocabulary
from penstock.metering.encodings import ENCODINGS, Encoding
from penstock.vocabularies.own import TokenizerError, read_own

logger = logging.getLogger("penstock.vocabularies")


class Vocabularies:
    """Each is loaded once, when it is first wanted: a third of a second and some 90 MB."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: dict[str, Vocabulary] = {}

    def get(self, name: str) -> Vocabulary | None:
        """The vocabulary, if it is there already."""
        return self._loaded.get(name)

    def load_own(self, file: str, sha256: str | None) -> Vocabulary:
        """The tokenizer of a ``tokenizer.json``, which has the file's name here. As `load`."""
        with self._lock:
            if file not in self._loaded:
                try:
                    self._loaded[file] = read_own(file, sha256)
                except TokenizerError as error:
                    logger.warning("tokens are estimated: the tokenizer %s cannot be used: %s", file, error)
                    self._loaded[file] = Estimate()
            return self._loaded[file]

    def load(self, name: str) -> Vocabulary:
        """The vocabulary. Takes its time: not for an event loop. Where it cannot be had, tokens are estimated."""
        with self._lock:
            if name not in self._loaded:
                try:
                    self._loaded[name] = read(ENCODINGS[name])
                except (ImportError, OSError, ValueError) as error:
                    logger.warning("tokens are estimated: the vocabulary %s cannot be used: %s", name, error)
                    self._loaded[name] = Estimate()
            return self._loaded[name]


@functools.cache
def read(encoding: Encoding) -> Vocabulary:
    """A vocabulary from the package's files, once for the process. Raises OSError, and ValueError for a file that is
    not as published."""
    packed = resources.files(__package__).joinpath(f"{encoding.name}.tiktoken.gz").read_bytes()
    data = gzip.decompress(packed)
    digest = hashlib.sha256(data).hexdigest()
    if digest != encoding.sha256:
        raise ValueError(f"its SHA-256 is {digest}, not {encoding.sha256}")
    import tiktoken  # costs as much as the rest of the gateway: only who counts pays for it

    ranks = {}
    for line in data.splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    pairs = tiktoken.Encoding(encoding.name, pat_str=encoding.pattern, mergeable_ranks=ranks, special_tokens={})
    return BytePairs(encoding.name, encoding.pattern, pairs._core_bpe.encode_single_piece)
