"""Every recorded error body over real sockets: what clients of the same wire and of another one get of it.

One provider for each wire answers with the error that the asked model's name says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from penstock.config.values import Route, Target
from penstock.testing.client import Answer
from penstock.testing.corpus import MISSING, corpus
from penstock.testing.rig import LiveGateway, Rig, config
from penstock.testing.upstream import Seen, Step

pytestmark = pytest.mark.skipif(corpus() is None, reason=MISSING)

GROUPS = {
    "anthropic": "anthropic-messages",
    "google": "gemini",
    "vertex": "gemini",
    "cohere": "cohere-chat",
    "bedrock": "bedrock-converse",
    "huggingface": "tgi",
    "chatgpt-codex": "openai-responses",
}
"""The wire of a provider's errors; of all others it is openai-chat."""
ALONE = ("bedrock-invoke", "bedrock-converse", "cohere-v1", "tgi")
"""Wires whose errors no client speaks: not even Anthropic's, to which Bedrock's invoke is translated back."""
UPSTREAM_WIRES = (
    "openai-chat",
    "openai-responses",
    "anthropic-messages",
    "gemini",
    "ollama-chat",
    "cohere-chat",
    "cohere-v1",
    "tgi",
    "bedrock-converse",
    "bedrock-invoke",
)
NOT_PASSED = {"content-type", "server", "via"}
"""About the provider's own site and body."""


class ErrorBody(msgspec.Struct, frozen=True):
    """A row of the index that is the body of an HTTP error."""

    file: str
    kind: str
    provider: str
    status: int
    url: str | None = None
    content_type: str | None = None
    headers: dict[str, str] | None = None

    def read(self) -> bytes:
        folder = corpus()
        assert folder is not None
        return (folder / self.file).read_bytes()

    @property
    def number(self) -> int:
        return int(self.file.removeprefix("errors/")[:3])

    @property
    def wire(self) -> str:
        """What the provider spoke, by its address."""
        url = self.url or ""
        for mark, wire in (
            ("/chat/completions", "openai-chat"),
            ("/responses", "openai-responses"),
            ("/invoke", "bedrock-invoke"),
            ("cohere.com/v1/", "cohere-v1"),
            ("cohere.ai/v1/", "cohere-v1"),
            (":11434/api/", "ollama-chat"),
        ):
            if mark in url:
                return wire
        return GROUPS.get(self.provider, "openai-chat")


def error_bodies() -> dict[int, ErrorBody]:
    folder = corpus()
    if folder is None:
        return {}
    lines = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    rows = [msgspec.convert(line, ErrorBody) for line in lines if line["kind"] == "error"]
    return {row.number: row for row in rows}


ERRORS = error_bodies()


def answered(seen: Seen) -> list[Step]:
    """The error whose number is in the model's name, with the headers that were recorded."""
    asked = re.search(r"error-(\d+)", seen.path + seen.body.decode())
    assert asked is not None, seen.path
    row = ERRORS[int(asked[1])]
    headers = {"content-type": row.content_type, **(row.headers or {})}
    body = row.read()
    return [lambda turn: turn.whole(row.status, [(name, value) for name, value in headers.items() if value], body)]


async def gateway_to(rig: Rig, wire: str) -> LiveGateway:
    """A gateway whose every model is one of a provider that answers with errors."""
    upstream = await rig.upstream(answered)
    base = upstream.base_url if wire.startswith("openai-") else upstream.base_url.removesuffix("/v1")
    settings = config([base], provider={"wire": wire, "region": "us-east-1"})
    every = Route(name="*", targets=(Target("m1", "*"),), deadlines=settings.routes[0].deadlines)
    return await rig.gateway(settings=msgspec.structs.replace(settings, routes=(every,)))


async def ask(gateway: LiveGateway, client_wire: str, number: int, stream: bool = True) -> Answer:
    """A small question in a client's wire, for the model that stands for an error."""
    model, turns = f"error-{number}", [{"role": "user", "content": "Hello"}]
    chat = {"model": model, "stream": stream, "messages": turns}
    path, body = {
        "openai-chat": ("/v1/chat/completions", chat),
        "openai-responses": ("/v1/responses", {"model": model, "stream": stream, "input": "Hello", "store": False}),
        "anthropic-messages": ("/v1/messages", {**chat, "max_tokens": 9}),
        "ollama-chat": ("/api/chat", chat),
        "cohere-chat": ("/v2/chat", chat),
        "gemini": (
            f"/v1beta/models/{model}:" + ("streamGenerateContent?alt=sse" if stream else "generateContent"),
            {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
        ),
    }[client_wire]
    client = await gateway.connect()
    try:
        await client.post(path, body)
        return await client.answer()
    finally:
        client.close()


# -- what is to come of it, read with plain means ---------------------------------------------------------------------


def as_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def message_in(body: Mapping[str, Any]) -> str:
    """What a provider says, in whichever field."""
    error = body.get("error", body)
    if isinstance(error, str):
        return error
    if isinstance(error, dict):
        for name in ("message", "detail", "title"):
            if isinstance(error.get(name), str):
                return str(error[name])
    return ""


def type_in(body: Mapping[str, Any]) -> str:
    """What a provider calls it."""
    error = body.get("error")
    named = error if isinstance(error, dict) else body
    found = named.get("type") or named.get("status") or named.get("error_type") or named.get("code") or ""
    return found if isinstance(found, str) and found != "error" else ""


def own_shape(client_wire: str, body: bytes) -> dict[str, Any]:
    """The error's object in the shape that the client's wire has for it; it has a message."""
    said = json.loads(body)
    if client_wire in ("openai-chat", "openai-responses"):
        assert set(said) == {"error"} and {"message", "type", "param", "code"} <= set(said["error"])
    elif client_wire == "anthropic-messages":
        assert said["type"] == "error" and {"type", "message"} <= set(said["error"])
    elif client_wire == "gemini":
        assert {"code", "message", "status"} <= set(said["error"])
    elif client_wire == "ollama-chat":
        assert isinstance(said["error"], str)
        return {**said, "message": said["error"]}
    else:
        assert isinstance(said["message"], str)
        return dict(said)
    return dict(said["error"])


def check_headers(row: ErrorBody, answer: Answer) -> None:
    """Every recorded header came on: the wait, the limits, the request's id."""
    for name, value in (row.headers or {}).items():
        if name not in NOT_PASSED:
            assert answer.headers.get(name) == value, (row.file, name)
    assert answer.headers["content-type"].startswith("application/json"), row.file
    # Google names the wait in the body: clients find it where they look for it.
    if wait := re.search(rb'"retryDelay": ?"([\d.]+)s"', row.read()):
        assert answer.headers["retry-after"] == str(math.ceil(float(wait[1]))), row.file


def check_quoted(row: ErrorBody, client_wire: str, answer: Answer) -> None:
    """No JSON: the wire's own shape, with the status and the text."""
    message = own_shape(client_wire, answer.body)["message"]
    assert f"status {row.status}" in message, row.file
    assert " ".join(row.read()[:300].decode("utf-8", "replace").split()) in message, row.file


def check_told(row: ErrorBody, client_wire: str, answer: Answer) -> None:
    """The wire's own shape, with the provider's words and its name for it."""
    body = as_object(row.read())
    assert body is not None
    told = own_shape(client_wire, answer.body)
    assert message_in(body) in told["message"], row.file
    name = type_in(body)
    if client_wire == "anthropic-messages" and name == "server_error":
        # Its SDKs know it by another name.
        name = "api_error"
    if name:
        assert name in answer.body.decode(), (row.file, name)


def of(wire: str) -> list[ErrorBody]:
    return [row for row in ERRORS.values() if row.wire == wire]


def test_every_error_has_its_wire():
    assert len(ERRORS) == 227
    assert sum(len(of(wire)) for wire in UPSTREAM_WIRES) == 227
    assert all(of(wire) for wire in UPSTREAM_WIRES)
    assert sum(as_object(row.read()) is None for row in ERRORS.values()) == 8
    assert sum(b'"retryDelay"' in row.read() or "retry-after" in (row.headers or {}) for row in ERRORS.values()) == 3


@pytest.mark.parametrize("wire", [wire for wire in UPSTREAM_WIRES if wire not in ALONE])
async def test_a_client_of_the_same_wire_gets_the_error_as_it_was(rig, wire):
    gateway = await gateway_to(rig, wire)
    for row in of(wire):
        for stream in (True, False):
            answer = await ask(gateway, wire, row.number, stream)
            assert answer.status == row.status, row.file
            check_headers(row, answer)
            if as_object(row.read()) is None:
                check_quoted(row, wire, answer)
            else:
                assert answer.body == row.read(), row.file


@pytest.mark.parametrize("client_wire", ["openai-chat", "anthropic-messages", "openai-responses", "ollama-chat"])
@pytest.mark.parametrize("wire", UPSTREAM_WIRES)
async def test_a_client_of_another_wire_gets_it_in_its_own_words(rig, wire, client_wire):
    if client_wire == wire:
        return
    gateway = await gateway_to(rig, wire)
    for row in of(wire):
        answer = await ask(gateway, client_wire, row.number)
        assert answer.status == row.status, row.file
        check_headers(row, answer)
        if as_object(row.read()) is None:
            check_quoted(row, client_wire, answer)
        else:
            check_told(row, client_wire, answer)
