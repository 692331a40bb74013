"""Credentials on their way to providers: commands, files, signatures, Azure; refused once and renewed."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from penstock.config.values import Config, Provider, Route, Target
from penstock.server.upstreams import upstream as ready
from penstock.testing.bedrock import answer
from penstock.testing.rig import Rig, until
from penstock.testing.steps import done, eof, fin, hdr, raw, st, tok, words
from penstock.testing.upstream import Seen, Step
from penstock.upstream.renewing import CredentialError

ANSWER: list[Step] = [hdr(), tok(2), fin(), done(), eof()]
REFUSAL: dict[str, Any] = {
    "error": {"message": "Incorrect API key", "type": "invalid_request_error", "code": "bad_key"}
}
KIND = "application/vnd.amazon.eventstream"


def only(key: str, header: str = "authorization", prefix: str = "Bearer ") -> Any:
    """A provider that lets one key in."""

    def script(seen: Seen) -> Sequence[Step]:
        return ANSWER if seen.headers.get(header) == prefix + key else [st(401, REFUSAL)]

    return script


def counting(tmp_path: Path, fail_at: int = 0, wait: float = 0.0) -> tuple[tuple[str, ...], Path]:
    """A command that prints ``secret-key-1``, ``secret-key-2``, … and the file that counts its runs."""
    counter = tmp_path / "runs"
    script = (
        "import pathlib, sys, time; path = pathlib.Path(sys.argv[1]); "
        "n = (int(path.read_text()) if path.exists() else 0) + 1; path.write_text(str(n)); "
        f"time.sleep({wait}); sys.exit('secret in words') if n == {fail_at} else print(f'secret-key-{{n}}')"
    )
    return (sys.executable, "-c", script, str(counter)), counter


async def test_a_command_gives_the_key_once(rig: Rig, tmp_path: Path) -> None:
    command, counter = counting(tmp_path)
    upstream = await rig.upstream(only("secret-key-1"))
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command})
    answers = await asyncio.gather(*(gateway.ask() for _ in range(5)))
    assert all(answer.text == words(2) for answer in answers) and counter.read_text() == "1"
    assert {seen.headers["authorization"] for seen in upstream.requests} == {"Bearer secret-key-1"}


async def test_it_is_fetched_at_the_start(rig: Rig, tmp_path: Path) -> None:
    command, counter = counting(tmp_path)
    await rig.gateway("http://127.0.0.1:9", provider={"api_key": None, "api_key_command": command})
    await until(counter.exists)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refused_key_is_renewed_and_the_request_goes_once_more(rig: Rig, tmp_path: Path, stream: bool) -> None:
    command, _ = counting(tmp_path)
    upstream = await rig.upstream(only("secret-key-2"))
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command})
    got = await gateway.ask(stream)
    record = await gateway.record()
    assert (got.status, got.text, record["outcome"]) == (200, words(2), "completed")
    assert [seen.headers["authorization"][-1] for seen in upstream.requests] == ["1", "2"]
    assert len(record["attempts"]) == 1 and record["attempts"][0]["status"] == 200
    assert (await gateway.ask()).text == words(2) and len(upstream.requests) == 3


async def test_many_refusals_cost_one_renewal(rig: Rig, tmp_path: Path) -> None:
    command, counter = counting(tmp_path, wait=0.05)
    upstream = await rig.upstream(only("secret-key-2"))
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command})
    answers = await asyncio.gather(*(gateway.ask() for _ in range(8)))
    assert all(answer.text == words(2) for answer in answers) and counter.read_text() == "2"


async def test_a_key_that_is_refused_again_is_the_providers_answer(rig: Rig, tmp_path: Path) -> None:
    command, counter = counting(tmp_path)
    upstream = await rig.upstream([st(401, REFUSAL)])
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command})
    got = await gateway.ask()
    assert got.status == 401 and got.json["error"]["code"] == "bad_key"
    assert len(upstream.requests) == 2 and counter.read_text() == "2"


async def test_a_refusal_without_another_key_goes_on_as_it_came(rig: Rig, tmp_path: Path) -> None:
    command, _ = counting(tmp_path, fail_at=2)
    upstream = await rig.upstream([st(401, REFUSAL)])
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command})
    got = await gateway.ask()
    assert got.status == 401 and got.json["error"]["message"] == "Incorrect API key" and len(upstream.requests) == 1


async def test_a_command_that_fails_says_so_and_the_next_target_serves(rig: Rig, tmp_path: Path) -> None:
    command, _ = counting(tmp_path, fail_at=1)
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command})
    got = await gateway.ask()
    assert got.status == 502 and got.error is not None and got.error["code"] == "connect_failed"
    assert "api_key_command of the provider m1 failed with exit status 1" in got.error["message"]
    assert "secret in words" not in got.body.decode() and not upstream.requests


async def test_a_client_that_leaves_does_not_stop_the_fetching(rig: Rig, tmp_path: Path) -> None:
    command, counter = counting(tmp_path, wait=0.2)
    upstream = await rig.upstream(only("secret-key-1"))
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command})
    client = await gateway.open()
    await until(counter.exists)
    client.close()
    assert (await gateway.record())["outcome"] == "client_closed"
    assert (await gateway.ask()).text == words(2) and counter.read_text() == "1"


async def test_waiting_for_a_key_is_connecting(rig: Rig, tmp_path: Path) -> None:
    command, _ = counting(tmp_path, wait=0.6)
    upstream = await rig.upstream(only("secret-key-1"))
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command}, connect=0.2)
    got = await gateway.ask()
    assert got.status == 502 and got.error is not None and "deadlines.connect" in got.error["message"]
    await asyncio.sleep(0.6)
    assert (await gateway.ask()).text == words(2)


async def test_a_renewed_key_stays_inside(rig: Rig, tmp_path: Path) -> None:
    command, _ = counting(tmp_path)
    echo = {"error": {"message": "no: secret-key-1 and secret-key-2", "code": "secret-key-2"}}
    upstream = await rig.upstream([st(401, echo, [("x-echo", "secret-key-1")])])
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_command": command})
    got = await gateway.ask()
    await gateway.record()
    for said in (got.body.decode(), str(got.headers), *gateway.writer.lines):
        assert "secret-key" not in said
    assert got.json["error"]["message"] == "no: *** and ***"


async def test_a_file_is_read_again_when_it_changed(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("first-key-of-all\n")
    upstream = await rig.upstream(
        lambda seen: (
            ANSWER if seen.headers["authorization"] == f"Bearer {path.read_text().strip()}" else [st(401, REFUSAL)]
        )
    )
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_file": str(path)})
    assert (await gateway.ask()).text == words(2)
    path.write_text("second-key-of-all\n")
    assert (await gateway.ask()).text == words(2)
    assert upstream.requests[-1].headers["authorization"] == "Bearer second-key-of-all"
    await asyncio.sleep(1.05)
    path.write_text("third-key-of-all\n")
    count = len(upstream.requests)
    assert (await gateway.ask()).text == words(2)
    assert len(upstream.requests) == count + 1


async def test_a_file_that_is_not_there(rig: Rig, tmp_path: Path) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, provider={"api_key": None, "api_key_file": str(tmp_path / "none")})
    got = await gateway.ask()
    assert got.status == 502 and got.error is not None
    assert "api_key_file of the provider m1 cannot be read" in got.error["message"]


async def test_the_key_goes_where_the_wire_wants_it(rig: Rig, tmp_path: Path) -> None:
    command, _ = counting(tmp_path)
    upstream = await rig.upstream([st(500, {"type": "error", "error": {"type": "api_error", "message": "x"}})])
    gateway = await rig.gateway(
        upstream, provider={"api_key": None, "api_key_command": command, "wire": "anthropic-messages"}
    )
    await gateway.ask()
    assert upstream.requests[0].headers["x-api-key"] == "secret-key-1"


async def test_a_slow_refusal_can_be_given_up(rig: Rig, tmp_path: Path) -> None:
    """The client leaves while another key is fetched."""
    command, counter = counting(tmp_path, wait=0.3)
    upstream = await rig.upstream([st(401, REFUSAL)])
    gateway = await rig.gateway(
        upstream, provider={"api_key": None, "api_key_command": command}, connect=5, first_token=5
    )
    client = await gateway.open()
    await until(lambda: counter.exists() and counter.read_text() == "2")
    client.close()
    assert (await gateway.record())["outcome"] == "client_closed" and gateway.pool_busy == 0
    await asyncio.sleep(0.4)


# -- Azure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "path"), [("", "/openai/deployments/model"), ("/openai/v1", "/openai/v1")])
async def test_azure(rig: Rig, base: str, path: str) -> None:
    upstream = await rig.upstream(only("azure-key", "api-key", ""))
    at = upstream.base_url.removesuffix("/v1") + base
    gateway = await rig.gateway(at, provider={"api_key": "azure-key", "api_version": "2024-10-21"})
    assert (await gateway.ask()).text == words(2)
    seen = upstream.requests[0]
    assert seen.path == f"{path}/chat/completions?api-version=2024-10-21" and "authorization" not in seen.headers


async def test_azure_with_a_token_of_entra(rig: Rig) -> None:
    token = "eyJhbGciOiJub25lIn0.e30.c2ln"
    upstream = await rig.upstream(only(token))
    command = (sys.executable, "-c", f'print(\'{{"accessToken":"{token}","expires_on":99999999999}}\')')
    provider = {"api_key": None, "api_key_command": command, "api_version": "2024-10-21"}
    gateway = await rig.gateway(upstream.base_url.removesuffix("/v1"), provider=provider)
    assert (await gateway.ask()).text == words(2) and "api-key" not in upstream.requests[0].headers


async def test_azure_responses(rig: Rig) -> None:
    upstream = await rig.upstream([st(500, {"error": {"message": "x"}})])
    provider = {"wire": "openai-responses", "api_key": "azure-key", "api_version": "2025-04-01-preview"}
    gateway = await rig.gateway(upstream.base_url.removesuffix("/v1"), provider=provider)
    client = await gateway.connect()
    await client.post("/v1/responses", {"model": "m", "stream": True, "input": "Hello"})
    await client.answer()
    seen = upstream.requests[0]
    assert seen.path == "/openai/responses?api-version=2025-04-01-preview"
    assert seen.headers["api-key"] == "azure-key" and seen.json["model"] == "model"


# -- AWS ----------------------------------------------------------------------------------------------------------

AWS: dict[str, Any] = {
    "wire": "bedrock-converse",
    "api_key": None,
    "region": "eu-west-3",
    "aws_access_key_id": "AKIDEXAMPLE123",
    "aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG",
}
CONVERSE: list[Step] = [hdr(content_type=KIND), raw(answer("Hel", "lo")), eof()]


def verified(seen: Seen, secret: str) -> bool:
    """Whether a request, as it arrived, has the signature that botocore makes of it."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    given = seen.headers["authorization"]
    names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest("POST", f"http://{seen.headers['host']}{seen.path}", data=seen.body)
    for name in names:
        request.headers[name] = seen.headers[name]
    request.context["timestamp"] = seen.headers["x-amz-date"]
    auth = SigV4Auth(Credentials("AKIDEXAMPLE123", secret), "bedrock", "eu-west-3")
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return bool(given.endswith(f"Signature={signature}"))


@pytest.mark.parametrize("token", [None, "token/with+signs=="])
@pytest.mark.parametrize("model", ["amazon.nova-lite-v1:0", "arn:aws:bedrock:eu-west-3:1:inference-profile/eu.x-v1:0"])
async def test_aws_verifies_the_signature(rig: Rig, model: str, token: str | None) -> None:
    pytest.importorskip("botocore")
    secret = AWS["aws_secret_access_key"]
    upstream = await rig.upstream(lambda seen: CONVERSE if verified(seen, secret) else [st(403, {"message": "no"})])
    base = upstream.base_url.removesuffix("/v1")
    provider = Provider(
        name="aws",
        base_url=base,
        headers=(("x-amzn-bedrock-trace", "ENABLED"),),
        aws_session_token=token,
        **AWS,
    )
    settings = Config(providers=(provider,), routes=(Route(name="m", targets=(Target("aws", model),)),))
    gateway = await rig.gateway(settings=settings)
    for _ in range(2):
        assert (await gateway.ask(headers={"traceparent": "00-1-2-03"})).text == "Hello"
    seen = upstream.requests[0]
    assert seen.headers.get("x-amz-security-token") == token and ":" not in seen.path.partition("?")[0]
    assert "x-amzn-bedrock-trace" in seen.headers["authorization"] and seen.headers["traceparent"] == "00-1-2-03"


async def test_expired_credentials_of_the_chain_are_looked_for_anew(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("botocore")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    shared = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def write(secret: str) -> None:
        shared.write_text(f"[default]\naws_access_key_id = AKIDEXAMPLE123\naws_secret_access_key = {secret}\n")

    write("first-secret")
    expired = [("x-amzn-errortype", "ExpiredTokenException:http://internal.amazon.com/coral/")]
    refusal = [st(403, {"message": "The security token AKIDEXAMPLE123 is expired"}, expired)]
    upstream = await rig.upstream(lambda seen: CONVERSE if verified(seen, "second-secret") else refusal)
    provider = {"wire": "bedrock-converse", "api_key": None, "region": "eu-west-3"}
    gateway = await rig.gateway(upstream.base_url.removesuffix("/v1"), provider=provider)
    got = await gateway.ask()
    assert got.status == 403 and got.error is not None and got.error["message"] == "The security token *** is expired"
    write("second-secret")
    assert (await gateway.ask()).text == "Hello"
    assert (await gateway.ask()).text == "Hello" and len(upstream.requests) == 4


async def test_no_credentials_for_aws(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    upstream = await rig.upstream(CONVERSE)
    provider = {"wire": "bedrock-converse", "api_key": None, "region": "eu-west-3"}
    gateway = await rig.gateway(upstream, provider=provider)
    got = await gateway.ask()
    assert (
        got.status == 502
        and got.error is not None
        and "the AWS credentials of the provider m1 are missing" in got.error["message"]
    )


async def test_aws_quotes_what_was_signed_and_it_stays_inside(rig: Rig) -> None:
    pytest.importorskip("botocore")

    def refuse(seen: Seen) -> Sequence[Step]:
        words = (
            f"The Canonical String should have been x-amz-security-token:{seen.headers['x-amz-security-token']} {AWS}"
        )
        return [st(400, {"message": words})]

    upstream = await rig.upstream(refuse)
    gateway = await rig.gateway(upstream, provider={**AWS, "aws_session_token": "session-token-0123456789"})
    got = await gateway.ask()
    await gateway.record()
    for said in (got.body.decode(), str(got.headers), *gateway.writer.lines):
        assert "session-token-0123456789" not in said
        assert "AKIDEXAMPLE123" not in said and "wJalrXUtnFEMI" not in said


def test_a_gateway_that_cannot_sign_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("botocore", "botocore.session"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CredentialError, match="pip install"):
        ready(Provider(name="aws", base_url="http://h", **AWS))
    assert ready(Provider(name="aws", base_url="http://h", wire="bedrock-converse", api_key="k")).authority.at_hand()
