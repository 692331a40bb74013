"""What a user should know of a configuration that is no error: where keys of different sections meet."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from penstock.config.values import Config, Journal
from penstock.policy.limits import Limits

_SHORT = 60.0
"""Seconds within which many whole answers are not there."""


def with_advice(config: Config) -> Config:
    """The configuration with its advice among its warnings, each once."""
    warnings = dict.fromkeys((*config.warnings, *_advice(config)))
    return msgspec.structs.replace(config, warnings=tuple(warnings))


def _advice(config: Config) -> Iterator[str]:
    fake = {provider.name for provider in config.providers if provider.fake_stream}
    for route in config.routes:
        asked = [target.provider for target in route.targets if route.fake_stream or target.provider in fake]
        limit = route.deadlines.first_token
        if asked and limit is not None and limit < _SHORT:
            said = "its first token is the whole answer: deadlines.first_token must allow for all of it"
            yield f"routes.{route.name}: {asked[0]} is asked without streaming (fake_stream), so that {said}"
    if config.server.workers > 1 and config.limits is None and any(key.limits != Limits() for key in config.keys):
        yield "server.workers: each worker keeps the limits of keys for itself; limits: {url: redis://…} is shared"
    if config.server.workers > 1 and config.journal is not None and config.journal.url == Journal().url:
        said = "who comes back may reach another; journal: {url: redis://…} is shared"
        yield f"server.workers: in memory each worker has a journal and idempotency keys of its own: {said}"
