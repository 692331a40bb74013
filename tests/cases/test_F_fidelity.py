"""F. Chunks arrive as the provider meant them."""

import json
from typing import Any

import openai
import pytest

from penstock.testing import frames
from penstock.testing.client import CHAT
from penstock.testing.rig import MESSAGES, LiveGateway, Rig
from penstock.testing.steps import done, fin, hdr, raw, role, tok, usage, words

USAGE = {"include_usage": True}


def naive(events: list[Any]) -> str:
    """What hand-written clients do: no test whether there is a choice at all."""
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events)


async def sdk_chunks(gateway: LiveGateway, **options: Any) -> list[Any]:
    """The chunks as openai-python sees them."""
    async with openai.AsyncOpenAI(base_url=gateway.base_url, api_key="any", max_retries=0) as client:
        stream = await client.chat.completions.create(model="m", stream=True, messages=MESSAGES, **options)  # type: ignore
        return [chunk async for chunk in stream]


async def test_F4_usage_chunk_only_for_those_who_ask(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(2), fin(), usage(9, 2), done()])
    gateway = await rig.gateway(upstream)
    plain = await gateway.ask()
    assert naive(plain.chunks) == plain.text == words(2)
    assert not any(chunk.get("usage") for chunk in plain.chunks)
    no = await gateway.ask(stream_options={"include_usage": False})
    assert no.body == plain.body
    asked = await gateway.ask(stream_options=USAGE)
    assert asked.chunks[-1]["choices"] == [] and asked.chunks[-1]["usage"]["completion_tokens"] == 2
    assert sum(bool(chunk.get("usage")) for chunk in asked.chunks) == 1
    for _ in range(3):
        assert (await gateway.record())["usage"]["output"] == 2
    # The provider is asked every time: the gateway needs to know.
    assert [request.json["stream_options"] for request in upstream.requests] == [USAGE] * 3
    chunks = await sdk_chunks(gateway, stream_options=USAGE)
    assert chunks[-1].usage.total_tokens == 11
    assert all(chunk.choices for chunk in await sdk_chunks(gateway))


async def test_F4_usage_beside_choices_stays(rig: Rig) -> None:
    """On the finish chunk, as DeepSeek and Moonshot write it: leaving that out would lose the finish."""
    data = frames.role() + frames.chunk("hi") + frames.finish(usage={"prompt_tokens": 1, "completion_tokens": 1})
    upstream = await rig.upstream([raw(data), done()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert answer.body == data + frames.DONE and answer.finishes == ["stop"]


AZURE = (
    frames.frame(
        {
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [],
            "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False}}}],
        }
    )
    + frames.role()
    + frames.chunk("hi")
    + frames.frame(
        {
            "id": "",
            "object": "",
            "created": 0,
            "model": "",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": None,
                    "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
                    "content_filter_offsets": {"check_offset": 0, "start_offset": 0, "end_offset": 2},
                }
            ],
        }
    )
    + frames.finish()
    + frames.frame(
        {"id": "", "object": "", "created": 0, "model": "", "choices": [{"index": 0, "finish_reason": None}]}
    )
    + frames.usage(9, 1)
    + frames.DONE
)


async def test_F5_azure_filter_chunks(rig: Rig) -> None:
    upstream = await rig.upstream([raw(AZURE)])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream_options=USAGE)
    record = await gateway.record()
    assert answer.body == AZURE and (answer.text, record["outcome"]) == ("hi", "completed")
    assert record["usage"]["output"] == 1
    folded = (await gateway.ask(stream=False)).json
    assert folded["choices"][0]["message"]["content"] == "hi" and folded["model"] == "m" and folded["id"] == "c1"
    assert folded["prompt_filter_results"][0]["prompt_index"] == 0
    assert folded["choices"][0]["content_filter_results"]["hate"]["severity"] == "safe"
    chunks = await sdk_chunks(gateway)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices and c.choices[0].delta) == "hi"


def varying() -> bytes:
    """A provider that names every chunk anew."""
    data = b""
    for number, fields in enumerate([{"role": "assistant"}, {"content": "a"}, {"content": "b"}]):
        choices = [{"index": 0, "delta": fields, "finish_reason": None}]
        data += frames.frame({"id": f"c{number}", "created": 100 + number, "model": f"m{number}", "choices": choices})
    return data + frames.finish() + frames.DONE


async def test_F6_identity_stays_as_the_provider_sent_it_by_default(rig: Rig) -> None:
    upstream = await rig.upstream([raw(varying())])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert answer.body == varying()


async def test_F6_identity_is_pinned_on_request(rig: Rig) -> None:
    upstream = await rig.upstream([raw(varying())])
    gateway = await rig.gateway(upstream, pin_identity=True)
    answer = await gateway.ask()
    identities = {(chunk["id"], chunk["created"], chunk["model"]) for chunk in answer.chunks}
    assert identities == {("c0", 100, "m0")}
    assert (answer.text, answer.finishes, answer.marks) == ("ab", ["stop"], 1)


@pytest.mark.parametrize("pin", [False, True])
async def test_F6_a_folded_answer_has_one_identity(rig: Rig, pin: bool) -> None:
    upstream = await rig.upstream([raw(varying())])
    gateway = await rig.gateway(upstream, pin_identity=pin)
    folded = (await gateway.ask(stream=False)).json
    assert (folded["id"], folded["created"], folded["model"]) == ("c0", 100, "m0")
    assert folded["object"] == "chat.completion" and folded["choices"][0]["message"]["content"] == "ab"


def unknown() -> bytes:
    """Fields that no specification names, at every level."""
    logprobs = {"content": [{"token": "hi", "logprob": -0.1, "bytes": [104, 105], "top_logprobs": [], "x": 1}]}
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}", "x_f": 1.50},
        "extra_content": {"google": {"thought_signature": "sig=="}},
    }
    delta = {
        "content": "hi",
        "x_unknown": [1, {"deep": None}],
        "annotations": [{"type": "url_citation"}],
        "reasoning_items": [{"id": "rs_1", "encrypted_content": "…"}],
        "refusal": None,
        "tool_calls": [call],
    }
    choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": None, "native_finish_reason": "x"}
    top = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "provider": "Azure"}
    used = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "cost": 0.00042, "is_byok": False}
    return (
        frames.frame({**top, "choices": [choice], "citations": ["https://a.example"], "x_top": {"a": "é\u2028"}})
        + frames.delta({"refusal": "no"}, x_top_later=True)
        + frames.finish("tool_calls")
        + frames.frame({**top, "choices": [], "usage": used, "service_tier": "flex", "x_last": 1})
        + frames.DONE
    )


async def test_F9_unknown_fields_survive(rig: Rig) -> None:
    upstream = await rig.upstream([raw(unknown())])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream_options=USAGE)
    assert answer.body == unknown()
    folded = (await gateway.ask(stream=False)).json
    assert folded["citations"] == ["https://a.example"] and folded["x_top"] == {"a": "é\u2028"}
    assert folded["x_top_later"] is True and folded["service_tier"] == "flex" and folded["x_last"] == 1
    assert folded["provider"] == "Azure" and folded["usage"]["cost"] == 0.00042
    choice = folded["choices"][0]
    assert choice["native_finish_reason"] == "x" and choice["logprobs"]["content"][0]["x"] == 1
    message = choice["message"]
    assert message["x_unknown"] == [1, {"deep": None}] and message["annotations"] == [{"type": "url_citation"}]
    assert message["reasoning_items"][0]["id"] == "rs_1" and message["refusal"] == "no"
    assert message["tool_calls"][0]["extra_content"]["google"]["thought_signature"] == "sig=="
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}", "x_f": 1.5}


async def test_F9_unknown_request_fields_reach_the_provider_as_they_were_written(rig: Rig) -> None:
    """Numbers with their digits, text with its escapes, keys in their order."""
    upstream = await rig.upstream([hdr(), tok(1), fin(), done()])
    gateway = await rig.gateway(upstream)
    client = await gateway.connect()
    body = (
        b'{"x_first": 1.0000000000000000001, "model": "m", "stream": true, "messages": [{"role": "user",'
        b' "content": "\\u00e9\\ud83d\\ude00", "x": null}], "seed": 123456789012345678901234567890,'
        b' "x_last": {"a":[ ]}}'
    )
    await client.post(CHAT, body)
    assert (await client.answer()).status == 200
    sent = upstream.requests[0].body
    for piece in (
        b"1.0000000000000000001",
        b"123456789012345678901234567890",
        b'"\\u00e9\\ud83d\\ude00"',
        b'"x_last":{"a":[ ]}',
    ):
        assert piece in sent
    assert list(upstream.requests[0].json) == [*json.loads(body), "stream_options"]
    assert upstream.requests[0].json["model"] == "model"


@pytest.mark.parametrize("stream", ["absent", "null", "false"])
async def test_F11_stream_omitted_null_or_false_is_json(rig: Rig, stream: str) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(2), fin(), usage(), done()])
    gateway = await rig.gateway(upstream)
    field = "" if stream == "absent" else f', "stream": {stream}'
    client = await gateway.connect()
    await client.post(CHAT, f'{{"model": "m", "messages": []{field}}}'.encode())
    answer = await client.answer()
    assert answer.status == 200 and answer.headers["content-type"] == "application/json"
    assert answer.json["object"] == "chat.completion" and answer.text == words(2)
    assert answer.json["usage"]["completion_tokens"] == 2
    assert upstream.requests[0].json["stream"] is True


@pytest.mark.parametrize("value", ['"false"', '"true"', "0", "1", "[]", "{}", '""'])
async def test_F11_stream_that_is_no_boolean_is_refused(rig: Rig, value: str) -> None:
    upstream = await rig.upstream([hdr(), tok(1), fin(), done()])
    gateway = await rig.gateway(upstream)
    client = await gateway.connect()
    await client.post(CHAT, f'{{"model": "m", "messages": [], "stream": {value}}}'.encode())
    answer = await client.answer()
    assert answer.status == 400 and answer.error is not None
    assert answer.error["param"] == "stream" and answer.error["type"] == "invalid_request_error"
    assert upstream.requests == [] and gateway.records == []


ORDERS = {
    "content with the finish": [frames.delta({"content": "ab"}, finish="stop")],
    "content after the finish": [frames.chunk("a"), frames.finish(), frames.chunk("b")],
    "content before, with and after": [
        frames.chunk("a"),
        frames.delta({"content": "b"}, finish="stop"),
        frames.chunk("c"),
    ],
    "an intermediate finish": [frames.chunk("a"), frames.finish("tool_calls"), frames.chunk("b"), frames.finish()],
    "a tool call after the finish": [frames.chunk("a"), frames.finish(), frames.tool(id="c", name="f", arguments="{}")],
    "reasoning after the finish": [frames.chunk("a"), frames.finish(), frames.reasoning("because")],
    "usage before the finish": [frames.chunk("a"), frames.usage(), frames.chunk("b"), frames.finish()],
}


@pytest.mark.parametrize("order", ORDERS)
async def test_F12_nothing_is_lost_around_a_finish(rig: Rig, order: str) -> None:
    data = b"".join(ORDERS[order])
    upstream = await rig.upstream([raw(frames.role() + data), done()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream_options=USAGE)
    record = await gateway.record()
    sent = [frame for frame in ORDERS[order] if frame != frames.finish() or order != "an intermediate finish"]
    assert answer.body == frames.role() + b"".join(sent) + frames.DONE and record["outcome"] == "completed"
    assert len(set(answer.finishes)) == 1
    folded = (await gateway.ask(stream=False)).json
    assert folded["choices"][0]["message"]["content"] == answer.text
    assert folded["choices"][0]["finish_reason"] == answer.finishes[0]
