"""What a right configuration means."""

from __future__ import annotations

import base64

import msgspec
import pytest

from penstock.config import Config, load, show
from penstock.config.values import (
    CaptureDatabase,
    CaptureFiles,
    CaptureSinks,
    CaptureWebhook,
    Journal,
    Key,
    Ledger,
    Metering,
    Provider,
    Route,
    Server,
    SharedLimits,
    Target,
    Telemetry,
)
from penstock.policy.capture import Capture
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, SlowClient
from penstock.policy.hedge import HedgeAfter
from penstock.policy.leaving import Drain
from penstock.policy.limits import Budget, Limits
from penstock.policy.metadata import Metadata
from penstock.policy.rate import MinRate
from penstock.policy.silence import SilenceRules

P = "providers: {openai: {wire: openai-chat, base_url: https://api.openai.com/v1}}\n"
R = "routes: {gpt-4o: {targets: [openai/gpt-4o]}}\n"


def only_route(policy: str, top: str = "", env: dict[str, str] | None = None) -> Route:
    (route,) = load(f"{P}{top}\nroutes: {{a: {{targets: [openai/x], {policy}}}}}", env or {}).routes
    return route


def test_defaults():
    assert load(P + R, {}) == Config(
        server=Server(host="127.0.0.1", port=8080, drain=30.0, max_body=32 * 1024**2),
        providers=(Provider(name="openai", wire="openai-chat", base_url="https://api.openai.com/v1"),),
        routes=(Route(name="gpt-4o", targets=(Target("openai", "gpt-4o"),)),),
        ledger=Ledger(url="sqlite:///penstock.db", spool="penstock.db-spool"),
        telemetry=Telemetry(prometheus=True, log="json"),
        metering=Metering(drift=0.1),
    )


SINKS = """
capture:
  files: {directory: /var/copies, rotate_size: 1MiB, rotate_age: 10m, keep: 9}
  webhook: {url: https://collect.example/in, spool: /var/spool, headers: {x-token: sesame}, timeout: 3s,
            max_spool: 2MiB}
  key: ${SEAL}
  max_copy: 1MiB
  memory: 2MiB
"""
SEAL = base64.urlsafe_b64encode(bytes(32)).decode()


def test_copies_and_their_sinks():
    text = P + "defaults: {capture: {sample: 10%}, metadata: live, metadata_every: 5}\n" + SINKS
    text += "routes:\n  a: {targets: [openai/x], capture: {content: original}}\n"
    text += "  b: {targets: [openai/x], capture: null, metadata: final}\n"
    config = load(text, {"SEAL": SEAL})
    assert config.capture == CaptureSinks(
        files=CaptureFiles(directory="/var/copies", rotate_size=1024**2, rotate_age=600.0, keep=9),
        webhook=CaptureWebhook(
            url="https://collect.example/in",
            spool="/var/spool",
            headers=(("x-token", "sesame"),),
            timeout=3.0,
            max_spool=2 * 1024**2,
        ),
        key=SEAL,
        max_copy=1024**2,
        memory=2 * 1024**2,
    )
    assert [route.capture for route in config.routes] == [Capture(content="original", sample=0.1), None]
    assert [route.metadata for route in config.routes] == [
        Metadata(mode="live", every=5),
        Metadata(mode="final", every=5),
    ]
    shown = show(config)
    assert SEAL not in shown
    assert "sesame" not in shown
    again = load(shown, {})
    assert again.routes == config.routes
    assert again.capture == msgspec.structs.replace(
        config.capture,
        key="***",
        webhook=msgspec.structs.replace(config.capture.webhook, headers=(("x-token", "***"),)),
    )


def test_copies_go_into_the_database_of_the_ledger():
    text = P + "routes: {a: {targets: [openai/x]}}\nledger: {url: 'postgresql://u:secret@h/d'}\n"
    config = load(text + "capture: {database: {spool: /var/spool, max_spool: 2MiB, keep: 720h}}", {})
    database = CaptureDatabase(
        url="postgresql://u:secret@h/d", spool="/var/spool", max_spool=2 * 1024**2, keep=720 * 3600.0
    )
    assert config.capture == CaptureSinks(database=database)
    shown = show(config)
    assert "secret" not in shown
    again = load(shown, {}).capture.database
    assert again == msgspec.structs.replace(database, url=again.url)


def test_copies_of_a_route_that_nothing_redacts_draw_a_warning():
    text = P + "routes: {a: {targets: [openai/x], capture: {}}}\ncapture: {files: {directory: d}}"
    (warning,) = load(text, {}).warnings
    assert warning == "routes.a.capture: nothing redacts this route: copies are of all that was said, as it was"


def test_the_interface_s_values_with_what_is_built():
    config = load(
        """
server: {host: 127.0.0.1, port: 8080, workers: 1, drain: 30s, max_body: 32MiB}
providers:
  openai:    {wire: openai-chat, base_url: https://api.openai.com/v1/, api_key: ${OPENAI_API_KEY}}
routes:
  gpt-4o:
    targets: [openai/gpt-4o, openai/org/model:7b]   # tried in order
    deadlines:
      connect: 5s
      first_token: 15s
      between_tokens: 30s
      total: 10m
    hedge: null
    delivery:
      mode: passthrough
      keepalive: null
      commit_after: 10s
      on_disconnect: cancel
      drain: {seconds: 30s, tokens: 4096}
      slow_client: {buffer: 256KiB, timeout: 30s}
    stages: []
    metadata: off
    tags: {policy: eu-1}
    mid_stream: fail
ledger:  {url: sqlite:///penstock.db}
journal: {url: memory://, ttl: 10m}
keys:
  - {name: team-a, key: ${TEAM_A_KEY}, models: ["gpt-4o"]}
telemetry: {prometheus: true, otlp: null, log: console}
""",
        {"OPENAI_API_KEY": "sk-openai", "TEAM_A_KEY": "0123456789abcdef"},
    )
    assert config.providers[0].api_key == "sk-openai"
    assert config.providers[0].base_url == "https://api.openai.com/v1"
    (route,) = config.routes
    assert route.targets == (Target("openai", "gpt-4o"), Target("openai", "org/model:7b"))
    assert route.deadlines == Deadlines()
    assert route.delivery == Delivery(keepalive=None)
    assert route.tags == (("policy", "eu-1"),)
    assert config.keys == (Key(name="team-a", key="0123456789abcdef", models=("gpt-4o",)),)
    assert config.telemetry == Telemetry(prometheus=True, log="console")
    assert config.ledger == Ledger(url="sqlite:///penstock.db", spool="penstock.db-spool")
    assert config.warnings == ()


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("null", None),
        ("{}", Ledger()),
        ("{url: 'sqlite:////var/lib/p/l.db'}", Ledger(url="sqlite:////var/lib/p/l.db", spool="/var/lib/p/l.db-spool")),
        ("{url: 'postgresql://u:p@h/d'}", Ledger(url="postgresql://u:p@h/d", spool="penstock-spool")),
        (
            "{spool: /s, spool_size: 2MiB, abandoned: 5m}",
            Ledger(spool="/s", spool_size=2 * 1024 * 1024, abandoned=300.0),
        ),
    ],
)
def test_the_ledger(written, kept):
    assert load(P + R + f"ledger: {written}", {}).ledger == kept


@pytest.mark.parametrize("password", ["secret", "se@cr:et", "se/cret"])
def test_a_ledger_is_shown_without_its_password(password):
    config = load(P + R + f"ledger: {{url: 'postgresql://me:{password}@h/d'}}", {})
    assert config.ledger.url == f"postgresql://me:{password}@h/d"
    assert "url: postgresql://me:***@h/d\n" in show(config)
    named = load(P + R + f"ledger: {{url: 'postgresql://h/d?user=me&password={password}'}}", {})
    assert "url: postgresql://h/d?user=me&password=***\n" in show(named)


def test_a_key_may_be_that_of_an_admin():
    (key,) = load(P + R + "keys: [{name: a, key: 0123456789abcdef, admin: true}]", {}).keys
    assert key.admin


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ("max_streams: 20, budget_usd: null", Limits(max_streams=20)),
        (
            "requests_per_minute: 60, tokens_per_minute: 100000",
            Limits(requests_per_minute=60, tokens_per_minute=100000),
        ),
        ("budget_usd: 12.50", Limits(budgets=(Budget("month", 12_500_000_000),))),
        ("budget_usd: {month: 50, day: 0.5}", Limits(budgets=(Budget("day", 5 * 10**8), Budget("month", 50 * 10**9)))),
    ],
)
def test_the_limits_of_a_key(written, limits):
    config = load(P + R + f"keys: [{{name: a, key: 0123456789abcdef, {written}}}]\nledger: {{}}", {})
    assert config.keys[0].limits == limits
    assert load(show(config), {}).keys[0].limits == limits


def test_every_policy_key():
    route = only_route(
        "deadlines: {connect: 1, first_token: 500ms, between_tokens: 1m30s, total: null},"
        "delivery: {keepalive: 100ms, commit_after: 0, slow_client: {buffer: 64KB, timeout: null, merge: true},"
        " max_frame: 1MiB, on_disconnect: auto, drain: {seconds: 1s, tokens: 7, streams: 2},"
        " settle: 0s, malformed: fail, done_after_error: true, pin_identity: on}"
    )
    assert route.deadlines == Deadlines(connect=1.0, first_token=0.5, between_tokens=90.0, total=None)
    assert route.delivery == Delivery(
        keepalive=0.1,
        commit_after=0.0,
        slow_client=SlowClient(buffer=64_000, timeout=None, merge=True),
        on_disconnect="auto",
        drain=Drain(seconds=1.0, tokens=7, streams=2),
        max_frame=1024**2,
        settle=0.0,
        malformed="fail",
        done_after_error=True,
        pin_identity=True,
    )


def test_silence_that_is_learnt():
    def deadlines(between: str, top: str = "") -> Deadlines:
        routes = f"routes: {{a: {{targets: [openai/x], deadlines: {{{between}}}}}}}"
        return load(f"{P}{top}{routes}", {"HOW": "auto"}).routes[0].deadlines

    auto = Deadlines(between_tokens=60.0, silence=SilenceRules())
    assert deadlines("between_tokens: auto") == deadlines("between_tokens: ${HOW}") == auto
    assert deadlines("between_tokens: {ceiling: 20s}") == Deadlines(
        between_tokens=20.0, silence=SilenceRules(ceiling=20.0)
    )
    above = "defaults: {deadlines: {between_tokens: auto}}\n"
    assert deadlines("", above) == auto
    assert deadlines("between_tokens: 30s", above) == Deadlines()
    assert deadlines("between_tokens: null", above) == Deadlines(between_tokens=None)


def test_what_follows_the_first_token():
    text = f"{P}defaults: {{mid_stream: continue, delivery: {{served_model: hide}}}}\n"
    config = load(f"{text}routes: {{a: {{targets: [openai/x]}}, b: {{targets: [openai/x], mid_stream: fail}}}}", {})
    assert config.warnings == (
        "routes.a: mid_stream: continue asks nobody: no target is known to write on from a beginning "
        "(providers.….prefill)",
    )
    assert [route.mid_stream for route in config.routes] == ["continue", "fail"]
    assert [route.delivery.served_model for route in config.routes] == ["hide", "hide"]
    assert config.providers[0].prefill is None


def test_shared_limits():
    def limits(text: str) -> SharedLimits | None:
        return load(P + "routes: {a: {targets: [openai/x]}}\n" + text, {}).limits

    assert limits("") is limits("limits: null") is None
    assert limits("limits: {url: 'rediss://:pass@r:6379/0'}") == SharedLimits(url="rediss://:pass@r:6379/0")
    shown = show(load(P + "routes: {a: {targets: [openai/x]}}\nlimits: {url: 'redis://:pass@r:6379/0'}", {}))
    assert "limits:\n  url: redis://:***@r:6379/0" in shown and "pass@" not in shown
    workers = "server: {workers: 2}\nkeys: [{name: a, key: '0123456789abcdef', max_streams: 1}]\n"
    routes = P + "routes: {a: {targets: [openai/x]}}\n" + workers
    alone, together = load(routes, {}).warnings, load(routes + "limits: {url: 'redis://r'}", {}).warnings
    assert any("keeps the limits of keys for itself" in each for each in alone)
    assert not any("keeps the limits of keys for itself" in each for each in together)


def test_journal():
    def journal(text: str) -> Journal | None:
        return load(P + "routes: {a: {targets: [openai/x]}}\n" + text, {}).journal

    assert journal("") == Journal() == journal("journal: {}")
    assert journal("journal: null") is None
    assert journal("journal: {url: 'sqlite:///a.db'}") == Journal(url="sqlite:///a.db")
    assert journal("journal: {url: 'redis://:pass@r:6379/0'}") == Journal(url="redis://:pass@r:6379/0")
    assert journal("journal: {url: memory://, ttl: 1h, per_stream: 1MiB, total: 2MiB}") == Journal(
        ttl=3600.0, per_stream=1024**2, total=2 * 1024**2
    )


def test_keys_of_the_journal():
    new, old = "A" * 43 + "=", "B" * 43 + "="

    def read(keys: str, url: str = "sqlite:///a.db", **env: str) -> Config:
        return load(f"{P}routes: {{a: {{targets: [openai/x]}}}}\njournal: {{url: '{url}', key: {keys}}}", env)

    def keys(text: str, **env: str) -> tuple[str, ...]:
        config = read(text, **env)
        assert not config.warnings
        assert config.journal is not None
        return config.journal.keys

    assert keys("null") == keys("[]") == ()
    assert keys("${NEW}", NEW=new) == keys(f"['{new}']") == (new,)
    both = "[${NEW}, ${OLD:-}]"
    assert keys(both, NEW=new, OLD=old) == (new, old)
    assert keys(both, NEW=new) == (new,)
    for text, masked in (("${NEW}", "key: '***'"), (both, "key:\n  - '***'\n  - '***'")):
        shown = show(read(text, NEW=new, OLD=old))
        assert masked in shown
        assert new not in shown and old not in shown
        again = load(shown, {})
        assert again.journal is not None and set(again.journal.keys) == {"***"}
        assert any("a mask from `penstock check --show`" in warning for warning in again.warnings)
    assert any("nothing is written that could be encrypted" in each for each in read(f"'{new}'", "memory://").warnings)


def test_hedging():
    two = "routes: {{a: {{targets: [openai/x, openai/y], {}}}}}"

    def hedge(policy: str, top: str = "") -> HedgeAfter | None:
        config = load(f"{P}{top}{two.format(policy)}", {"WHEN": "p99.9"})
        assert not config.warnings
        return config.routes[0].hedge

    assert hedge("hedge: 800ms") == HedgeAfter(fixed=0.8)
    assert hedge("hedge: p95") == HedgeAfter(quantile=0.95)
    assert hedge("hedge: ${WHEN}") == HedgeAfter(quantile=0.999)
    assert hedge("tags: {}", "defaults: {hedge: 2s}\n") == HedgeAfter(fixed=2.0)
    assert hedge("hedge: null", "defaults: {hedge: 2s}\n") is None


def test_hedging_that_never_asks_anybody_is_warned_of():
    text = f"{P}routes: {{a: {{targets: [openai/x], hedge: p95}}, b: {{targets: [openai/x, openai/y], hedge: 15s}}}}"
    assert load(text, {}).warnings == (
        "routes.a: hedge asks nobody: the route has one target",
        "routes.b: hedge is not shorter than deadlines.first_token and never asks anybody",
    )


def test_targets_of_equal_rank():
    text = """
    targets:
      - [openai/a, {target: "${WHO}/b", weight: 2.5}]
      - openai/c
      - [openai/d]
    """
    config = load(f"{P}routes:\n  a:{text}", {"WHO": "openai"})
    assert config.routes[0].targets == (
        Target("openai", "a"),
        Target("openai", "b", 2.5, tied=True),
        Target("openai", "c"),
        Target("openai", "d"),
    )
    assert (config.routes[0].balance, config.warnings) == ("least_loaded", ())


def test_balance_without_equals_is_warned_of():
    text = f"{P}defaults: {{balance: weighted}}\nroutes: {{a: {{targets: [openai/x], balance: least_loaded}}}}"
    assert load(text, {}).warnings == (
        "routes.a: balance says nothing: no two targets of the route have the same rank",
    )
    text = f"{P}routes: {{a: {{targets: [[openai/x, openai/y]], balance: weighted}}}}"
    assert (load(text, {}).routes[0].balance, load(text, {}).warnings) == ("weighted", ())


def test_min_rate():
    def rate(policy: str, top: str = "") -> MinRate | None:
        text = f"{P}{top}routes: {{a: {{targets: [openai/x, openai/y], deadlines: {{{policy}}}}}}}"
        return load(text, {}).routes[0].deadlines.min_rate

    top = "defaults: {deadlines: {min_rate: {tokens_per_second: 20, window: 2s}}}\n"
    assert rate("min_rate: {tokens_per_second: 0.5}") == MinRate(tokens=0.5, window=1.0)
    assert rate("min_rate: {window: 500ms}", top) == MinRate(tokens=20.0, window=0.5)
    assert rate("total: 1m", top) == MinRate(tokens=20.0, window=2.0)
    assert rate("min_rate: null", top) is None
    alone = f"{P}routes: {{a: {{targets: [openai/x], deadlines: {{min_rate: {{tokens_per_second: 5}}}}}}}}"
    assert load(alone, {}).warnings == ("routes.a: deadlines.min_rate asks nobody: the route has one target",)
