"""The whole configuration: text and environment in, a ``Config`` or every problem out."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.config import document
from penstock.config.access import check_open, read_keys
from penstock.config.capture_sinks import check_captures, read_sinks
from penstock.config.document import parse
from penstock.config.policies import KEYS as POLICY_KEYS
from penstock.config.policies import Policy, read_policy
from penstock.config.problems import ConfigError
from penstock.config.providers import read_providers
from penstock.config.reading import NOT_YET, Field, Report, Section
from penstock.config.routes import read_routes
from penstock.config.values import Config, Server, Telemetry
from penstock.stages.own import Factory

TOP = ("server", "providers", "defaults", "routes", "keys", "telemetry", "ledger", "journal", "capture")
MINIMAL = (
    "{providers: {openai: {wire: openai-chat, base_url: https://api.openai.com/v1, api_key: ${OPENAI_API_KEY}}}, "
    'routes: {"*": {targets: ["openai/*"]}}}'
)
_HOST = "an address to listen on, such as 127.0.0.1 or 0.0.0.0"


def load(
    text: str,
    env: Mapping[str, str],
    source: str = "penstock.yaml",
    stages: Mapping[str, Factory] | None = None,
) -> Config:
    """The effective configuration of YAML ``text``; ``env`` fills in ``${NAME}``; ``source`` names it in problems;
    ``stages`` are users' own, by name.

    Raises ConfigError with all problems.
    """
    report = Report(source, env, stages)
    root, problems = parse(text, source)
    report.problems.extend(problems)
    if root is None and problems:
        raise ConfigError(problems)
    root = root or document.Scalar(1, "null")
    whole = Field(root, "", root.line, report)
    config = _read(Field(document.Mapping(1, {}), "", 1, report) if whole.null else whole)
    if report.problems:
        raise ConfigError(sorted(report.problems, key=lambda problem: problem.line))
    return config


def _read(root: Field) -> Config:
    report = root.report
    top = root.section(TOP)
    if not isinstance(root.node, document.Mapping):
        return Config()
    server = _server(top)
    providers_field, routes_field = top.get("providers"), top.get("routes")
    _require_some(root, providers_field, routes_field)
    providers, provider_names = read_providers(providers_field) if providers_field else ((), frozenset())
    defaults = read_policy(top.section("defaults", POLICY_KEYS), Policy())
    routes, route_names = read_routes(routes_field, provider_names, defaults) if routes_field else ((), frozenset())
    keys_field = top.get("keys")
    keys = read_keys(keys_field, route_names) if keys_field else ()
    if keys_field is None or keys_field.null or keys_field.node == document.Sequence(keys_field.node.line, ()):
        check_open(server.host, _line_of_host(top), report)
    telemetry = _telemetry(top)
    capture_field = top.get("capture")
    sinks = read_sinks(capture_field) if capture_field is not None and not capture_field.null else None
    if routes_field is not None:
        check_captures(routes_field, routes, sinks)
    _warn_of_stores(top)
    return Config(
        server=server,
        providers=providers,
        routes=routes,
        keys=keys,
        telemetry=telemetry,
        capture=sinks,
        warnings=tuple(dict.fromkeys(report.warnings)),
    )


def _require_some(root: Field, providers: Field | None, routes: Field | None) -> None:
    lacking = [
        (name, field)
        for name, field in (("providers", providers), ("routes", routes))
        if field is None or field.null or field.node == document.Mapping(field.node.line, {})
    ]
    if len(lacking) == 2:
        message = "no provider and no route is configured"
        root.report.problem("", 1, message=message, allowed=f"at the least: {MINIMAL}")
        return
    for name, field in lacking:
        line = root.line if field is None else field.line
        root.report.problem(name, line, message="none is configured", allowed=f"at the least: {MINIMAL}")


def _server(top: Section) -> Server:
    base = Server()
    section = top.section("server", ("host", "port", "workers", "drain", "max_body"))
    host = base.host
    if (field := section.get("host")) is not None and (text := field.text(_HOST)) is not None:
        host = text
        if not text or any(c in text for c in " /[]@,") or not text.isascii():
            field.fail(allowed=_HOST)
            host = base.host
    if (field := section.get("workers")) is not None and (workers := field.text("1")) not in (None, "1"):
        later = workers is not None and workers.isascii() and workers.isdigit() and workers.strip("0") != ""
        field.fail(NOT_YET if later else "", allowed="1")
    return Server(
        host=host,
        port=section.count("port", base.port, 0, 65535),
        drain=section.duration("drain", base.drain, least=0.0),
        max_body=section.size("max_body", base.max_body),
    )


def _line_of_host(top: Section) -> int:
    section = top.get("server")
    node = section.node if section else None
    return node.entries["host"][0] if isinstance(node, document.Mapping) and "host" in node.entries else 0


def _telemetry(top: Section) -> Telemetry:
    base = Telemetry()
    section = top.section("telemetry", ("prometheus", "otlp", "log"))
    if (otlp := section.get("otlp", secret=True)) is not None and not otlp.null:
        otlp.fail(NOT_YET, allowed="null")
    return Telemetry(
        prometheus=section.flag("prometheus", base.prometheus),
        log=section.choice("log", base.log, ("json", "console")),
    )


def _warn_of_stores(top: Section) -> None:
    """``ledger`` and ``journal`` are read, so that one file serves versions with and without them."""
    if (field := top.get("ledger")) is not None and not field.null:
        _url(field.section(("url",)))
        top.report.warn("ledger", "this version keeps no ledger; rows are only logged")
    if (field := top.get("journal")) is not None and not field.null:
        section = field.section(("url", "ttl"))
        _url(section)
        section.duration("ttl", 600.0)
        top.report.warn("journal", "this version keeps no journal; streams cannot be resumed")


def _url(section: Section) -> None:
    allowed = "an address such as sqlite:///penstock.db or memory://"
    field = section.require("url", allowed, secret=True)
    if field is not None and (text := field.text(allowed)) is not None and "://" not in text:
        field.fail(allowed=allowed)
