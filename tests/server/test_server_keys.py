"""Who may ask, and for what."""

from typing import Any

import anthropic
import msgspec
import openai
import pytest

from penstock.config.values import Key, Route
from penstock.testing.rig import MESSAGES, LiveGateway, Rig, config
from penstock.testing.steps import done, fin, hdr, tok

ALL = Key(name="team-all", key="key-of-team-all")
ONE = Key(name="team-one", key="key-of-team-one", models=("m",))
STAR = Key(name="team-star", key="key-of-team-star", models=("*",))


async def locked(rig: Rig) -> LiveGateway:
    """Routes ``m``, ``n`` and ``*`` behind three keys."""
    upstream = await rig.upstream([hdr(), tok(1), fin(), done()])
    settings = config([upstream], keys=(ALL, ONE, STAR))
    route = settings.routes[0]
    named: list[Route] = [msgspec.structs.replace(route, name=name) for name in ("m", "n", "*")]
    return await rig.gateway(settings=msgspec.structs.replace(settings, routes=tuple(named)))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def sdk(gateway: LiveGateway, key: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=gateway.base_url, api_key=key, max_retries=0)


HEADERS: list[dict[str, str]] = [
    bearer(ALL.key),
    {"Authorization": f"bearer  {ALL.key} "},
    {"x-api-key": ALL.key},
    {"api-key": ALL.key},
    {"x-goog-api-key": ALL.key},
    {"authorization": "Basic abc", "x-api-key": ALL.key},
]


@pytest.mark.parametrize("headers", HEADERS)
async def test_every_usual_header_carries_a_key(rig: Rig, headers: dict[str, str]) -> None:
    gateway = await locked(rig)
    assert (await gateway.ask(headers=headers)).status == 200


WRONG: list[tuple[dict[str, str], str]] = [
    ({}, "missing_api_key"),
    ({"authorization": "Basic abc"}, "missing_api_key"),
    ({"authorization": ""}, "missing_api_key"),
    (bearer("wrong"), "invalid_api_key"),
    (bearer(""), "invalid_api_key"),
    (bearer(ALL.key + "x"), "invalid_api_key"),
    (bearer(ALL.key[:-1]), "invalid_api_key"),
    (bearer(ALL.key.upper()), "invalid_api_key"),
    ({"x-api-key": "\xff\xfe"}, "invalid_api_key"),
]


@pytest.mark.parametrize(("headers", "code"), WRONG)
@pytest.mark.parametrize("stream", [True, False])
async def test_without_a_key_it_is_401(rig: Rig, headers: dict[str, str], code: str, stream: bool) -> None:
    gateway = await locked(rig)
    answer = await gateway.ask(stream, headers=headers)
    assert answer.status == 401 and answer.error is not None
    assert (answer.error["type"], answer.error["code"]) == ("authentication_error", code)
    assert ALL.key not in answer.body.decode() and gateway.accepted == []
    assert gateway.metric("penstock_requests_refused_total", reason=code) == 1


async def test_the_key_is_asked_for_before_the_body_is_read(rig: Rig) -> None:
    """A stranger is not told what is wrong with the request, and may not upload."""
    gateway = await locked(rig)
    client = await gateway.connect()
    await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{")
    assert await client.head() == 401


@pytest.mark.parametrize("stream", [True, False])
async def test_sdks_raise_what_they_raise_at_the_provider(rig: Rig, stream: bool) -> None:
    gateway = await locked(rig)
    asked: Any = {"messages": MESSAGES, "stream": stream}
    async with sdk(gateway, "wrong") as client:
        with pytest.raises(openai.AuthenticationError) as unknown:
            await client.chat.completions.create(model="m", **asked)
        assert unknown.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    async with sdk(gateway, ONE.key) as client:
        with pytest.raises(openai.PermissionDeniedError) as forbidden:
            await client.chat.completions.create(model="n", **asked)
        assert forbidden.value.code == "model_not_allowed" and "team-one" in forbidden.value.message


@pytest.mark.parametrize(
    ("key", "model", "status"),
    [
        (ALL, "m", 200),
        (ALL, "n", 200),
        (ALL, "anything", 200),
        (ONE, "m", 200),
        (ONE, "n", 403),
        (ONE, "anything", 403),
        (STAR, "anything", 200),
        (STAR, "m", 403),
        (STAR, "*", 200),
    ],
)
async def test_a_key_is_good_for_its_models(rig: Rig, key: Key, model: str, status: int) -> None:
    gateway = await locked(rig)
    answer = await gateway.ask(model=model, headers=bearer(key.key))
    assert answer.status == status
    if status == 403:
        assert answer.error is not None
        assert (answer.error["code"], answer.error["param"]) == ("model_not_allowed", "model")


@pytest.mark.parametrize(("key", "names"), [(ALL, ["m", "n"]), (ONE, ["m"]), (STAR, [])])
async def test_models_are_those_of_the_key(rig: Rig, key: Key, names: list[str]) -> None:
    gateway = await locked(rig)
    async with sdk(gateway, key.key) as client:
        assert [model.id async for model in client.models.list()] == names


async def test_a_model_can_be_looked_up(rig: Rig) -> None:
    gateway = await locked(rig)
    async with sdk(gateway, ONE.key) as client:
        assert (await client.models.retrieve("m")).id == "m"
        with pytest.raises(openai.NotFoundError, match="no model 'n' for the key 'team-one'"):
            await client.models.retrieve("n")
    async with sdk(gateway, ALL.key) as client:
        # It would be served, by the route ``*``.
        assert (await client.models.retrieve("meta/llama")).id == "meta/llama"


async def test_a_model_can_be_looked_up_by_anthropics_client(rig: Rig) -> None:
    gateway = await locked(rig)
    root = gateway.base_url.removesuffix("/v1")
    async with anthropic.AsyncAnthropic(base_url=root, api_key=ONE.key, max_retries=0) as client:
        assert [model.id async for model in client.models.list()] == ["m"]
        assert (await client.models.retrieve("m")).display_name == "m"
        with pytest.raises(anthropic.NotFoundError) as refused:
            await client.models.retrieve("n")
    told = refused.value.body
    assert isinstance(told, dict) and told["error"]["type"] == "not_found_error"


async def test_health_and_metrics_need_no_key(rig: Rig) -> None:
    gateway = await locked(rig)
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await gateway.get(path)).status == 200
    assert (await gateway.get("/v1/models")).status == 401


async def test_a_clients_key_never_reaches_a_provider(rig: Rig) -> None:
    gateway = await locked(rig)
    for headers in HEADERS:
        await gateway.ask(headers=headers)
    upstream = rig.upstreams[0]
    for seen in upstream.requests:  # type: ignore[union-attr]
        assert ALL.key not in str(seen.headers) and ALL.key.encode() not in seen.body
        assert seen.headers["authorization"] == "Bearer sk-scripted-secret"
    assert not any(ALL.key in line for line in gateway.writer.lines)
