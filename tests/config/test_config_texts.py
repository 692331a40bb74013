"""What providers, credentials and the file's own ways of writing mean: text, variables, defaults, anchors."""

from __future__ import annotations

import msgspec
import pytest

from penstock.config import demo_config, is_loopback, listen_on, load, show
from penstock.config.credentials import AWS
from penstock.config.problems import ConfigError
from penstock.config.values import (
    Provider,
    Route,
    Server,
    Target,
)
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, SlowClient

P = "providers: {openai: {wire: openai-chat, base_url: https://api.openai.com/v1}}\n"
R = "routes: {gpt-4o: {targets: [openai/gpt-4o]}}\n"


def only_route(policy: str, top: str = "", env: dict[str, str] | None = None) -> Route:
    (route,) = load(f"{P}{top}\nroutes: {{a: {{targets: [openai/x], {policy}}}}}", env or {}).routes
    return route


def test_provider_extras():
    text = (
        "providers: {p: {wire: openai-chat, base_url: 'HTTP://[::1]:8000/v1//', api_key: null, ca: ca.pem, max_idle: 0,"
        " max_streams: 7,"
        " headers: {x-penstock: on, X-Key: ${K}}}}\nroutes: {a: {targets: [p/x]}}"
    )
    assert load(text, {"K": "v"}).providers == (
        Provider(
            name="p",
            wire="openai-chat",
            base_url="http://[::1]:8000/v1",
            headers=(("x-penstock", "on"), ("X-Key", "v")),
            ca="ca.pem",
            max_idle=0,
            max_streams=7,
        ),
    )


ROUTE = "routes: {a: {targets: [p/x]}}"


@pytest.mark.parametrize(
    ("keys", "fields"),
    [
        (
            "api_key_command: [vault, read, '-field=key', 'a b']",
            {"api_key_command": ("vault", "read", "-field=key", "a b")},
        ),
        ("api_key_command: [x], api_key_ttl: 90s", {"api_key_command": ("x",), "api_key_ttl": 90.0}),
        ("api_key_command: null, api_key_ttl: null, api_key_file: null, api_version: null", {}),
        ("api_key_file: /run/secrets/${K}", {"api_key_file": "/run/secrets/v"}),
        ("api_version: 2024-10-21", {"api_version": "2024-10-21"}),
        ("wire: openai-responses, api_version: preview", {"wire": "openai-responses", "api_version": "preview"}),
        ("wire: bedrock-converse, region: eu-west-3", {"wire": "bedrock-converse", "region": "eu-west-3"}),
        ("wire: bedrock-invoke, api_key: ${K}", {"wire": "bedrock-invoke", "api_key": "v"}),
        (
            "wire: bedrock-invoke, region: us-gov-west-1, aws_access_key_id: i, aws_secret_access_key: s,"
            " aws_session_token: ${K}",
            {
                "wire": "bedrock-invoke",
                "region": "us-gov-west-1",
                "aws_access_key_id": "i",
                "aws_secret_access_key": "s",
                "aws_session_token": "v",
            },
        ),
    ],
)
def test_credentials(keys, fields):
    wire = "" if "wire:" in keys else "wire: openai-chat, "
    text = f"providers: {{p: {{{wire}base_url: 'http://h/v1', {keys}}}}}\n{ROUTE}"
    expected = Provider(**{"name": "p", "wire": "openai-chat", "base_url": "http://h/v1", **fields})
    config = load(text, {"K": "v"})
    assert config.providers == (expected,)
    masked = {name: "***" for name in ("api_key", *AWS) if getattr(expected, name) is not None}
    assert load(show(config), {}).providers == (msgspec.structs.replace(expected, **masked),)
    assert not {"s", "i"} & set(show(config).split())


def test_the_region_of_an_endpoint_of_aws():
    text = (
        "providers: {p: {wire: bedrock-converse, base_url: 'https://bedrock-runtime.us-east-1.amazonaws.com'}}\n"
        + ROUTE
    )
    config = load(text, {})
    assert config.warnings == () and config.providers[0].region is None


def test_azure_needs_no_path():
    text = "providers: {p: {wire: openai-chat, base_url: 'https://h.openai.azure.com', api_version: preview}}\n" + ROUTE
    assert load(text, {}).warnings == ()


def test_the_catch_all_passes_names_through():
    (route,) = load(P + 'routes: {"*": {targets: [openai/*, openai/gpt-4o]}}', {}).routes
    assert route.name == "*"
    assert route.targets == (Target("openai", "*"), Target("openai", "gpt-4o"))


@pytest.mark.parametrize("word", ["yes", "no", "on", "off", "true", "1:30", "0x10", "010", "1e3", "2024-01-01", "~x"])
def test_text_stays_text(word):
    assert only_route(f"tags: {{a: {word}}}").tags == (("a", word),)


def test_names_stay_text_too():
    config = load(
        P + "routes: {yes: {targets: [openai/on]}, 1: {targets: [openai/2]}, null: {targets: [openai/3]}}", {}
    )
    assert [(route.name, route.targets[0].model) for route in config.routes] == [
        ("yes", "on"),
        ("1", "2"),
        ("null", "3"),
    ]


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_the_key_decides_the_type(quote):
    assert load(P + R + f"server: {{port: {quote}${{PORT}}{quote}}}", {"PORT": "9000"}).server.port == 9000
    assert load(P + R + f"server: {{drain: {quote}5{quote}}}", {}).server.drain == 5.0


@pytest.mark.parametrize(
    ("written", "env", "value"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("'${A}'", {"A": "null"}, "null"),
        ("${A:-d}", {}, "d"),
        ("${A:-d}", {"A": ""}, "d"),
        ("${A:-a, b: c # d}", {}, "a, b: c # d"),
        ("${A:-it's}", {}, "it's"),
        ("${A}-${B:-2}", {"A": "1"}, "1-2"),
        ("'${A:-}'", {}, ""),
        ("$${A}", {"A": "x"}, "${A}"),
        ("$$${A}", {"A": "x"}, "$${A}"),
        ("'$${'", {}, "${"),
        ("$A $ $$", {"A": "x"}, "$A $ $$"),
        ("${A}", {"A": "${B}"}, "${B}"),
    ],
)
def test_variables(written, env, value):
    for text in (f"tags: {{a: {written}}}", f"tags:\n      a: {written}"):
        (route,) = load(f"{P}routes:\n  a:\n    targets: [openai/x]\n    {text}", env).routes
        assert route.tags == (("a", value),)


def test_null_by_way_of_a_variable():
    assert only_route("deadlines: {total: ${T:-null}, first_token: ${T:-}}").deadlines == Deadlines(
        total=None, first_token=None
    )


def test_defaults_are_merged_deep_under_each_route():
    config = load(
        P
        + """
defaults:
  deadlines: {first_token: 20s, total: null}
  delivery: {settle: 2s, slow_client: {timeout: 10s}}
  tags: {policy: eu-1, team: a}
routes:
  plain: {targets: [openai/x]}
  own:
    targets: [openai/x]
    deadlines: {total: 1m}
    delivery: {slow_client: {buffer: 1MiB}}
    tags: {team: b, policy: null}
""",
        {},
    )
    plain, own = config.routes
    assert plain.deadlines == Deadlines(first_token=20.0, total=None)
    assert plain.delivery == Delivery(settle=2.0, slow_client=SlowClient(timeout=10.0))
    assert plain.tags == (("policy", "eu-1"), ("team", "a"))
    assert own.deadlines == Deadlines(first_token=20.0, total=60.0)
    assert own.delivery == Delivery(settle=2.0, slow_client=SlowClient(timeout=10.0, buffer=1024**2))
    assert own.tags == (("team", "b"),)


def test_a_route_s_null_takes_a_deadline_of_the_defaults_away():
    assert only_route("deadlines: {total: null}", top="defaults: {deadlines: {total: 1m}}").deadlines.total is None


def test_anchors_and_merge_keys():
    config = load(
        P + "defaults: {deadlines: &d {first_token: 1s, total: 9s}}\n"
        "routes:\n"
        "  a: {targets: &t [openai/x], deadlines: {<<: *d, total: 5s}}\n"
        "  b: {targets: *t, deadlines: {<<: [{total: 3s}, *d]}}\n",
        {},
    )
    a, b = config.routes
    assert a.deadlines == Deadlines(first_token=1.0, total=5.0)
    assert b.targets == a.targets
    assert b.deadlines == Deadlines(first_token=1.0, total=3.0)


def test_warnings():
    config = load(
        "providers: {p: {wire: openai-chat, base_url: 'https://h/'}}\n"
        "routes: {a: {targets: [p/x], deadlines: {first_token: 20m}}}\n"
        "keys: [{name: weak, key: hunter2}]\n",
        {},
    )
    assert config.warnings == (
        "providers.p.base_url: the address has no path; most providers of this wire want one that ends in /v1",
        "routes.a: deadlines.first_token is longer than deadlines.total and never ends anything",
        'keys[0].key: the key of "weak" is shorter than 16 characters: easy to guess',
    )


def test_keys_open_the_door():
    config = load(P + R + "server: {host: 0.0.0.0}\nkeys: [{name: a, key: 0123456789abcdef, budget_usd: null}]", {})
    assert config.server.host == "0.0.0.0"
    assert listen_on(config, "::", 1).server == Server(host="::", port=1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost", "LOCALHOST"])
def test_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example.com", "127.1", ""])
def test_not_loopback(host):
    assert not is_loopback(host)


def test_the_command_line_may_not_open_it_either():
    config = load(P + R, {})
    assert listen_on(config).server == config.server
    assert listen_on(config, "localhost", 0).server == Server(host="localhost", port=0)
    with pytest.raises(ConfigError, match="without keys the gateway serves everyone"):
        listen_on(config, "0.0.0.0")


def test_demo():
    config = demo_config("http://127.0.0.1:9/v1")
    assert {route.name: route.targets for route in config.routes} == {
        "gpt-4o": (Target("sim", "sim"),),
        "*": (Target("sim", "*"),),
    }
    assert config.providers == (Provider(name="sim", wire="openai-chat", base_url="http://127.0.0.1:9/v1"),)
    assert config.keys == () and is_loopback(config.server.host)
