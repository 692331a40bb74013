"""The whole configuration: text and environment in, a ``Config`` or every problem out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from penstock.config import document
from penstock.config.access import check_open, read_keys
from penstock.config.advice import with_advice
from penstock.config.capture_sinks import check_captures, read_sinks
from penstock.config.document import parse
from penstock.config.journal import read_journal
from penstock.config.ledger import read_ledger
from penstock.config.limits import read_shared
from penstock.config.metering import read_metering
from penstock.config.policies import KEYS as POLICY_KEYS
from penstock.config.policies import Policy, read_policy
from penstock.config.problems import ConfigError
from penstock.config.providers import read_providers
from penstock.config.reading import NOT_YET, Field, Report, Section
from penstock.config.routes import read_routes
from penstock.config.values import Config, Provider, Route, Server, Telemetry
from penstock.policy.guards import Guards
from penstock.stages.own import Factory

TOP = (
    "server",
    "providers",
    "defaults",
    "routes",
    "keys",
    "telemetry",
    "limits",
    "metering",
    "prices",
    "ledger",
    "journal",
    "capture",
)
SERVER = ("host", "port", "workers", "reuse_port", "drain", "max_body", "max_buffered")
MINIMAL = (
    "{providers: {openai: {wire: openai-chat, base_url: https://api.openai.com/v1, api_key: ${OPENAI_API_KEY}}}, "
    'routes: {"*": {targets: ["openai/*"]}}}'
)
_KEPT = "ledger: {url: sqlite:///penstock.db}, or no budget_usd"
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
    ledger = read_ledger(top.get("ledger"))
    telemetry = _telemetry(top)
    journal = read_journal(top.get("journal"))
    if journal is None:
        for route in routes:
            if route.delivery.on_disconnect == "detach":
                key = f"routes.{route.name}.delivery.on_disconnect"
                report.problem(key, root.line, message="detach needs a journal", allowed="journal: {url: memory://}")
    _check_endings(routes, providers, report, root.line)
    metering, prices = read_metering(top)
    if keys_field is not None and any(key.limits.budgets for key in keys):
        if ledger is None:
            without = "budget_usd needs a ledger, or a restart would forget what was spent"
            keys_field.fail(without, found="", allowed=_KEPT)
        if metering is None:
            without = "budget_usd needs metering, or what streams under way have cost is not known"
            keys_field.fail(without, found="", allowed="metering: {}, or no budget_usd")
    capture_field = top.get("capture")
    sinks = read_sinks(capture_field, ledger) if capture_field is not None and not capture_field.null else None
    if routes_field is not None:
        check_captures(routes_field, routes, sinks)
    config = Config(
        server=server,
        providers=providers,
        routes=routes,
        keys=keys,
        limits=read_shared(top.get("limits")),
        ledger=ledger,
        telemetry=telemetry,
        journal=journal,
        metering=metering,
        prices=prices,
        capture=sinks,
    )
    return with_advice(msgspec.structs.replace(config, warnings=tuple(report.warnings)))


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
    section = top.section("server", SERVER)
    host = base.host
    if (field := section.get("host")) is not None and (text := field.text(_HOST)) is not None:
        host = text
        if not text or any(c in text for c in " /[]@,") or not text.isascii():
            field.fail(allowed=_HOST)
            host = base.host
    return Server(
        host=host,
        port=section.count("port", base.port, 0, 65535),
        workers=section.count("workers", base.workers, 1, 256),
        reuse_port=section.flag("reuse_port", base.reuse_port),
        drain=section.duration("drain", base.drain, least=0.0),
        max_body=section.size("max_body", base.max_body),
        max_buffered=section.size("max_buffered", base.max_buffered),
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


def _check_endings(routes: Iterable[Route], providers: Iterable[Provider], report: Report, line: int) -> None:
    """Of routes whose answers are to go on: nobody may be known who could, and text that is changed cannot be taken
    up."""
    by_name = {provider.name: provider for provider in providers}
    for route in routes:
        targets = [(by_name.get(target.provider), target.model) for target in route.targets]
        nobody = all(provider is not None and provider.given_to(model) == "none" for provider, model in targets)
        if route.mid_stream == "continue" and nobody:
            why = "no target is known to write on from a beginning (providers.….prefill)"
            report.warn(f"routes.{route.name}", f"mid_stream: continue asks nobody: {why}")
        changed = route.stages or route.guards != Guards() or route.delivery.mode != "passthrough"
        if route.mid_stream == "continue" and changed:
            why = "an answer that goes through stages, guards or a delivery mode cannot be continued"
            report.problem(f"routes.{route.name}.mid_stream", line, message=why, allowed="mid_stream: fail")
