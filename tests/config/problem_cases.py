"""Mistakes in routes, keys and variables: a name, the file, and what has to be said."""

from __future__ import annotations

from config_texts import BUDGET, KEY, LATER, LEDGER, D, H, P, R, keys, provider, route

CASES = [
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
