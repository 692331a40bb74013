"""Signatures of AWS: the same as botocore's own client makes, and as the standard's text says."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from penstock.upstream.origin import endpoint
from penstock.upstream.renewing import CredentialError
from penstock.upstream.signing import AwsChain, AwsKeys, Signer
from penstock.wire.bedrock_wires import BedrockConverseUpstream, BedrockInvokeUpstream

botocore = pytest.importorskip("botocore")

KEYS = AwsKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
SESSION = AwsKeys(KEYS.access_key, KEYS.secret_key, "token/with+signs==")
MODELS = [
    "amazon.nova-lite-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "plain",
]
HOST = "https://bedrock-runtime.us-east-1.amazonaws.com"
REQUEST: Any = None


@pytest.fixture(autouse=True)
def one_instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signatures name their instant."""
    from botocore import auth

    now = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda remove_tzinfo=True: now.replace(tzinfo=None))


def by_client(operation: str, keys: AwsKeys, **parameters: Any) -> Any:
    """The request that botocore's own client would send."""
    from botocore.awsrequest import AWSResponse
    from botocore.session import Session

    client = Session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.token,
    )
    sent = []

    def take(request: Any, **_: Any) -> AWSResponse:
        sent.append(request)

        class Raw:
            def stream(self) -> list[bytes]:
                return []

        return AWSResponse(request.url, 500, {}, Raw())

    client.meta.events.register("before-send.bedrock-runtime", take)
    with pytest.raises(client.exceptions.ClientError):
        getattr(client, operation)(**parameters)
    return sent[0]


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("keys", [KEYS, SESSION], ids=["keys", "session"])
@pytest.mark.parametrize("model", MODELS)
def test_the_signature_is_that_of_botocores_client(model: str, keys: AwsKeys) -> None:
    parameters = {"modelId": model, "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    theirs = by_client("converse_stream", keys, **parameters)
    at = endpoint(HOST, BedrockConverseUpstream().path(REQUEST, model))
    assert urlsplit(theirs.url).path == at.path and theirs.url.startswith(HOST)
    arrived = {name.lower(): text(value) for name, value in theirs.headers.items()} | {"host": at.origin.authority}
    # The client signs counters of its own beside: so the same rule must give both signatures.
    assert recomputed(keys, "us-east-1", at.path, arrived, theirs.body) == arrived["authorization"]
    signed = dict(Signer("us-east-1").sign(keys, at, [("content-type", arrived["content-type"])], theirs.body))
    ours = signed | {"host": at.origin.authority}
    assert recomputed(keys, "us-east-1", at.path, ours, theirs.body) == signed["authorization"]
    assert signed["x-amz-date"] == arrived["x-amz-date"] == "20260102T030405Z"
    assert signed.get("x-amz-security-token") == arrived.get("x-amz-security-token") == keys.token


def recomputed(
    keys: AwsKeys, region: str, path: str, headers: dict[str, str], body: bytes, service: str = "bedrock"
) -> str:
    """The authorization of a request by the words of AWS's documentation, from what arrived."""
    names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "x-amz-date", "content-type"} <= set(names)
    uri = quote(path.partition("?")[0], safe="/~-_.")
    lines = ["POST", uri, "", *(f"{name}:{' '.join(headers[name].split())}" for name in names), "", ";".join(names)]
    canonical = "\n".join([*lines, hashlib.sha256(body).hexdigest()])
    instant = headers["x-amz-date"]
    scope = f"{instant[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = b"AWS4" + keys.secret_key.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", instant, scope, digest])
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return (
        f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    )


@pytest.mark.parametrize("keys", [KEYS, SESSION], ids=["keys", "session"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("base", [HOST, "http://127.0.0.1:8461", "https://[::1]:444"])
def test_the_signature_is_that_of_the_standard(model: str, keys: AwsKeys, base: str) -> None:
    at = endpoint(base, BedrockInvokeUpstream().path(REQUEST, model))
    body = b'{"messages":[]}'
    given = [
        ("user-agent", "penstock"),
        ("content-type", "application/json"),
        ("accept", "x"),
        ("X-Amzn-Bedrock-Trace", "ENABLED"),
        ("x-amzn-trace-id", "Root=1"),
        ("traceparent", "00"),
    ]
    signed = Signer("eu-west-3").sign(keys, at, given, body)
    headers = dict(signed)
    assert len(headers) == len(signed) and "host" not in headers
    for name, value in given:
        assert headers.get(name, headers.get(name.lower())) == value
    names = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert "x-amzn-bedrock-trace" in names and not {"user-agent", "traceparent", "x-amzn-trace-id"} & set(names)
    arrived = {name.lower(): value for name, value in headers.items()} | {"host": at.origin.authority}
    assert recomputed(keys, "eu-west-3", at.path, arrived, body) == headers["authorization"]


def test_secrets() -> None:
    assert SESSION.secrets == (b"AKIDEXAMPLE", KEYS.secret_key.encode(), b"token/with+signs==")
    assert len(KEYS.secrets) == 2


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No credentials anywhere."""
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch


async def test_the_chain_finds_the_environment(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    bare.setenv("AWS_SECRET_ACCESS_KEY", "secret-env")
    bare.setenv("AWS_SESSION_TOKEN", "token-env")
    fetched = await AwsChain("p").fetch(None)
    assert fetched.value == AwsKeys("AKIDENV", "secret-env", "token-env") and fetched.renew_after < fetched.good_for


async def test_what_was_refused_is_looked_for_anew(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = A1\naws_secret_access_key = S1\n")
    chain = AwsChain("p")
    first = (await chain.fetch(None)).value
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = A2\naws_secret_access_key = S2\n")
    assert (await chain.fetch(None)).value == first == AwsKeys("A1", "S1")
    assert (await chain.fetch(first)).value == AwsKeys("A2", "S2")


async def test_a_process_that_gives_credentials(bare: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = '{"Version": 1, "AccessKeyId": "AP", "SecretAccessKey": "SP", "SessionToken": "TP"}'
    script = tmp_path / "give.py"
    script.write_text(f"print({said!r})")
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {sys.executable} {script}\n")
    assert (await AwsChain("p").fetch(None)).value == AwsKeys("AP", "SP", "TP")


async def test_nothing_is_found(bare: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialError, match="the AWS credentials of the provider p are missing"):
        await AwsChain("p").fetch(None)


async def test_a_broken_profile(bare: pytest.MonkeyPatch) -> None:
    bare.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(CredentialError, match="cannot be had: ProfileNotFound"):
        await AwsChain("p").fetch(None)


async def test_without_botocore(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("botocore", "botocore.session"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CredentialError, match=r"pip install 'penstock\[aws\]'"):
        Signer("us-east-1")
    with pytest.raises(CredentialError, match=r"pip install 'penstock\[aws\]'"):
        await AwsChain("p").fetch(None)
