"""What a provider says of its error, through the stages of the answer that it could not give: it may quote the prompt,
or what it had generated."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.stages.pipeline import Place, StagesPlan
from penstock.stream.faults import Failure
from penstock.wire import json

_WORDS = frozenset({"code", "param", "status", "type"})
"""Fields of errors that are for programs."""


def through(stages: StagesPlan, failure: Failure) -> Failure:
    """The failure as it may be told. Where a stage blocks what is said of it, only its status is."""
    if not failure.quoted:
        return failure
    texts, fault, body = _Texts(stages), failure.fault, failure.body
    message, fields = texts.told(fault.message), texts.told(fault.fields)
    if body is not None:
        said = json.loads(body)
        told = texts.told(said)
        body = body if told == said else json.dumps(told)
    if texts.blocked:
        message, fields, body = "the provider reported an error, whose words are withheld", None, None
    fault = msgspec.structs.replace(fault, message=message, fields=fields)
    return msgspec.structs.replace(failure, fault=fault, body=body)


class _Texts:
    """Texts of which each stands by itself."""

    def __init__(self, stages: StagesPlan):
        self._pipeline = stages.open(streamed=False)
        self._count = 0

    @property
    def blocked(self) -> bool:
        return self._pipeline.verdict is not None

    def told(self, said: Any) -> Any:
        if isinstance(said, str):
            self._count += 1
            place: Place = ("text", 0, self._count)
            return self._pipeline.feed(place, said) + self._pipeline.flush(place)
        if isinstance(said, dict):
            return {name: value if name in _WORDS else self.told(value) for name, value in said.items()}
        return [self.told(value) for value in said] if isinstance(said, list) else said
