"""A configuration as YAML, every default filled in and every secret masked."""

from __future__ import annotations

from typing import Any

import yaml

from penstock.config.capture import show_capture
from penstock.config.capture_sinks import show_sinks
from penstock.config.reading import MASK
from penstock.config.stage_list import show_stages
from penstock.config.units import format_duration, format_size
from penstock.config.values import Config, Key, Provider, Route
from penstock.config.variables import escape
from penstock.policy.hedge import HedgeAfter


def show(config: Config) -> str:
    """YAML that ``load`` reads back to ``config``, but for the secrets, which are ``***``, and the warnings."""
    server, telemetry = config.server, config.telemetry
    tree: dict[str, Any] = {
        "server": {
            "host": escape(server.host),
            "port": server.port,
            "drain": format_duration(server.drain),
            "max_body": format_size(server.max_body),
        },
        "providers": {provider.name: _provider(provider) for provider in config.providers},
        "routes": {route.name: _route(route) for route in config.routes},
    }
    if config.capture is not None:
        tree["capture"] = show_sinks(config.capture)
    if config.keys:
        tree["keys"] = [_key(key) for key in config.keys]
    tree["telemetry"] = {"prometheus": telemetry.prometheus, "log": telemetry.log}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=10**6)


def _provider(provider: Provider) -> dict[str, Any]:
    shown: dict[str, Any] = {"wire": provider.wire, "base_url": escape(provider.base_url)}
    if provider.api_key is not None:
        shown["api_key"] = MASK
    if provider.api_key_command:
        shown["api_key_command"] = [escape(word) for word in provider.api_key_command]
    if provider.api_key_ttl is not None:
        shown["api_key_ttl"] = format_duration(provider.api_key_ttl)
    for name in ("api_key_file", "api_version", "region"):
        if (value := getattr(provider, name)) is not None:
            shown[name] = escape(value)
    for name in ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"):
        if getattr(provider, name) is not None:
            shown[name] = MASK
    if provider.headers:
        shown["headers"] = {name: MASK for name, _ in provider.headers}
    if provider.ca is not None:
        shown["ca"] = escape(provider.ca)
    return {**shown, "max_idle": provider.max_idle}


def _route(route: Route) -> dict[str, Any]:
    deadlines, delivery = route.deadlines, route.delivery
    shown: dict[str, Any] = {
        "targets": [escape(f"{target.provider}/{target.model}") for target in route.targets],
        "deadlines": {
            "connect": format_duration(deadlines.connect),
            "first_token": _deadline(deadlines.first_token),
            "between_tokens": _deadline(deadlines.between_tokens),
            "total": _deadline(deadlines.total),
        },
        "hedge": _hedge(route.hedge),
        "delivery": {
            "mode": delivery.mode,
            "segment": {
                "delay": format_duration(delivery.segment.delay),
                "characters": delivery.segment.characters,
            },
            "max_held": format_size(delivery.max_held),
            "signed_reasoning": delivery.signed_reasoning,
            "keepalive": _deadline(delivery.keepalive),
            "commit_after": _deadline(delivery.commit_after),
            "slow_client": {
                "buffer": format_size(delivery.slow_client.buffer),
                "timeout": _deadline(delivery.slow_client.timeout),
            },
            "max_frame": format_size(delivery.max_frame),
            "settle": format_duration(delivery.settle),
            "malformed": delivery.malformed,
            "done_after_error": delivery.done_after_error,
            "pin_identity": delivery.pin_identity,
        },
    }
    shown["stages"] = show_stages(route.stages)
    guards = route.guards
    shown["guards"] = {
        "max_characters": guards.max_characters,
        "repetition": guards.repetition,
        "stop_sequences": guards.stop_sequences,
    }
    shown["metadata"] = route.metadata.mode
    shown["metadata_every"] = route.metadata.every
    if route.capture is not None:
        shown["capture"] = show_capture(route.capture)
    shown["health"] = route.health
    shown["retries"] = route.retries
    if route.tags:
        shown["tags"] = {name: escape(value) for name, value in route.tags}
    return shown


def _key(key: Key) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": escape(key.name), "key": MASK}
    if key.models:
        shown["models"] = [escape(model) for model in key.models]
    return shown


def _hedge(after: HedgeAfter | None) -> str | None:
    if after is None or after.quantile is None:
        return None if after is None else _deadline(after.fixed)
    return f"p{after.quantile * 100:g}"


def _deadline(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
