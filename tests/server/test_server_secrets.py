"""A provider's credential never appears anywhere, not even when the provider echoes it."""

import json
from typing import Any

import pytest

from penstock.testing import frames
from penstock.testing.client import Answer
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import done, eof, fin, hdr, pause, raw, st, tok
from penstock.testing.upstream import Step

SECRET = "sk-provider-0123456789abcdef"
OTHER = "azure-key-fedcba9876543210"
ERROR = {"error": {"message": f"Incorrect API key provided: {SECRET}", "type": "x", "code": SECRET, "seen": [SECRET]}}
PROVIDER: dict[str, Any] = {"api_key": SECRET, "headers": (("api-key", OTHER), ("x-title", "penstock"))}
EARLY: dict[str, Any] = {"keepalive": 0.02, "commit_after": 0.02}

ECHOES: dict[str, list[Step]] = {
    "a JSON error body": [st(401, ERROR)],
    "a text error body": [st(500, f"no: Authorization: Bearer {SECRET}".encode())],
    "a page": [hdr(content_type="text/html"), raw(f"<html>{SECRET}</html>".encode())],
    "a header": [hdr(headers=[("x-debug", f"key={SECRET}")]), tok(1), fin(), done()],
    "a header of an error": [st(429, b"slow", [("x-debug", SECRET), ("retry-after", "1")])],
    "an error frame": [hdr(), tok(1), raw(frames.frame(ERROR)), eof()],
    "an error frame at once": [hdr(), raw(frames.frame(ERROR)), eof()],
    "an error document": [hdr(content_type="application/json"), raw(json.dumps(ERROR).encode())],
    "an error after the early 200": [pause(0.1), st(500, f"bad key {SECRET}".encode())],
    "a status line error, cut": [st(403, {"error": {"message": f"{SECRET} and {OTHER}"}})],
    "another credential": [st(401, {"error": {"message": f"unknown api-key {OTHER}"}}, [("x-echo", OTHER)])],
}


def check(gateway: LiveGateway, answer: Answer) -> None:
    """Neither credential anywhere."""
    said = [answer.body.decode(), str(answer.headers), *gateway.writer.lines, gateway.gateway.metrics.text().decode()]
    for text in said:
        assert SECRET not in text and OTHER not in text


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("echo", ECHOES)
async def test_an_echoed_credential_stays_inside(rig: Rig, echo: str, stream: bool, early: bool) -> None:
    upstream = await rig.upstream(ECHOES[echo])
    gateway = await rig.gateway(upstream, provider=PROVIDER, **(EARLY if early else {}))
    answer = await gateway.ask(stream)
    await gateway.record()
    assert upstream.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert upstream.requests[0].headers["api-key"] == OTHER
    check(gateway, answer)
    assert "***" in answer.body.decode() + str(answer.headers) or echo == "a page"


async def test_the_credential_of_a_target_that_failed_stays_inside_too(rig: Rig) -> None:
    first = await rig.upstream([st(500, f"bad key {SECRET}".encode(), [("x-echo", SECRET)])])
    second = await rig.upstream([st(503, b"down")])
    gateway = await rig.gateway(first, second, provider=PROVIDER)
    answer = await gateway.ask()
    record = await gateway.record()
    assert "***" in record["attempts"][0]["reason"]
    check(gateway, answer)


@pytest.mark.parametrize("word", ["ollama", "none", "EMPTY"])
async def test_a_placeholder_is_no_credential(rig: Rig, word: str) -> None:
    """Servers without keys are configured with some word, which may be in every message of theirs."""
    upstream = await rig.upstream([st(500, {"error": {"message": f"{word} is not running"}})])
    gateway = await rig.gateway(upstream, provider={"api_key": word})
    answer = await gateway.ask()
    assert answer.json["error"]["message"] == f"{word} is not running"
