"""Every mistake: its line, its key, what was found, what is allowed."""

from __future__ import annotations

import pytest

from penstock.config import load

P = "providers: {openai: {wire: openai-chat, base_url: https://api.openai.com/v1}}\n"
R = "routes: {gpt-4o: {targets: [openai/gpt-4o]}}\n"
KEY = "0123456789abcdef"
D = "a duration such as 500ms, 15s, 10m"
URL = "an address such as https://api.openai.com/v1"
H = "a duration such as 800ms, a quantile from p50 to p99.9, or null"
BUDGET = "US dollars a month such as 50 or 12.50, or {day: 5, month: 50}"
LEDGER = "sqlite:///penstock.db, or postgresql://user:password@host/name"
LATER = "not available in this version"


def route(policy: str) -> str:
    return f"{P}routes:\n  gpt-4o:\n    targets: [openai/gpt-4o]\n    {policy}\n"


def provider(keys: str) -> str:
    return f"{R}providers:\n  openai:\n    {keys}\n"


def keys(element: str) -> str:
    return f"{P}{R}keys:\n- {element}\n"


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
    # routes
    (
        "route null",
        P + "routes:\n  gpt-4o:",
        ":3: routes.gpt-4o.targets: missing; allowed: a list such as [openai/gpt-4o]",
    ),
    (
        "no target",
        P + "routes: {a: {targets: []}}",
        ":2: routes.a.targets: a route needs a target; found a list; allowed",
    ),
    ("target text", P + "routes: {a: {targets: openai/x}}", ':2: routes.a.targets: found "openai/x"; allowed: a list'),
    (
        "target",
        P + "routes: {a: {targets: [openai]}}",
        ':2: routes.a.targets[0]: found "openai"; allowed: provider/model',
    ),
    (
        "unknown provider",
        P + "routes:\n  a:\n    targets:\n    - openai/x\n    - opena/x",
        ':6: routes.a.targets[1]: no provider is named "opena"; did you mean "openai"?; found "opena/x"; '
        "allowed: provider/model with one of: openai",
    ),
    (
        "star",
        P + "routes: {a: {targets: [openai/*]}}",
        'targets[0]: only the route "*" passes the client\'s model name',
    ),
    ("pattern", P + 'routes: {"*": {targets: [openai/gpt-*]}}', "targets[0]: a pattern is not understood; found"),
    (
        "route pattern",
        P + "routes: {gpt-*: {targets: [openai/x]}}",
        ":2: routes.gpt-*: a pattern is not understood; allowed",
    ),
    ("target twice", P + "routes: {a: {targets: [openai/x, openai/x]}}", "targets[1]: the same target twice; found"),
    (
        "empty rank",
        P + "routes: {a: {targets: [openai/x, []]}}",
        ":2: routes.a.targets[1]: a rank needs a target; found a list; allowed: a list of targets of equal rank",
    ),
    (
        "target twice in a rank",
        P + "routes: {a: {targets: [[openai/x, {target: openai/x, weight: 2}]]}}",
        "targets[0][1]: the same target twice; found a mapping; allowed: each target once",
    ),
    (
        "weight alone",
        P + "routes: {a: {targets: [{target: openai/x, weight: 2}]}}",
        "targets[0]: only targets of equal rank have a weight; found a mapping; allowed: provider/model, or a list",
    ),
    (
        "weight",
        P + "routes:\n  a:\n    targets:\n    - - {target: openai/x, weight: 0}\n      - openai/y",
        ':5: routes.a.targets[0][0].weight: found "0"; allowed: a number above 0, such as 3 or 0.5, up to 1000000',
    ),
    ("no target in it", P + "routes: {a: {targets: [[{weight: 2}]]}}", "targets[0][0].target: missing; allowed: prov"),
    (
        "key of a target",
        P + "routes: {a: {targets: [[{openai/x: 2}]]}}",
        "targets[0][0].openai/x: unknown key; allowed: target, weight",
    ),
    ("rank in a rank", P + "routes: {a: {targets: [[[openai/x]]]}}", "targets[0][0]: found a list; allowed: provider/"),
    ("balance", route("balance: fair"), ':5: routes.gpt-4o.balance: found "fair"; allowed: least_loaded or weighted'),
    ("route name", P + "routes: {'': {targets: [openai/x]}}", ':2: routes."": not usable as a model\'s name'),
    # durations
    (
        "parsecs",
        route("deadlines:\n      first_token: 15 parsecs"),
        f':6: routes.gpt-4o.deadlines.first_token: found "15 parsecs"; allowed: {D}, or null',
    ),
    ("negative", route("deadlines: {total: -5s}"), f'deadlines.total: found "-5s"; allowed: {D}, or null'),
    ("zero", route("deadlines: {total: 0}"), 'deadlines.total: too short; found "0"; allowed: 1ms or more, or null'),
    ("connect zero", route("deadlines: {connect: 0s}"), 'connect: too short; found "0s"; allowed: 1ms or more'),
    ("connect null", route("deadlines: {connect: ~}"), f"connect: cannot be switched off; found null; allowed: {D}"),
    ("too fine", route("deadlines: {total: 1.5ms}"), 'total: finer than 1ms; found "1.5ms"; allowed: '),
    ("too long", route("deadlines: {total: 9000h}"), 'total: longer than a year; found "9000h"; allowed: '),
    (
        "auto",
        route("deadlines: {between_tokens: automatic}"),
        f'between_tokens: found "automatic"; allowed: {D}, auto, or null',
    ),
    (
        "auto's bounds",
        route("deadlines: {between_tokens: {floor: 10s, ceiling: 5s}}"),
        ":5: routes.gpt-4o.deadlines.between_tokens: floor is above ceiling; allowed: a floor that is no longer than",
    ),
    (
        "auto's keys",
        route("deadlines: {between_tokens: {flor: 10s}}"),
        'between_tokens.flor: unknown key; did you mean "floor"?; allowed: floor, ceiling',
    ),
    (
        "auto for another",
        route("deadlines: {first_token: auto}"),
        f'first_token: found "auto"; allowed: {D}, or null',
    ),
    (
        "min_rate",
        route("deadlines: {min_rate: {window: 1s}}"),
        ":5: routes.gpt-4o.deadlines.min_rate.tokens_per_second: missing; allowed: a number above 0, such as 5",
    ),
    (
        "min_rate's shape",
        route("deadlines: {min_rate: 5}"),
        'deadlines.min_rate: found "5"; allowed: a mapping with tokens_per_second, window',
    ),
    (
        "min_rate's number",
        route("deadlines: {min_rate: {tokens_per_second: -1}}"),
        'min_rate.tokens_per_second: found "-1"; allowed: a number above 0',
    ),
    (
        "min_rate's window",
        route("deadlines: {min_rate: {tokens_per_second: 5, window: null}}"),
        "min_rate.window: cannot be switched off; found null",
    ),
    (
        "keepalive",
        route("delivery: {keepalive: 99ms}"),
        'keepalive: too short; found "99ms"; allowed: 100ms or more, or null',
    ),
    ("settle", route("delivery: {settle: null}"), "settle: cannot be switched off; found null"),
    (
        "buffer",
        route("delivery: {slow_client: {buffer: 1TB}}"),
        'slow_client.buffer: found "1TB"; allowed: a size such as',
    ),
    ("timeout", route("delivery: {slow_client: {timeout: x}}"), 'slow_client.timeout: found "x"; allowed: a duration'),
    (
        "merge and receipts",
        route("delivery: {slow_client: {merge: true}}\n    metadata: final"),
        ":6: routes.gpt-4o.metadata: metadata: final has a receipt over frames that slow_client.merge would change;"
        " allowed: metadata: off, or slow_client: {merge: false}",
    ),
    # words
    ("malformed", route("delivery: {malformed: keep}"), 'delivery.malformed: found "keep"; allowed: skip or fail'),
    ("hedge", route("hedge: soon"), f':5: routes.gpt-4o.hedge: found "soon"; allowed: {H}'),
    ("hedge's quantile", route("hedge: p100"), f'hedge: found "p100"; allowed: {H}'),
    ("hedge at once", route("hedge: 0s"), f'hedge: too short; found "0s"; allowed: {H}'),
    ("fine hedge", route("hedge: 0.5ms"), f'hedge: finer than 1ms; found "0.5ms"; allowed: {H}'),
    ("hedge's shape", route("hedge: {after: 1s}"), f"hedge: found a mapping; allowed: {H}"),
    ("flag", route("delivery: {pin_identity: 2}"), 'delivery.pin_identity: found "2"; allowed: true or false'),
    ("tags", route("tags: [a]"), ":5: routes.gpt-4o.tags: found a list; allowed: a mapping of names to text"),
    ("tag", route("tags: {a: [b]}"), ":5: routes.gpt-4o.tags.a: found a list; allowed: text on one line"),
    ("tag's name", route("tags: {'': b}"), ':5: routes.gpt-4o.tags."": not usable as a tag\'s name'),
    ("log", P + R + "telemetry: {log: xml}", ':3: telemetry.log: found "xml"; allowed: json or console'),
    # what is not built yet
    ("metadata", route("metadata: loud"), ':5: routes.gpt-4o.metadata: found "loud"; allowed: off or final or live'),
    ("metadata_every", route("metadata_every: 0"), 'metadata_every: found "0"; allowed: a whole number from 1'),
    (
        "capture without sinks",
        route("capture: {}"),
        ":5: routes.gpt-4o.capture: the copies have nowhere to go;",
    ),
    ("sample", route("capture: {sample: 120%}"), 'capture.sample: found "120%"; allowed: a share such as 0.1 or 10%'),
    ("content", route("capture: {content: all}"), 'capture.content: found "all"; allowed: redacted or original'),
    (
        "no sink",
        P + R + "capture: {key: null}",
        ":3: capture: no sink is configured; allowed: files, webhook,",
    ),
    (
        "copies without a ledger",
        P + R + "ledger: null\ncapture: {database: {spool: s}}",
        ":4: capture.database: there is no ledger whose database could take copies; allowed: ledger:",
    ),
    ("database's spool", P + R + "capture: {database: {keep: 1d}}", "capture.database.spool: missing"),
    ("database's keep", P + R + "capture: {database: {spool: s, keep: 5s}}", "capture.database.keep: too short"),
    ("capture key", P + R + "capture: {files: {directory: d}, key: short-secret}", "capture.key: found ***"),
    ("webhook's spool", P + R + "capture: {webhook: {url: 'http://x'}}", "capture.webhook.spool: missing"),
    ("webhook's url", P + R + "capture: {webhook: {url: 'http://u:p@x', spool: s}}", "webhook.url: found ***"),
    (
        "original without key",
        route("capture: {content: original}") + "capture: {files: {directory: d}}",
        ":5: routes.gpt-4o.capture: copies of original content need a key; allowed: capture.key",
    ),
    (
        "tokenised copies",
        route("capture: {}\n    stages: [{redact: {detectors: [email], action: tokenise}}]")
        + "capture: {files: {directory: d}}",
        ":5: routes.gpt-4o.capture: with tokenise the client gets its own text back",
    ),
    (
        "mid_stream",
        route("mid_stream: resume"),
        ':5: routes.gpt-4o.mid_stream: found "resume"; allowed: fail or continue',
    ),
    (
        "on_disconnect",
        route("delivery: {on_disconnect: keep}"),
        'on_disconnect: found "keep"; allowed: cancel or drain or detach or auto',
    ),
    (
        "detach without a journal",
        route("delivery: {on_disconnect: detach}\njournal: null"),
        "routes.gpt-4o.delivery.on_disconnect: detach needs a journal; allowed: journal: {url: memory://}",
    ),
    (
        "limits url",
        P + R + "limits: {url: 'sqlite:///secret'}",
        ":3: limits.url: no limits can be shared there; allowed: redis://host:6379/0 or rediss://…",
    ),
    ("limits without url", P + R + "limits: {}", ":3: limits.url: missing; allowed: redis://host:6379/0 or rediss://…"),
    (
        "journal url",
        P + R + "journal: {url: 'file:///x'}",
        ":3: journal.url: no journal can be kept there",
    ),
    (
        "journal total",
        P + R + "journal: {per_stream: 2MiB, total: 1MiB}",
        ":3: journal.total: less than one stream may hold; found ",
    ),
    ("journal key", P + R + "journal: {key: short-secret}", ":3: journal.key: found ***; allowed: a Fernet key"),
    (
        "journal keys",
        P + R + "journal: {key: [${EMPTY:-}, short-secret]}",
        ":3: journal.key[1]: found ***; allowed: a Fernet key: 32 bytes as url-safe base64, or a list of such keys",
    ),
    ("journal key mapping", P + R + "journal: {key: {a: b}}", ":3: journal.key: found a mapping; allowed: a Fernet"),
    (
        "mode",
        route("delivery: {mode: word}"),
        'delivery.mode: found "word"; allowed: passthrough or sentence or paragraph or full',
    ),
    (
        "continue with guards",
        route("mid_stream: continue\n    guards: {repetition: 4}"),
        "routes.gpt-4o.mid_stream: an answer that goes through stages, guards or a delivery mode cannot be continued",
    ),
    ("repetition", route("guards: {repetition: 1}"), 'guards.repetition: found "1"; allowed: a whole number from 3'),
    ("guard", route("guards: {max_chars: 1}"), 'guards.max_chars: unknown key; did you mean "max_characters"?'),
    ("stage", route("stages: [{redcat: {}}]"), "stages[0].redcat: no stage is named"),
    ("two stages", route("stages: [{redact: {detectors: [email]}, x: {}}]"), "stages[0]: more than one stage"),
    ("stages' shape", route("stages: 3"), "stages: found"),
    (
        "drain.tokens",
        route("delivery: {drain: {tokens: 0}}"),
        'drain.tokens: found "0"; allowed: a whole number from 1',
    ),
    (
        "in defaults",
        P + R + "defaults: {metadata: loud}",
        ':3: defaults.metadata: found "loud"; allowed: off or final or live',
    ),
    (
        "served_model",
        route("delivery: {served_model: false}"),
        'delivery.served_model: found "false"; allowed: show or hide',
    ),
    (
        "prefill",
        "providers: {p: {wire: openai-chat, base_url: 'https://h/v1', prefill: yes}}",
        ':1: providers.p.prefill: found "yes"; allowed: auto or none or message or prefix or partial or final',
    ),
    (
        "prefill of another wire",
        "providers: {p: {wire: gemini, base_url: 'https://h', prefill: message}}",
        ':1: providers.p.prefill: found "message"; allowed: auto or none',
    ),
    ("otlp", P + R + "telemetry: {otlp: 'http://u:p@h'}", f":3: telemetry.otlp: {LATER}; found ***; allowed: null"),
    ("ledger url", P + R + "ledger: {url: x}", f":3: ledger.url: found ***; allowed: {LEDGER}"),
    ("ledger file", P + R + "ledger: {url: 'sqlite:///'}", f":3: ledger.url: found ***; allowed: {LEDGER}"),
    ("ledger name", P + R + "ledger: {url: 'postgresql://h'}", f":3: ledger.url: found ***; allowed: {LEDGER}"),
    ("ledger spool", P + R + "ledger: {spool: []}", ":3: ledger.spool: found a list; allowed: the path of a folder"),
    ("journal ttl", P + R + "journal: {url: 'memory://', ttl: x}", f':3: journal.ttl: found "x"; allowed: {D}'),
    # keys
    (
        "keys text",
        P + R + "keys: sk-1",
        ":3: keys: found ***; allowed: a list such as [{name: team-a, key: ${TEAM_A_KEY}}]",
    ),
    ("key text", keys("sk-1"), ":4: keys[0]: found ***; allowed: a mapping with name, key, models, "),
    ("no name", keys(f"{{key: {KEY}}}"), ":4: keys[0].name: missing; allowed: a name for logs and accounts"),
    ("blank name", keys(f"{{key: {KEY}, name: ' '}}"), ':4: keys[0].name: found " "; allowed: a name for logs'),
    ("no key", keys("{name: a}"), ":4: keys[0].key: missing; allowed: the key's text, without spaces or line breaks"),
    ("null key", keys("{name: a, key: }"), ":4: keys[0].key: found null; allowed: the key's text"),
    ("empty key", keys("{name: a, key: ''}"), ":4: keys[0].key: found ***; allowed: the credential itself"),
    (
        "limit",
        keys(f"{{name: a, key: {KEY}, max_streams: 0}}"),
        'max_streams: found "0"; allowed: a whole number from 1 to 1000000000',
    ),
    (
        "budget",
        keys(f"{{name: a, key: {KEY}, budget_usd: much}}"),
        f'keys[0].budget_usd: found "much"; allowed: {BUDGET}',
    ),
    (
        "budget period",
        keys(f"{{name: a, key: {KEY}, budget_usd: {{week: 5}}}}"),
        "keys[0].budget_usd.week: unknown key; allowed: day, month",
    ),
    (
        "free budget",
        keys(f"{{name: a, key: {KEY}, budget_usd: {{day: 0}}}}"),
        f'keys[0].budget_usd.day: found "0"; allowed: {BUDGET}',
    ),
    (
        "budget without a ledger",
        keys(f"{{name: a, key: {KEY}, budget_usd: 5}}") + "\nledger: null",
        "keys: budget_usd needs a ledger, or a restart would forget what was spent; allowed: ledger: {url: sqlite:///",
    ),
    (
        "budget without metering",
        keys(f"{{name: a, key: {KEY}, budget_usd: 5}}") + "\nmetering: null",
        "keys: budget_usd needs metering, or what streams under way have cost is not known; allowed: metering: {}",
    ),
    (
        "no models",
        keys(f"{{name: a, key: {KEY}, models: []}}"),
        "keys[0].models: an empty list; allowed: a list of routes",
    ),
    (
        "models",
        keys(f"{{name: a, key: {KEY}, models: [gpt-4]}}"),
        ':4: keys[0].models[0]: no route has this name; did you mean "gpt-4o"?; found "gpt-4"; allowed: one of: gpt-4o',
    ),
    ("same name", keys(f"{{name: a, key: {KEY}}}\n- {{name: a, key: {KEY}2}}"), ':5: keys[1]: two keys are named "a"'),
    (
        "same key",
        keys(f"{{name: a, key: {KEY}}}\n- {{name: b, key: {KEY}}}"),
        ':5: keys[1]: "a" and "b" have the same key',
    ),
    # variables
    (
        "unset",
        P + R + "server: {port: ${PORT}}",
        ":3: server.port: the environment variable PORT is not set; allowed: set it, or",
    ),
    (
        "empty",
        P + R + "server: {port: ${EMPTY}}",
        ":3: server.port: the environment variable EMPTY is empty; allowed: set it",
    ),
    ("secret", provider("api_key: sk-${NONE}"), "api_key: the environment variable NONE is not set; allowed: set it"),
    (
        "malformed",
        P + R + "server: {host: '${'}",
        ':3: server.host: a reference that cannot be read; found "${"; allowed: ${NAME} or',
    ),
    ("operator", P + R + "server: {host: ${A:?no}}", ":3: server.host: a reference that cannot be read"),
    (
        "line break",
        provider("api_key: ${BREAK}"),
        "api_key: a line break or a character that cannot be shown is in it; found ***",
    ),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
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
