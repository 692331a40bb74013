"""``metering.tokenizers`` – a ``tokenizer.json`` by model."""

from __future__ import annotations

import re
from typing import Any

from penstock.config.document import Mapping
from penstock.config.reading import Field
from penstock.config.values import OwnTokenizer
from penstock.config.variables import escape

_TABLE = "a mapping of models to tokenizer.json files, such as {vllm/*: qwen3/tokenizer.json}"
_FILE = "the path of a tokenizer.json"
_SHA256 = "64 hexadecimal digits"


def read_tokenizers(field: Field | None) -> tuple[OwnTokenizer, ...]:
    """The table."""
    found = [_tokenizer(name, one) for name, one in field.entries(_TABLE)] if field is not None else []
    return tuple(one for one in found if one is not None)


def _tokenizer(name: str, field: Field) -> OwnTokenizer | None:
    if not name or "*" in name[:-1] or name == "*":
        field.fail("not usable as a model's name", found="", allowed="a name, or its beginning and *")
        return None
    sha256 = None
    file: Field | None = field
    if isinstance(field.node, Mapping):
        section = field.section(("file", "sha256"))
        file, pinned = section.require("file", _FILE), section.get("sha256")
        if pinned is not None and not pinned.null and (text := pinned.text(_SHA256)) is not None:
            sha256 = text.lower()
            if not re.fullmatch("[0-9a-f]{64}", sha256, re.ASCII):
                pinned.fail(allowed=_SHA256)
    if file is None or (path := file.text(_FILE)) is None:
        return None
    if not path:
        file.fail(allowed=_FILE)
    return OwnTokenizer(model=name, file=path, sha256=sha256)


def show_tokenizers(tokenizers: tuple[OwnTokenizer, ...]) -> dict[str, Any]:
    """As they are read."""
    return {
        escape(one.model): {"file": escape(one.file)} | ({} if one.sha256 is None else {"sha256": one.sha256})
        for one in tokenizers
    }
