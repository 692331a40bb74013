"""What holds for every text."""

from __future__ import annotations

import msgspec
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.config import Config, ConfigError, demo_config, load, show
from penstock.config.access import KEYS
from penstock.config.document import parse
from penstock.config.loader import MINIMAL, TOP
from penstock.config.policies import DEADLINES, DELIVERY
from penstock.config.policies import KEYS as POLICY
from penstock.config.providers import KEYS as PROVIDER
from penstock.config.units import format_duration, format_size, parse_duration, parse_size
from penstock.config.values import Key, Ledger, Provider, Route, Server, Target, Telemetry
from penstock.config.variables import escape, expand, hide
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery, SlowClient
from penstock.policy.hedge import HedgeAfter
from penstock.policy.rate import MinRate
from penstock.policy.silence import SilenceRules
from penstock.wire.prefill import WORDS

VOCABULARY = st.sampled_from(
    [
        *TOP,
        *POLICY,
        *PROVIDER,
        *DEADLINES,
        *DELIVERY,
        *KEYS,
        *(
            "host",
            "port",
            "workers",
            "drain",
            "max_body",
            "max_buffered",
            "buffer",
            "timeout",
            "seconds",
            "tokens",
            "url",
            "ttl",
            "log",
        ),
        *(
            "openai-chat",
            "gemini",
            "openai/x",
            "*/*",
            "*",
            "off",
            "null",
            "auto",
            "5s",
            "-1",
            "1e9",
            "1MiB",
            "$${",
            "${",
        ),
        *("${A}", "${EMPTY}", "${B:-x}", "https://u:p@h?q", "http://[", "http://h:99999/", "<<", "*a", "&a ", "!!int "),
        *(
            "!",
            "|",
            ">",
            "?",
            "-",
            ":",
            "#",
            " ",
            "'",
            '"',
            "{",
            "}",
            "[",
            "]",
            ",",
            "\n",
            "\t",
            "%",
            "@",
            "---",
            "...",
        ),
    ]
)
SOUP = st.lists(VOCABULARY | st.sampled_from([": ", "\n", "\n  ", "\n    ", "- ", ", "]), max_size=40).map("".join)
LEAF = VOCABULARY | st.text(max_size=8) | st.none() | st.integers() | st.booleans() | st.floats()
TREE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(VOCABULARY | st.text(max_size=4), inner, max_size=5),
    max_leaves=25,
)


def try_load(text: str) -> None:
    problems = ["none"]
    try:
        load(text, {"A": "a\n", "EMPTY": ""})
    except ConfigError as error:
        problems = list(map(str, error.problems))
    assert problems
    assert all(len(problem.splitlines()) == 1 for problem in problems)


@given(st.text() | SOUP)
@settings(max_examples=500)
def test_any_text_loads_or_is_refused(text):
    try_load(text)


@given(TREE)
@settings(max_examples=500)
def test_any_tree_loads_or_is_refused(tree):
    try_load(yaml.safe_dump(tree, allow_unicode=True))


@given(st.dictionaries(st.sampled_from(["server", "providers", "routes", "keys", "defaults", "telemetry"]), TREE))
def test_any_section_loads_or_is_refused(tree):
    try_load(yaml.safe_dump({**yaml.safe_load(MINIMAL.replace("${OPENAI_API_KEY}", "k")), **tree}))


durations = st.integers(1, 366 * 24 * 3_600_000).map(lambda milliseconds: milliseconds / 1000)


@given(durations)
def test_durations_survive_the_way_out_and_in(seconds):
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 50), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_durations_add_up(h, m, s, ms):
    assert parse_duration(f"{h}h{m}m{s}s{ms}ms") == (h * 3_600_000 + m * 60_000 + s * 1000 + ms) / 1000


@given(st.integers(0, 1024**4))
def test_sizes_survive_the_way_out_and_in(size):
    assert parse_size(format_size(size)) == size == parse_size(str(size))


@given(st.text())
def test_hiding_references_loses_nothing(text):
    hidden, restore = hide(text)
    assert restore(hidden) == text
    assert hidden.count("\n") == text.count("\n")


@given(st.text(alphabet="${}A:- x'"))
def test_an_escaped_text_means_itself(text):
    assert expand(escape(text), {}).text == text


def test_private_use_characters_are_no_references():
    text = "".join(map(chr, range(0xE000, 0xE010)))
    root, problems = parse(f'"{text}0{text}": x', "f")
    assert not problems and list(root.entries) == [f"{text}0{text}"]
    try_load("".join(map(chr, range(0xE000, 0xF900))))


line = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.sampled_from(" ${}:#'\""), min_size=1
).map(str.strip)
line = line.filter(lambda text: text and text.isprintable())
visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)
name = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,10}", fullmatch=True)
model_text = visible.filter(lambda text: "*" not in text)
maybe = st.none() | durations.filter(lambda seconds: seconds >= 0.1)
sizes = st.integers(1024, 64 * 1024**3)
words = st.sampled_from(["yes", "off", "null", "~", "1:30", "0x1", "<<", "[a]", "*a", "${A}", "$${B}", "- x", "a: b"])

numbers = st.sampled_from([0.001, 0.5, 1.0, 2.0, 33.333, 999_999.125, 1_000_000.0])


@st.composite
def targets(draw: st.DrawFn) -> tuple[Target, ...]:
    """Ranks of one or more."""
    models = draw(st.lists(model_text, min_size=1, max_size=4, unique=True))
    tied = [False, *(draw(st.booleans()) for _ in models[1:])]
    weights = [draw(numbers) if equal or also else 1.0 for equal, also in zip(tied, [*tied[1:], False], strict=True)]
    return tuple(Target("openai", *each) for each in zip(models, weights, tied, strict=True))


def learnt(bounds: list[float]) -> Deadlines:
    floor, ceiling = bounds
    return Deadlines(between_tokens=ceiling, silence=SilenceRules(floor=floor, ceiling=ceiling))


routes = st.builds(
    Route,
    name=(line | words).filter(lambda text: "*" not in text),
    targets=targets(),
    balance=st.sampled_from(["least_loaded", "weighted"]),
    deadlines=st.builds(
        Deadlines,
        connect=durations,
        first_token=maybe,
        between_tokens=maybe,
        total=maybe,
        min_rate=st.none() | st.builds(MinRate, tokens=numbers, window=durations),
    )
    | st.tuples(durations, durations).map(sorted).map(learnt),
    delivery=st.builds(
        Delivery,
        keepalive=maybe,
        commit_after=maybe,
        slow_client=st.builds(SlowClient, buffer=sizes, timeout=maybe, merge=st.booleans()),
        max_frame=sizes,
        settle=durations,
        malformed=st.sampled_from(["skip", "fail"]),
        done_after_error=st.booleans(),
        pin_identity=st.booleans(),
        served_model=st.sampled_from(["show", "hide"]),
    ),
    mid_stream=st.sampled_from(["fail", "continue"]),
    hedge=st.none()
    | st.builds(HedgeAfter, fixed=durations)
    | st.builds(HedgeAfter, quantile=st.sampled_from([0.5, 0.9, 0.95, 0.999, 0.571])),
    tags=st.dictionaries(line | words, line | words | st.just(""), max_size=3).map(lambda tags: tuple(tags.items())),
)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    headers = draw(st.dictionaries(name.map(lambda text: f"x-{text.lower()}"), visible, max_size=2))
    provider = Provider(
        name="openai",
        wire="openai-chat",
        base_url=draw(st.sampled_from(["https://h/v1", "http://[::1]:1/a${b", "https://h"])),
        api_key=draw(st.none() | visible),
        headers=tuple(headers.items()),
        ca=draw(st.none() | line),
        max_idle=draw(st.integers(0, 10_000)),
        max_streams=draw(st.none() | st.integers(1, 1_000_000)),
        prefill=draw(st.sampled_from([None, *WORDS])),
    )
    chosen = draw(st.lists(routes, min_size=1, max_size=3, unique_by=lambda route: route.name))
    models = st.lists(st.sampled_from([route.name for route in chosen]), unique=True, max_size=2).map(tuple)
    key = st.builds(Key, name=line | words, key=visible, models=models, admin=st.booleans())
    keys = draw(st.lists(key, max_size=3, unique_by=lambda key: key.name))
    server = st.builds(
        Server,
        host=st.sampled_from(["::1", "localhost"] + ["0.0.0.0"] * bool(keys)),
        port=st.integers(0, 65535),
        drain=durations,
        max_body=sizes,
        max_buffered=sizes,
    )
    return Config(
        server=draw(server),
        providers=(provider,),
        routes=tuple(chosen),
        keys=tuple(keys),
        ledger=draw(st.none() | st.builds(Ledger, spool=line, spool_size=st.just(2**20), abandoned=st.just(90.0))),
        telemetry=Telemetry(prometheus=draw(st.booleans()), log=draw(st.sampled_from(["json", "console"]))),
    )


def masked(config: Config) -> Config:
    replace = msgspec.structs.replace
    return replace(
        config,
        providers=tuple(
            replace(p, api_key=p.api_key and "***", headers=tuple((name, "***") for name, _ in p.headers))
            for p in config.providers
        ),
        keys=tuple(replace(key, key="***") for key in config.keys),
        warnings=(),
    )


@given(configs())
@settings(max_examples=300)
def test_what_is_shown_loads_as_what_it_was(config):
    again = load(show(config), {"A": "wrong", "B": "wrong"})
    assert msgspec.structs.replace(again, warnings=()) == masked(config)


def test_the_demo_is_shown_too():
    config = demo_config("http://127.0.0.1:1/v1")
    assert load(show(config), {}) == config


SECRET = "s3cr3t" * 4
SECRET_PLACES = st.sampled_from(
    [
        "providers: {p: {wire: openai-chat, base_url: 'https://h/v1', api_key: %s}}",
        "providers: {p: {wire: soap, base_url: x, headers: {x-a: %s}}}",
        "providers: {p: {headers: {host: %s, authorization: %s}, api_key: %s}}",
        "providers: {p: {headers: %s}}",
        "providers: {p: %s}",
        "providers: {p: {api_key:%s}}",
        "providers: {p: {base_url: 'https://user:%s@h/v1'}}",
        "providers: {p: {base_url: 'ftp://%s@h/v1?x'}}",
        "providers: {p: {base_url: 'https://h/v1?key=%s'}}",
        "keys: %s",
        "keys: [%s]",
        "keys: [{name: a, key: %s}, {name: a, key: %s}]",
        "keys: [{name: a, key: [%s]}]",
        "keys: [{name: a, key: *%s}]",
        "keys: [{name: a, key: &%s x, models: &%s y}]",
        "keys: [{name: a, key: !%s x}]",
        "ledger: {url: %s}",
        "ledger: {url: 'postgresql://me:%s@h'}",
        "journal: {url: [%s]}",
        "telemetry: {otlp: %s}",
    ]
)


@given(
    SECRET_PLACES, st.sampled_from([SECRET, "${SECRET}", "${SECRET} x", "${NONE:-" + SECRET + "}", SECRET + "\u00e9"])
)
def test_no_secret_is_in_any_message(place, written):
    text = place.replace("%s", written)
    try:
        told = str(load(text, {"SECRET": SECRET}).warnings)
    except ConfigError as error:
        told = str(error) + repr(error.problems)
    assert SECRET not in told
