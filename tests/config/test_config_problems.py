"""Every mistake: its line, its key, what was found, what is allowed."""

from __future__ import annotations

import pytest
from config_texts import KEY, URL, D, P, R, provider, route
from problem_cases import CASES as MORE

from penstock.config import load

CASES = [
    # YAML itself
    ("not a mapping", "hello", ':1: found "hello"; allowed: a mapping with server, providers'),
    ("syntax", P + R + "keys: [", ":3: not YAML: expected the node content"),
    ("tab", P + R + "\tserver: {}", ":3: not YAML: found character"),
    ("control character", P + R + "# \x00", ":3: not YAML: a character that no text file may hold"),
    ("bad escape", 'server: {host: "\\UFFFFFFFF"}', "not YAML: a character or number that does not exist"),
    ("two documents", P + R + "---\na: 1", ":3: not YAML: but found another document"),
    ("alias", P + R + "keys: *abc", ":3: not YAML: an alias without an anchor; put text that begins with * in quotes"),
    ("anchor twice", "a: &x 1\nb: &x 2", ":2: not YAML: an anchor is defined twice"),
    ("recursive", "server: &a {host: *a}", "not usable: nested too deeply, or refers to itself"),
    ("deep", "[" * 5000, "not usable: nested too deeply"),
    ("tag", P + R + "server: {host: !foo x}", ":3: server.host: a YAML tag has no meaning here"),
    ("complex key", P + R + "server: {[a]: x}", ":3: server: a key must be text"),
    ("twice", P + R + "server:\n  port: 1\n  port: 2", ":5: server.port: given twice, first in line 4"),
    ("twice at the top", P + R + P, ":3: providers: given twice, first in line 1"),
    ("merge", P + R + "server: {<<: 5}", ":3: server.<<: allowed: mappings, such as *anchor"),
    # unknown keys
    ("unknown", P + R + "sever: {}", ':3: sever: unknown key; did you mean "server"?; allowed: server, providers, '),
    ("unknown, far off", P + R + "zzz: 1", ":3: zzz: unknown key; allowed: server, "),
    ("unknown, odd", P + R + '"a\\nb": 1', ':3: "a\\nb": unknown key; allowed: '),
    (
        "unknown deadline",
        route("deadlines: {first_tokn: 1s}"),
        ':5: routes.gpt-4o.deadlines.first_tokn: unknown key; did you mean "first_token"?; '
        "allowed: connect, first_token, between_tokens, total",
    ),
    (
        "targets in defaults",
        P + R + "defaults: {targets: []}",
        ":3: defaults.targets: unknown key; ",
    ),
    ("no space", provider("{wire: openai-chat, api_key:sk-1}"), ":4: providers.openai.api_key: a space is missing"),
    # nothing, or half of it
    ("empty", "", ":1: no provider and no route is configured; allowed: at the least: {providers: {openai: {wire: "),
    ("null", "~", ":1: no provider and no route is configured"),
    ("null variable", "${A:-}", ":1: no provider and no route is configured"),
    ("list", "- a", ":1: found a list; allowed: a mapping with server"),
    ("no routes", P, ":1: routes: none is configured; allowed: at the least: {providers: "),
    ("no providers", R + "providers:\n", ":2: providers: none is configured; allowed: at the least: {providers: "),
    # server
    ("port", P + R + "server: {port: http}", ':3: server.port: found "http"; allowed: a whole number from 0 to 65535'),
    ("port 70000", P + R + "server: {port: 70000}", ':3: server.port: found "70000"; allowed: a whole number from 0'),
    ("port 1:30", P + R + "server: {port: 1:30}", ':3: server.port: found "1:30"; allowed: a whole number'),
    ("port 0x50", P + R + "server: {port: 0x50}", ':3: server.port: found "0x50"; allowed: a whole number'),
    ("port list", P + R + "server: {port: [1]}", ":3: server.port: found a list; allowed: a whole number"),
    ("port null", P + R + "server: {port: null}", ":3: server.port: found null; allowed: a whole number"),
    (
        "host",
        P + R + "server: {host: 'http://x'}",
        ':3: server.host: found "http://x"; allowed: an address to listen on',
    ),
    (
        "open",
        P + R + "server:\n  host: 0.0.0.0",
        ':4: server.host: without keys the gateway serves everyone who reaches it; found "0.0.0.0"; '
        "allowed: 127.0.0.1, ::1 or localhost, or keys",
    ),
    ("open, empty keys", P + R + "server: {host: '::'}\nkeys: []", ":3: server.host: without keys the gateway serves"),
    (
        "workers 0",
        P + R + "server: {workers: 0}",
        ':3: server.workers: found "0"; allowed: a whole number from 1 to 256',
    ),
    ("reuse_port", P + R + "server: {reuse_port: 1}", ':3: server.reuse_port: found "1"; allowed: true or false'),
    (
        "drain null",
        P + R + "server: {drain: null}",
        f":3: server.drain: cannot be switched off; found null; allowed: {D}",
    ),
    ("max_body", P + R + "server: {max_body: big}", ':3: server.max_body: found "big"; allowed: a size such as 256KiB'),
    ("max_body 5", P + R + "server: {max_body: 5}", ':3: server.max_body: found "5"; allowed: 1KiB to 64GiB'),
    ("server text", P + R + "server: here", ':3: server: found "here"; allowed: a mapping with host, port'),
    # providers
    ("provider null", R + "providers: {openai: }", ":2: providers.openai.wire: missing; allowed: openai-chat"),
    ("provider text", R + "providers: {openai: sk-abcdef}", ":2: providers.openai: found ***; allowed: a mapping with"),
    (
        "provider name",
        R + "providers: {'a b': {wire: openai-chat, base_url: 'http://h/v1'}}",
        'providers."a b": not usable',
    ),
    ("wire", provider("wire: soap"), ':4: providers.openai.wire: found "soap"; allowed: openai-chat'),
    ("no base_url", provider("wire: openai-chat"), f":3: providers.openai.base_url: missing; allowed: {URL}"),
    ("ftp", provider("base_url: ftp://h/v1"), f':4: providers.openai.base_url: found "ftp://h/v1"; allowed: {URL}'),
    ("no host", provider("base_url: https:///v1"), f'base_url: found "https:///v1"; allowed: {URL}'),
    ("bad ipv6", provider("base_url: https://[::1/v1"), f'base_url: found "https://[::1/v1"; allowed: {URL}'),
    ("bad port", provider("base_url: https://h:x/v1"), f'base_url: found "https://h:x/v1"; allowed: {URL}'),
    ("space", provider("base_url: https://h/a b"), f'base_url: found "https://h/a b"; allowed: {URL}'),
    (
        "userinfo",
        provider("base_url: https://u:pw@h/v1"),
        "base_url: a credential does not belong in the address; found ***",
    ),
    (
        "query",
        provider("base_url: https://h/v1?k=pw"),
        "base_url: a query or fragment cannot be kept; found ***; allowed",
    ),
    ("fragment", provider("base_url: https://h/v1#x"), "base_url: a query or fragment cannot be kept; found"),
    (
        "endpoint",
        provider("base_url: https://h/v1/chat/completions/"),
        "base_url: the gateway adds /chat/completions itself",
    ),
    (
        "api_key space",
        provider("api_key: a b"),
        ":4: providers.openai.api_key: found ***; allowed: the credential itself",
    ),
    ("api_key list", provider("api_key: [x]"), ":4: providers.openai.api_key: found a list; allowed: the credential"),
    (
        "headers text",
        provider("headers: secret"),
        ":4: providers.openai.headers: found ***; allowed: a mapping of header",
    ),
    ("header name", provider("headers: {'a b': c}"), 'providers.openai.headers."a b": not usable as a header\'s name'),
    ("header own", provider("headers: {Host: c}"), "headers.Host: the gateway sets this header itself; allowed: other"),
    ("header twice", provider("headers: {a: b, A: c}"), "headers.A: given twice, in different letters; allowed: each"),
    (
        "header line",
        provider('headers: {a: "b\\r\\nc"}'),
        "headers.a: a line break or a character that cannot be shown",
    ),
    ("header text", provider("headers: {a: é}"), "headers.a: found ***; allowed: ASCII text without spaces around it"),
    ("header null", provider("headers: {a: }"), "headers.a: found null; allowed: text on one line"),
    (
        "authorization",
        provider("api_key: x\n    headers: {Authorization: y}"),
        "Authorization: api_key sets this header",
    ),
    # credentials
    ("no words", provider("api_key_command: []"), ":4: providers.openai.api_key_command: allowed: a list of a program"),
    (
        "command text",
        provider("api_key_command: vault read"),
        'api_key_command: found "vault read"; allowed: a list',
    ),
    ("no program", provider("api_key_command: ['', x]"), "api_key_command: allowed: a list of a program"),
    ("file", provider("api_key_file: ''"), 'api_key_file: found ""; allowed: the path of a file that holds the key'),
    (
        "two keys",
        provider("api_key: k\n    api_key_file: f"),
        ":5: providers.openai.api_key_file: api_key gives the key already; allowed: one of api_key, api_key_command,",
    ),
    (
        "ttl alone",
        provider("api_key_ttl: 5m"),
        "api_key_ttl: only the key of api_key_command grows old",
    ),
    ("ttl", provider("api_key_command: [x]\n    api_key_ttl: soon"), 'api_key_ttl: found "soon"; allowed: a duration'),
    ("header beside a command", provider("api_key_command: [x]\n    headers: {authorization: y}"), "api_key sets this"),
    (
        "api_version",
        provider("wire: gemini\n    api_version: v1"),
        "api_version: only Azure OpenAI has versions; allowed: with the wires openai-chat and openai-responses",
    ),
    ("api_version text", provider("api_version: 'a&b'"), 'api_version: found "a&b"; allowed: a version of the Azure'),
    (
        "region elsewhere",
        provider("wire: ollama-chat\n    region: us-east-1"),
        "region: ollama-chat is not a wire of",
    ),
    ("aws elsewhere", provider("wire: gemini\n    aws_access_key_id: x"), "aws_access_key_id: gemini is not a wire of"),
    (
        "region",
        provider("wire: bedrock-converse\n    region: Oregon"),
        'region: found "Oregon"; allowed: a region',
    ),
    (
        "no region",
        provider("wire: bedrock-converse\n    base_url: http://h"),
        ":3: providers.openai.region: missing: the base URL does not name it; allowed: a region of AWS",
    ),
    (
        "half a key of AWS",
        provider("wire: bedrock-invoke\n    region: us-east-1\n    aws_access_key_id: x"),
        ":3: providers.openai.aws_secret_access_key: missing beside aws_access_key_id; allowed: the id and the secret",
    ),
    (
        "a key and a signature",
        provider("wire: bedrock-invoke\n    api_key: k\n    aws_access_key_id: x\n    aws_secret_access_key: y"),
        "aws_access_key_id: api_key stands in place of a signature; allowed: one of the two",
    ),
    (
        "authorization of AWS",
        provider("wire: bedrock-invoke\n    headers: {authorization: x}"),
        "headers.authorization: api_key sets this header",
    ),
    (
        "path of AWS",
        provider("wire: bedrock-converse\n    base_url: https://h/model/x/converse-stream"),
        "base_url: the gateway adds the model's path itself; found",
    ),
    (
        "secret of AWS",
        provider("wire: bedrock-invoke\n    aws_secret_access_key: a b"),
        "aws_secret_access_key: found ***",
    ),
    ("ca", provider("ca: ''"), ':4: providers.openai.ca: found ""; allowed: the path of a PEM file'),
    ("max_idle", provider("max_idle: -1"), 'max_idle: found "-1"; allowed: a whole number from 0 to 10000'),
    (
        "max_streams",
        provider("max_streams: 0"),
        ':4: providers.openai.max_streams: found "0"; allowed: a whole number from 1 to 1000000',
    ),
]
ALL = [*CASES, *MORE]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in ALL], ids=[case[0] for case in ALL])
def test_one_mistake(text, expected, broken):
    problems = broken(text, {"EMPTY": "", "BREAK": "sk-1\n"})
    lines = [str(problem) for problem in problems]
    assert all("\n" not in line and line.startswith("penstock.yaml") for line in lines)
    assert any(expected in line for line in lines), lines


def test_the_parts_of_a_problem(broken):
    (problem,) = broken(route("deadlines:\n      first_token: 15 parsecs"))
    assert (problem.file, problem.line, problem.key) == ("penstock.yaml", 6, "routes.gpt-4o.deadlines.first_token")
    assert (problem.found, problem.message, problem.allowed) == ('"15 parsecs"', "", f"{D}, or null")


def test_all_problems_at_once_in_the_order_of_the_file(broken):
    problems = broken(
        "keys: [{name: a}]\n"
        "server: {port: x, drain: y}\n"
        "routes:\n  a: {targets: [nowhere/x]}\n"
        "providers:\n  p: {wire: soap, base_url: here}\n"
        "nonsense: 1\n"
    )
    assert [(problem.line, problem.key) for problem in problems] == [
        (1, "keys[0].key"),
        (2, "server.port"),
        (2, "server.drain"),
        (4, "routes.a.targets[0]"),
        (6, "providers.p.wire"),
        (6, "providers.p.base_url"),
        (7, "nonsense"),
    ]


def test_a_broken_provider_or_route_is_not_unknown_to_others(broken):
    problems = broken(
        "providers: {openai: {wire: soap, base_url: https://h/v1}}\n"
        "routes: {a: {targets: [openai/x], hedge: x}}\n"
        f"keys: [{{name: a, key: {KEY}, models: [a]}}]\n"
    )
    assert [problem.key for problem in problems] == ["providers.openai.wire", "routes.a.hedge"]


def test_long_values_are_cut(broken):
    (problem,) = broken(P + R + f"server: {{port: {'9' * 5000}}}")
    assert len(str(problem)) < 250


def test_the_minimal_configuration_that_an_empty_file_is_shown_loads(broken):
    (problem,) = broken("# nothing yet")
    minimal = problem.allowed.removeprefix("at the least: ")
    assert load(minimal, {"OPENAI_API_KEY": "sk"}).routes[0].name == "*"


def test_nested_aliases_do_not_explode(broken):
    levels = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 30))
    problems = broken("l0: &l0 [x]\n" + levels)
    assert all("unknown key" in str(problem) or "no provider" in str(problem) for problem in problems)
