"""``keys:`` – who may use the gateway, and where an open one may listen."""

from __future__ import annotations

from ipaddress import ip_address

import msgspec

from penstock.config.credentials import credential
from penstock.config.limits import KEYS as LIMITS
from penstock.config.limits import read_limits
from penstock.config.metering import read_billing
from penstock.config.problems import ConfigError, Problem, did_you_mean, quoted
from penstock.config.reading import MASK, Field, Report
from penstock.config.values import Config, Key
from penstock.metering.charge import Billing

KEYS = ("name", "key", "models", "admin", *LIMITS, "billing")
_KEYS = "a list such as [{name: team-a, key: ${TEAM_A_KEY}}]"
_KEY = "the key's text, without spaces or line breaks"
_SHORT = 16
_OPEN = "without keys the gateway serves everyone who reaches it"
_CLOSED = "127.0.0.1, ::1 or localhost, or keys"


def read_keys(field: Field, routes: frozenset[str]) -> tuple[Key, ...]:
    """The keys. Names and keys are unique; models are names of routes."""
    field.secret = True  # an element that is no mapping may be a key itself
    keys: list[Key] = []
    for item in field.items(_KEYS):
        if (key := _key(item, routes)) is None:
            continue
        for other in keys:
            if key.name == other.name:
                item.fail(f"two keys are named {quoted(key.name)}", found="", allowed="each name once")
            if key.key == other.key != MASK:
                two = f"{quoted(other.name)} and {quoted(key.name)}"
                item.fail(f"{two} have the same key", found="", allowed="each key once")
        keys.append(key)
    return tuple(keys)


def _key(field: Field, routes: frozenset[str]) -> Key | None:
    section = field.section(KEYS)
    name_field = section.require("name", "a name for logs and accounts")
    name = name_field.text() if name_field else None
    if name_field and name is not None and not name.strip():
        name_field.fail(allowed="a name for logs and accounts")
    key_field = section.require("key", _KEY, secret=True)
    if key_field is not None and key_field.null:
        key_field.fail(allowed=_KEY)
    key = credential(key_field)
    models = _models(section.get("models"), routes)
    limits = read_limits(section)
    billing = None if section.get("billing") is None else read_billing(section, Billing())
    if name is None or key is None or key_field is None:
        return None
    if len(key) < _SHORT and key != MASK:
        field.report.warn(
            key_field.key, f"the key of {quoted(name)} is shorter than {_SHORT} characters: easy to guess"
        )
    admin = section.flag("admin", False)
    return Key(name=name, key=key, models=models, admin=admin, limits=limits, billing=billing)


def _models(field: Field | None, routes: frozenset[str]) -> tuple[str, ...]:
    if field is None or field.null:
        return ()
    allowed = "a list of routes; leave it out for all"
    before = len(field.report.problems)
    items = field.items(allowed)
    if not items and len(field.report.problems) == before:
        # An empty list might be meant as "none", and Key.models would read it as "all".
        field.fail("an empty list", found="", allowed=allowed)
    models: list[str] = []
    for item in items:
        text = item.text("the name of a route")
        if text is not None and text not in routes:
            known = ", ".join(sorted(routes)) or "none is configured"
            item.fail(f"no route has this name{did_you_mean(text, routes)}", allowed=f"one of: {known}")
        elif text is not None and text not in models:
            models.append(text)
    return tuple(models)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def check_open(host: str, line: int, report: Report) -> None:
    """Refuses a gateway without keys that others can reach."""
    if not is_loopback(host):
        report.problem("server.host", line, message=_OPEN, found=quoted(host), allowed=_CLOSED)


def listen_on(config: Config, host: str | None = None, port: int | None = None, source: str = "--host") -> Config:
    """``config`` with another address, as the command line gives it. Raises ConfigError as ``load`` would."""
    host = config.server.host if host is None else host
    if not config.keys and not is_loopback(host):
        problem = Problem(file=source, line=0, key="server.host", message=_OPEN, found=quoted(host), allowed=_CLOSED)
        raise ConfigError([problem])
    server = msgspec.structs.replace(config.server, host=host, port=config.server.port if port is None else port)
    return msgspec.structs.replace(config, server=server)
