"""M5. Responses that the provider holds (``background: true``): asked for again, they are the provider's, at whichever
made them; and never an empty 200."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from penstock.config.values import Key
from penstock.framing.sse import SSEFramer
from penstock.policy.capture import Capture
from penstock.policy.guards import Guards
from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.client import Answer
from penstock.testing.holding import Holding
from penstock.testing.rig import LiveGateway, Rig, until
from penstock.testing.steps import hdr, pause, raw, rst, st
from penstock.wire import json

BODY = {"model": "m", "input": "hello", "stream": True, "background": True, "store": True}
TEAM, OTHER = (Key(name=name, key=f"key-of-{name}-0123456789") for name in ("team", "other"))


def bearer(key: Key | None) -> dict[str, str]:
    return {} if key is None else {"authorization": f"Bearer {key.key}"}


async def gateway_of(rig: Rig, *scripts: Any, **settings: Any) -> LiveGateway:
    """One provider for each script."""
    return await rig.gateway(*[await rig.upstream(script) for script in scripts], wire="openai-responses", **settings)


async def asked(gateway: LiveGateway, method: str, path: str, key: Key | None = None) -> Answer:
    client = await gateway.connect()
    try:
        await client.request(method, f"/v1/responses/{path}", headers=bearer(key))
        return await client.answer()
    finally:
        client.close()


async def begun(gateway: LiveGateway, holding: Holding, key: Key | None = None, **body: Any) -> None:
    """A client that leaves in the middle."""
    client = await gateway.connect()
    await client.post("/v1/responses", json.dumps({**BODY, **body}), bearer(key))
    assert len(await client.events(holding.told)) == holding.told
    client.close()
    await gateway.record()


async def test_M5_the_official_client_goes_on_at_the_provider(rig: Rig) -> None:
    holding = Holding("resp_held")
    gateway = await gateway_of(rig, holding.script)
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
        seen = []
        async with await client.responses.create(model="m", input="hello", background=True, stream=True) as stream:
            while len(seen) < holding.told:
                seen.append(await anext(stream))
        name, after = seen[0].response.id, seen[-1].sequence_number
        assert name == holding.name
        seen += [event async for event in await client.responses.retrieve(name, stream=True, starting_after=after)]
        assert [event.sequence_number for event in seen] == list(range(len(holding.events)))
        assert seen[-1].response.status == "completed"
        assert (await client.responses.retrieve(name)).status == "in_progress"
        assert (await client.responses.cancel(name)).status == "cancelled"
        assert await client.responses.delete(name) is None
        with pytest.raises(openai.NotFoundError, match="not found"):
            await client.responses.retrieve("resp_unknown", stream=True)
    requests = rig.upstreams[0].requests  # type: ignore[union-attr]
    assert [request.method for request in requests] == ["POST", "GET", "GET", "POST", "DELETE", "GET"]
    assert requests[1].path == f"/v1/responses/{name}?starting_after={after}&stream=true"
    assert {request.headers["authorization"] for request in requests} == {"Bearer sk-scripted-secret"}


async def test_M5_byte_for_byte_and_with_the_provider_s_own_words(rig: Rig) -> None:
    holding = Holding("resp_held")
    gateway = await gateway_of(rig, holding.script)
    told = await asked(gateway, "GET", "resp_held?stream=true&starting_after=3&include_obfuscation=false&key=ours")
    assert told.body == b"".join(holding.events[4:])
    assert told.headers["content-type"] == "text/event-stream; charset=utf-8"
    # The client's own query, but for the key of the gateway.
    path = rig.upstreams[0].requests[0].path  # type: ignore[union-attr]
    assert path == "/v1/responses/resp_held?stream=true&starting_after=3&include_obfuscation=false"
    shown = await asked(gateway, "GET", "resp_held")
    assert (shown.json["background"], shown.headers["x-request-id"]) == (True, "req_1")
    missing = await asked(gateway, "GET", "resp_2?stream=true")
    assert (missing.status, "resp_2" in missing.json["error"]["message"]) == (404, True)


async def test_M5_the_provider_that_made_it_is_asked(rig: Rig) -> None:
    first, second = [st(500)], Holding("resp_held")
    gateway = await gateway_of(rig, lambda seen: first, second.script)
    await begun(gateway, second)
    before = len(rig.upstreams[0].requests)  # type: ignore[union-attr]
    told = await asked(gateway, "GET", "resp_held?stream=true&starting_after=5")
    assert told.body == b"".join(second.events[6:])
    assert (await asked(gateway, "POST", "resp_held/cancel")).json["status"] == "cancelled"
    assert len(rig.upstreams[0].requests) == before  # type: ignore[union-attr]


async def test_M5_of_a_response_that_nobody_remembers_each_is_asked_in_turn(rig: Rig) -> None:
    gateway = await gateway_of(rig, Holding("resp_1").script, Holding("resp_2").script)
    for name in ("resp_1", "resp_2"):
        assert (await asked(gateway, "GET", name)).json["id"] == name
        assert (await asked(gateway, "GET", f"{name}?stream=true&starting_after=17")).status == 200
    assert (await asked(gateway, "GET", "resp_3")).status == 404
    strange = await asked(gateway, "GET", "..?stream=true")
    assert (strange.status, strange.json["error"]["code"]) == (404, "not_found")


async def test_M5_a_stream_of_its_own_comes_first(rig: Rig) -> None:
    holding = Holding("resp_held", told=18)
    gateway = await gateway_of(rig, holding.script)
    client = await gateway.connect()
    await client.post("/v1/responses", json.dumps(BODY), {"x-penstock-resume": "on"})
    await client.events(holding.told)
    told = await asked(gateway, "GET", "resp_held?stream=true&starting_after=2")
    assert told.body == b"".join(holding.events[3:])
    assert len(rig.upstreams[0].requests) == 1  # type: ignore[union-attr]
    # But only the provider can end what goes on without us.
    assert (await asked(gateway, "POST", "resp_held/cancel")).json["status"] == "cancelled"
    assert rig.upstreams[0].requests[1].path == "/v1/responses/resp_held/cancel"  # type: ignore[union-attr]
    client.close()
    await gateway.post(f"/v1/streams/{gateway.accepted[0]}/stop", b"")


async def test_M5_another_s_response_is_not_there(rig: Rig) -> None:
    holding = Holding("resp_held")
    gateway = await gateway_of(rig, holding.script, keys=(TEAM, OTHER))
    client = await gateway.connect()
    await client.post("/v1/responses", json.dumps(BODY), bearer(TEAM))
    await client.events(holding.told)
    for live in (True, False):
        for method, path in (("GET", "resp_held?stream=true"), ("POST", "resp_held/cancel"), ("DELETE", "resp_held")):
            assert (await asked(gateway, method, path, OTHER)).status == 404
        if live:
            client.close()
            await gateway.record()
    assert len(rig.upstreams[0].requests) == 1  # type: ignore[union-attr]
    assert (await asked(gateway, "GET", "resp_held", TEAM)).json["id"] == "resp_held"


@pytest.mark.parametrize(
    "policy",
    [
        {"stages": (RedactPolicy(detectors=("email",)),)},
        {"guards": Guards(max_characters=1000)},
        {"mode": "full"},
        {"served_model": "hide"},
        {"route_fields": {"capture": Capture()}},
    ],
    ids=["stages", "guards", "mode", "served_model", "capture"],
)
async def test_M5_nothing_passes_by_the_stages(rig: Rig, policy: dict[str, Any]) -> None:
    gateway = await gateway_of(rig, Holding("resp_held").script, **policy)
    for path in ("resp_held", "resp_held?stream=true&starting_after=3"):
        told = await asked(gateway, "GET", path)
        assert (told.status, told.json["error"]["code"]) == (403, "not_resumable")
        assert "x-penstock-resume: on" in told.json["error"]["message"]
    assert rig.upstreams[0].requests == []  # type: ignore[union-attr]
    # Ending it tells nothing of what was said.
    cancelled = await asked(gateway, "POST", "resp_held/cancel")
    assert (cancelled.json["status"], cancelled.json["output"]) == ("cancelled", [])
    assert "model" not in cancelled.json
    assert (await asked(gateway, "DELETE", "resp_held")).json["deleted"] is True


@pytest.mark.parametrize(("until_event", "code"), [(9, "upstream_cut"), (4, "not_resumable")])
async def test_M5_what_does_not_end_is_told(rig: Rig, until_event: int, code: str) -> None:
    holding = Holding("resp_held", until=until_event)
    gateway = await gateway_of(rig, holding.script)
    told = await asked(gateway, "GET", "resp_held?stream=true&starting_after=3")
    *seen, error, failed = SSEFramer().feed(told.body)
    assert seen == holding.events[4:until_event]
    numbers = [json.loads(frame.partition(b"data: ")[2])["sequence_number"] for frame in (error, failed)]
    assert numbers == [3 + len(seen) + 1, 3 + len(seen) + 2]
    assert code.encode() in error
    assert b'"id":"resp_held"' in failed and b"response.failed" in failed


async def test_M5_a_provider_in_trouble_is_told_and_shows_no_credential(rig: Rig) -> None:
    echo = {"error": {"message": "bad key sk-scripted-secret", "type": "invalid_request_error"}}
    upstream = await rig.upstream([st(401, echo)], [rst()], [rst()], [hdr(content_type="application/json"), raw(b"{}")])
    gateway = await rig.gateway(upstream, wire="openai-responses")
    refused = await asked(gateway, "GET", "resp_held?stream=true")
    assert (refused.status, b"sk-scripted-secret" in refused.body) == (401, False)
    assert b"bad key ***" in refused.body
    cut = await asked(gateway, "GET", "resp_held?stream=true")
    assert (cut.status, cut.json["error"]["code"]) == (502, "upstream_error")
    mute = await asked(gateway, "GET", "resp_held?stream=true")
    assert (mute.status, mute.json["error"]["code"]) == (502, "not_resumable")


async def test_M5_a_reader_that_leaves_frees_the_provider(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), raw(Holding("resp_held").events[0]), pause(30)])
    gateway = await rig.gateway(upstream, wire="openai-responses")
    client = await gateway.connect()
    await client.request("GET", "/v1/responses/resp_held?stream=true")
    await client.events(1)
    client.close()
    await upstream.requests[0].closed(within=2.0)
    await until(lambda: gateway.pool_busy == 0)


async def test_M5_the_row_says_that_it_goes_on(rig: Rig) -> None:
    holding = Holding("resp_held")
    gateway = await gateway_of(rig, holding.script, on_disconnect="auto")
    client = await gateway.connect()
    await client.post("/v1/responses", json.dumps(BODY), {})
    await client.events(holding.told)
    client.close()
    # Closing would save nothing: it is read on, for its usage.
    await until(lambda: any("drain" in str(shown.get("state")) for shown in states(gateway)))
    await gateway.post(f"/v1/streams/{gateway.accepted[0]}/stop", b"")


def states(gateway: LiveGateway) -> list[dict[str, Any]]:
    resuming = gateway.gateway.application._resuming
    return [resuming.shown(stream, None) for stream in resuming._live]
