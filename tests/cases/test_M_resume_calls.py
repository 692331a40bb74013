"""M. Calls that would take up a stream again where no provider holds responses: told that there is nothing, in the
words of the wire."""

import openai
import pytest

from penstock.testing.rig import Rig
from penstock.testing.steps import hdr

RESUME = "/v1/responses/resp_1?stream=true&starting_after=3"


def refused(body: object, path: str) -> None:
    """OpenAI's error object, and nothing else."""
    assert isinstance(body, dict)
    error = body["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "not_found", None)
    assert path in error["message"]


@pytest.mark.parametrize("path", [RESUME, "/v1/responses/resp_1", "/v1/responses/resp_1/input_items"])
async def test_M5_resuming_is_refused_and_never_empty(rig: Rig, path: str) -> None:
    upstream = await rig.upstream([hdr()])
    gateway = await rig.gateway(upstream, wire="openai-chat")
    answer = await gateway.get(path)
    assert (answer.status, answer.headers["content-type"], answer.ended) == (404, "application/json", "clean")
    refused(answer.json, path.partition("?")[0])
    assert upstream.requests == []


async def test_M5_cancelling_is_refused_and_never_empty(rig: Rig) -> None:
    upstream = await rig.upstream([hdr()])
    gateway = await rig.gateway(upstream, wire="openai-chat")
    answer = await gateway.post("/v1/responses/resp_1/cancel", b"")
    assert (answer.status, answer.headers["content-type"], answer.ended) == (404, "application/json", "clean")
    refused(answer.json, "/v1/responses/resp_1/cancel")
    assert upstream.requests == []


async def test_M5_the_official_client_raises_on_both(rig: Rig) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr()]), wire="openai-chat")
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError) as raised:
            await client.responses.retrieve("resp_1", stream=True, starting_after=3)
        assert raised.value.code == "not_found"
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve("resp_1")
        with pytest.raises(openai.NotFoundError):
            await client.responses.cancel("resp_1")
