"""A configuration as YAML, every default filled in and every secret masked."""

from __future__ import annotations

from typing import Any

import msgspec
import yaml

from penstock.config import limits
from penstock.config.capture import show_capture
from penstock.config.capture_sinks import show_sinks
from penstock.config.ledger import masked
from penstock.config.metering import show_price
from penstock.config.reading import MASK
from penstock.config.stage_list import show_stages
from penstock.config.tokenizers import show_tokenizers
from penstock.config.units import format_duration, format_size
from penstock.config.values import Config, Journal, Key, Ledger, Metering, Provider, Route, Target
from penstock.config.variables import escape
from penstock.policy.deadlines import Deadlines
from penstock.policy.hedge import HedgeAfter
from penstock.policy.rate import MinRate


def show(config: Config) -> str:
    """YAML that ``load`` reads back to ``config``, but for the secrets, which are ``***``, and the warnings."""
    server, telemetry = config.server, config.telemetry
    tree: dict[str, Any] = {
        "server": {
            "host": escape(server.host),
            "port": server.port,
            "workers": server.workers,
            "reuse_port": server.reuse_port,
            "drain": format_duration(server.drain),
            "max_body": format_size(server.max_body),
            "max_buffered": format_size(server.max_buffered),
        },
        "providers": {provider.name: _provider(provider) for provider in config.providers},
        "routes": {route.name: _route(route) for route in config.routes},
    }
    tree["capture"] = None if config.capture is None else show_sinks(config.capture)
    tree["keys"] = [_key(key) for key in config.keys]
    tree["limits"] = None if config.limits is None else {"url": escape(masked(config.limits.url))}
    tree["ledger"] = None if config.ledger is None else _ledger(config.ledger)
    tree["telemetry"] = {"prometheus": telemetry.prometheus, "log": telemetry.log, "otlp": None}
    tree["journal"] = _journal(config.journal)
    tree["metering"] = None if config.metering is None else _metering(config.metering)
    tree["prices"] = {escape(price.model): show_price(price) for price in config.prices}
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=10**6)


def _provider(provider: Provider) -> dict[str, Any]:
    shown: dict[str, Any] = {"wire": provider.wire, "base_url": escape(provider.base_url)}
    shown["api_key"] = None if provider.api_key is None else MASK
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
    shown["headers"] = {name: MASK for name, _ in provider.headers}
    shown["ca"] = None if provider.ca is None else escape(provider.ca)
    shown["prefill"] = provider.prefill or "auto"
    shown["fake_stream"] = provider.fake_stream
    return {**shown, "max_idle": provider.max_idle, "max_streams": provider.max_streams}


def _route(route: Route) -> dict[str, Any]:
    deadlines, delivery = route.deadlines, route.delivery
    shown: dict[str, Any] = {
        "targets": _targets(route.targets),
        "deadlines": {
            "connect": format_duration(deadlines.connect),
            "first_token": _deadline(deadlines.first_token),
            "between_tokens": _between_tokens(deadlines),
            "total": _deadline(deadlines.total),
            "min_rate": _min_rate(deadlines.min_rate),
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
            "heartbeat": _deadline(delivery.heartbeat),
            "commit_after": _deadline(delivery.commit_after),
            "slow_client": {
                "buffer": format_size(delivery.slow_client.buffer),
                "timeout": _deadline(delivery.slow_client.timeout),
                "merge": delivery.slow_client.merge,
            },
            "on_disconnect": delivery.on_disconnect,
            "drain": {
                "seconds": format_duration(delivery.drain.seconds),
                "tokens": delivery.drain.tokens,
                "streams": delivery.drain.streams,
            },
            "max_frame": format_size(delivery.max_frame),
            "settle": format_duration(delivery.settle),
            "malformed": delivery.malformed,
            "done_after_error": delivery.done_after_error,
            "pin_identity": delivery.pin_identity,
            "served_model": delivery.served_model,
        },
    }
    shown["balance"] = route.balance
    shown["mid_stream"] = route.mid_stream
    shown["stages"] = show_stages(route.stages)
    guards = route.guards
    shown["guards"] = {
        "max_characters": guards.max_characters,
        "repetition": guards.repetition,
        "stop_sequences": guards.stop_sequences,
    }
    shown["metadata"] = route.metadata.mode
    shown["metadata_every"] = route.metadata.every
    shown["capture"] = None if route.capture is None else show_capture(route.capture)
    shown["health"] = route.health
    shown["retries"] = route.retries
    shown["billing"] = msgspec.to_builtins(route.billing)
    shown["fake_stream"] = route.fake_stream
    shown["tags"] = {name: escape(value) for name, value in route.tags}
    return shown


def _targets(targets: tuple[Target, ...]) -> list[Any]:
    """Each rank as it is written: a target alone, or a list of equals."""
    ranks: list[list[Any]] = []
    for target in targets:
        name = escape(target.name)
        weighted = {"target": name, "weight": _number(target.weight)}
        shown = name if target.weight == 1.0 else weighted
        if target.tied and ranks:
            ranks[-1].append(shown)
        else:
            ranks.append([shown])
    return [rank[0] if len(rank) == 1 and isinstance(rank[0], str) else rank for rank in ranks]


def _number(value: float) -> float:
    return int(value) if value.is_integer() else value


def _min_rate(rate: MinRate | None) -> dict[str, Any] | None:
    if rate is None:
        return None
    return {"tokens_per_second": _number(rate.tokens), "window": format_duration(rate.window)}


def _key(key: Key) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": escape(key.name), "key": MASK}
    if key.models:
        shown["models"] = [escape(model) for model in key.models]
    if key.admin:
        shown["admin"] = True
    shown |= limits.shown(key.limits)
    if key.billing is not None:
        shown["billing"] = msgspec.to_builtins(key.billing)
    return shown


def _ledger(ledger: Ledger) -> dict[str, Any]:
    return {
        "url": escape(masked(ledger.url)),
        "spool": escape(ledger.spool),
        "spool_size": format_size(ledger.spool_size),
        "abandoned": format_duration(ledger.abandoned),
    }


def _metering(metering: Metering) -> dict[str, Any]:
    return {"drift": f"{metering.drift * 100:g}%", "tokenizers": show_tokenizers(metering.tokenizers)}


def _hedge(after: HedgeAfter | None) -> str | None:
    if after is None or after.quantile is None:
        return None if after is None else _deadline(after.fixed)
    return f"p{after.quantile * 100:g}"


def _between_tokens(deadlines: Deadlines) -> str | dict[str, str] | None:
    rules = deadlines.silence
    if rules is None:
        return _deadline(deadlines.between_tokens)
    return {"floor": format_duration(rules.floor), "ceiling": format_duration(rules.ceiling)}


def _journal(journal: Journal | None) -> dict[str, Any] | None:
    if journal is None:
        return None
    key = [MASK] * len(journal.keys)
    return {
        "url": escape(journal.url) if "@" not in journal.url else MASK,
        "ttl": format_duration(journal.ttl),
        "per_stream": format_size(journal.per_stream),
        "total": format_size(journal.total),
        **({"key": key[0] if len(key) == 1 else key} if key else {}),
    }


def _deadline(seconds: float | None) -> str | None:
    return None if seconds is None else format_duration(seconds)
