"""Over real sockets, on every client wire: secrets at every split, and not one piece of them reaches the client.

One answer holds the secret once for each split, with a word between, so that every one of them is tried in one stream.
"""

import json
import re
from typing import Any

import pytest
from answers import WIRES, Wire
from test_editors import meaning

from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.rig import MODEL, Rig
from penstock.testing.steps import hdr, raw

JWT = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIiwi" + "bmFtZSI6" * 15
JWT += "." + "k3_-" * 15 + "Q1"
PEM = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n" * 3
PEM += "-----END PRIVATE KEY-----"
SECRETS = {
    "jwt": JWT,
    "private_key": PEM,
    "email": "q" * 64 + "@zebra.example",
    "iban": "DE89 3704 0044 0532 0130 00",
    "phone": "+44 20 7946 0958",
}
STAGES = (RedactPolicy(detectors=tuple(SECRETS)),)
KINDS = [
    pytest.param(wire, kind, id=f"{name}, {kind}")
    for name, wire in WIRES.items()
    for kind in ("texts", "thoughts", "calls")
    if getattr(wire, kind) is not None
]
TYPES = {"ollama-chat": "application/x-ndjson"}


def test_the_token_is_as_long_as_it_is_said_to_be():
    assert len(JWT) == 248


def deltas(secret: str, kind: str) -> list[str]:
    """The secret once for each split; in arguments as one of them."""
    escaped = json.dumps(secret)[1:-1]
    pieces: list[str] = []
    for cut in range(1, len(escaped)):
        pieces += [f"w{cut} {escaped[:cut]}", f"{escaped[cut:]} . "]
    return ['{"a":["', *pieces, '"]}'] if kind == "calls" else pieces


async def ask(rig: Rig, wire: Wire, frames: list[bytes], stream: bool, **options: Any) -> Any:
    array = wire.name == "gemini" and not wire.query
    kind = "application/json" if array else TYPES.get(wire.name, "text/event-stream")
    upstream = await rig.upstream([hdr(content_type=kind), *map(raw, frames)])
    gateway = await rig.gateway(upstream, wire=wire.name, **options)
    path, body = wire.path, {**json.loads(wire.body), "model": MODEL, "stream": stream}
    if wire.name == "gemini":
        path = path if stream else path.replace("streamGenerateContent", "generateContent")
        path += f"?{wire.query}" if wire.query and stream else ""
        body = json.loads(wire.body)
    answer = await gateway.post(path, body)
    return answer, await gateway.record()


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(("wire", "kind"), KINDS)
async def test_no_piece_of_a_secret_leaks_at_any_split(rig, wire, kind, secret, stream):
    if wire.name == "gemini" and not wire.query and not stream:
        pytest.skip("the array is a form of streams")
    text = SECRETS[secret]
    given = deltas(text, kind)
    answer, record = await ask(rig, wire, getattr(wire, kind)(given), stream, stages=STAGES)
    assert answer.status == 200
    escaped = json.dumps(text)[1:-1]
    seen = said(wire, answer.body, stream)
    count = len(escaped) - 1
    assert seen.count(f"[{secret}]") >= count, seen[:400]
    assert not leaked(seen, escaped)
    assert not leaked(answer.body.decode(), escaped)
    assert record["redactions"] == {secret: count}
    assert record["outcome"] == "completed"


def said(wire: Wire, body: bytes, stream: bool) -> str:
    """All that the client has, as one text."""
    whole = wire.whole(body) if stream else json.loads(body)
    return json.dumps(meaning(whole))


def leaked(seen: str, secret: str) -> list[str]:
    """Pieces of eight characters of the secret that are in what was seen."""
    pieces = {secret[at : at + 8] for at in range(len(secret) - 7)}
    return [piece for piece in pieces if piece in seen]


@pytest.mark.parametrize(("wire", "kind"), KINDS)
async def test_an_iban_over_twelve_deltas(rig, wire, kind):
    iban = SECRETS["iban"]
    given = [iban[at : at + 2] for at in range(0, len(iban), 2)]
    assert len(given) >= 12
    given = ['{"to":"', *given, '"}'] if kind == "calls" else ["to ", *given, " now"]
    answer, record = await ask(rig, wire, getattr(wire, kind)(given), True, stages=STAGES)
    assert "[iban]" in said(wire, answer.body, True)
    assert not re.search(rb"DE89|3704|0532", answer.body)
    assert record["redactions"] == {"iban": 1}
