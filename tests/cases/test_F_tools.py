"""F. Tool calls, choices, finishes and reasoning, on the way from one wire to another and folded."""

import json
from typing import Any

import pytest
from wire_clients import SPEAKERS
from wire_providers import PROVIDERS, envelope, line

from penstock.testing import bedrock, frames, gemini, messages, responses
from penstock.testing.client import Answer
from penstock.testing.rig import Rig
from penstock.testing.steps import done, eof, fin, hdr, raw, role, tool, usage
from penstock.testing.upstream import Step

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
TRANSLATED = ("anthropic-messages", "openai-responses", "ollama-chat")
CLIENT = pytest.mark.parametrize("client", ["openai-chat", *TRANSLATED])


def call(index: int | None, id: str | None = None, name: str | None = None, arguments: str = "") -> bytes:
    """A fragment of a call, with as much of its identity as a dialect gives."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    known = {"index": index, "id": id}
    return frames.delta({"tool_calls": [{k: v for k, v in known.items() if v is not None} | {"function": function}]})


def calls_of(client: str, answer: Answer) -> list[tuple[str, Any]]:
    """Name and arguments of every call, in the order that the client sees."""
    streamed = not answer.headers["content-type"].startswith("application/json")
    if client == "anthropic-messages":
        if streamed:
            return [(name, json.loads(text)) for _, name, text in messages.read(answer.body).calls]
        return [(block["name"], block["input"]) for block in answer.json["content"] if block["type"] == "tool_use"]
    if client == "openai-responses":
        if streamed:
            return [(name, json.loads(text)) for name, text in responses.read(answer.body).calls]
        items = [item for item in answer.json["output"] if item["type"] == "function_call"]
        return [(item["name"], json.loads(item["arguments"])) for item in items]
    if client == "ollama-chat":
        lines = [json.loads(one)["message"] for one in answer.body.splitlines()]
        functions = [one["function"] for message in lines for one in message.get("tool_calls") or ()]
        return [(function["name"], function["arguments"]) for function in functions]
    if streamed:
        return joined(answer)
    found = [one["function"] for one in answer.json["choices"][0]["message"]["tool_calls"]]
    return [(function["name"], json.loads(function["arguments"])) for function in found]


def joined(answer: Answer) -> list[tuple[str, Any]]:
    """The calls of an openai-chat stream, by their indexes."""
    calls: dict[int, tuple[str, str]] = {}
    for fragment in (one for delta in answer.deltas for one in delta.get("tool_calls") or ()):
        name, arguments = calls.get(fragment["index"], ("", ""))
        function = fragment["function"]
        calls[fragment["index"]] = name + function.get("name", ""), arguments + function.get("arguments", "")
    return [(name, json.loads(arguments)) for name, arguments in calls.values()]


THREE = [("f", {"x": 1}), ("g", {"y": 2}), ("h", {"z": 3})]


def whole(*fragments: bytes) -> list[Step]:
    """An answer that is these fragments."""
    return [hdr(), role(), *(raw(one) for one in fragments), fin("tool_calls"), usage(), done()]


# -- F1 -----------------------------------------------------------------------------------------------------------

INTERLEAVED = (
    *(call(0, "a", "f"), call(1, "b", "g"), call(2, "c", "h"), call(0, arguments='{"x'), call(2, arguments='{"z')),
    *(call(1, arguments='{"y'), call(1, arguments='":2}'), call(0, arguments='":1}'), call(2, arguments='":3}')),
)
PARALLEL: dict[str, tuple[bytes, ...]] = {
    "interleaved": INTERLEAVED,
    "all of index 0": (
        *(call(0, "a", "f", '{"x":1}'), call(0, "b", "g", '{"y":'), call(0, arguments="2}")),
        call(0, "c", "h", '{"z":3}'),
    ),
    "all of index 0, ids on each": (
        *(call(0, "a", "f", '{"x":'), call(0, "a", None, "1}"), call(0, "b", "g", '{"y":'), call(0, "b", "", "2}")),
        call(0, "c", "h", '{"z":3}'),
    ),
    "ids and names on each": (
        *(call(0, "a", "f", '{"x":'), call(0, "a", "", "1}"), call(1, "b", "g", '{"y":'), call(1, "b", "", "2}")),
        call(2, "c", "h", '{"z":3}'),
    ),
    "no ids": (call(0, None, "f", '{"x":1}'), call(1, None, "g", '{"y":2}'), call(2, None, "h", '{"z":3}')),
    "late ids": (
        *(call(0, None, "f", '{"x"'), call(0, "a", None, ":1}"), call(1, "", "g", '{"y":'), call(1, "b", None, "2}")),
        call(2, "c", "h", '{"z":3}'),
    ),
}


@CLIENT
@STREAM
@pytest.mark.parametrize("fragments", PARALLEL.values(), ids=PARALLEL)
async def test_F1_parallel_calls_stay_apart(rig: Rig, client: str, stream: bool, fragments: tuple[bytes, ...]) -> None:
    gateway = await rig.gateway(await rig.upstream(whole(*fragments)))
    answer = await SPEAKERS[client].ask(gateway, stream)
    assert answer.status == 200
    if client == "openai-chat" and stream:
        assert b"".join(fragments) in answer.body, "the provider's own bytes go on"
    else:
        assert calls_of(client, answer) == THREE


@STREAM
async def test_F1_calls_of_two_choices(rig: Rig, stream: bool) -> None:
    second = [frame.replace(b'"choices":[{"index":0', b'"choices":[{"index":1') for frame in INTERLEAVED]
    both = b"".join(one + other for one, other in zip(INTERLEAVED, second, strict=True))
    ends = raw(frames.finish("tool_calls") + frames.finish("tool_calls", choice=1) + frames.DONE)
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(both), ends]))
    answer = await gateway.ask(stream, n=2)
    if stream:
        assert both in answer.body
        return
    for choice in answer.json["choices"]:
        found = [one["function"] for one in choice["message"]["tool_calls"]]
        assert [(one["name"], json.loads(one["arguments"])) for one in found] == THREE


def converse_call(index: int, name: str, arguments: str) -> bytes:
    """A whole call of Bedrock's."""
    opened = bedrock.tool(name, index, id=f"tooluse_{index}")
    return opened + bedrock.arguments(arguments, index) + bedrock.closed(index)


def anthropic_call(index: int, name: str, arguments: str) -> bytes:
    """A whole call of Anthropic's."""
    opened = messages.opened(index, "tool_use", id=f"t{index}", name=name, input={})
    return opened + messages.delta("input_json_delta", index, partial_json=arguments) + messages.closed(index)


ARGUMENTS = [(name, json.dumps(arguments)) for name, arguments in THREE]
ANTHROPIC_CALLS = messages.start() + b"".join(anthropic_call(n, *one) for n, one in enumerate(ARGUMENTS))
ANTHROPIC_CALLS += messages.finish("tool_use") + messages.STOP
CALLS: dict[str, bytes] = {
    "anthropic-messages": ANTHROPIC_CALLS,
    "bedrock-invoke": envelope(ANTHROPIC_CALLS),
    "bedrock-converse": bedrock.START
    + b"".join(converse_call(n, *one) for n, one in enumerate(ARGUMENTS))
    + bedrock.stop("tool_use")
    + bedrock.metadata(),
    "gemini": gemini.sse(gemini.chunk(*(gemini.call(name, arguments) for name, arguments in THREE)))
    + gemini.sse(gemini.chunk(gemini.text(""), reason="STOP")),
    "ollama-chat": b"".join(
        line({"role": "assistant", "content": "", "tool_calls": [{"function": {"name": name, "arguments": arguments}}]})
        for name, arguments in THREE
    )
    + line({"role": "assistant", "content": ""}, done=True, done_reason="stop"),
}


@pytest.mark.parametrize("wire", CALLS)
@pytest.mark.parametrize("client", ["openai-chat", "openai-responses", "ollama-chat"])
@STREAM
async def test_F1_parallel_calls_of_every_wire(rig: Rig, wire: str, client: str, stream: bool) -> None:
    upstream = await rig.upstream([hdr(content_type=PROVIDERS[wire].kind), raw(CALLS[wire]), eof()])
    gateway = await rig.gateway(upstream, wire=wire)
    answer = await SPEAKERS[client].ask(gateway, stream)
    assert calls_of(client, answer) == THREE
    if client == "openai-chat":
        # F3: a wire that says only that it stopped has called all the same.
        signs = answer.finishes if stream else [answer.json["choices"][0]["finish_reason"]]
        assert signs == ["tool_calls"]


# -- F2 -----------------------------------------------------------------------------------------------------------

NO_INDEX: dict[str, tuple[bytes, ...]] = {
    "none": (
        *(call(None, "a", "f", '{"x":1}'), call(None, "b", "g", '{"y":'), call(None, arguments="2}")),
        call(None, "c", "h", '{"z":3}'),
    ),
    "none, ids back and forth": (
        *(call(None, "a", "f", '{"x":'), call(None, "b", "g", '{"y":'), call(None, "a", None, "1}")),
        *(call(None, "b", None, "2}"), call(None, "c", "h", '{"z":3}')),
    ),
    "on the first fragments only": (
        *(call(0, "a", "f", '{"x":1}'), call(1, "b", "g", '{"y":'), call(None, arguments="2}")),
        *(call(2, "c", "h", '{"z":'), call(None, "c", None, "3}")),
    ),
    "wrong behind the first fragment": (
        *(call(0, "a", "f", '{"x":1}'), call(1, "b", "g", '{"y":'), call(5, "b", None, "2}")),
        call(2, "c", "h", '{"z":3}'),
    ),
    "with holes": (call(1, "a", "f", '{"x":1}'), call(4, "b", "g", '{"y":2}'), call(9, "c", "h", '{"z":3}')),
}


@pytest.mark.parametrize("client", TRANSLATED)
@STREAM
@pytest.mark.parametrize("fragments", NO_INDEX.values(), ids=NO_INDEX)
async def test_F2_missing_and_wrong_indexes(rig: Rig, client: str, stream: bool, fragments: tuple[bytes, ...]) -> None:
    gateway = await rig.gateway(await rig.upstream(whole(*fragments)))
    assert calls_of(client, await SPEAKERS[client].ask(gateway, stream)) == THREE


@pytest.mark.parametrize("fragments", NO_INDEX.values(), ids=NO_INDEX)
async def test_F2_missing_and_wrong_indexes_folded(rig: Rig, fragments: tuple[bytes, ...]) -> None:
    gateway = await rig.gateway(await rig.upstream(whole(*fragments)))
    assert calls_of("openai-chat", await gateway.ask(stream=False)) == THREE


@pytest.mark.parametrize("wire", CALLS)
async def test_F2_indexes_are_always_written(rig: Rig, wire: str) -> None:
    upstream = await rig.upstream([hdr(content_type=PROVIDERS[wire].kind), raw(CALLS[wire]), eof()])
    answer = await (await rig.gateway(upstream, wire=wire)).ask()
    seen = [one["index"] for delta in answer.deltas for one in delta.get("tool_calls") or ()]
    assert sorted(set(seen)) == [0, 1, 2]


# -- F3 -----------------------------------------------------------------------------------------------------------


async def test_F3_an_empty_finish_is_none(rig: Rig) -> None:
    words = [frames.delta({"content": word}, finish="") for word in ("a", "b")]
    upstream = await rig.upstream([hdr(), role(), raw(b"".join(words)), fin(), done()])
    gateway = await rig.gateway(upstream)
    for client, sign in (("openai-chat", "stop"), ("anthropic-messages", "end_turn"), ("ollama-chat", "stop")):
        told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway))
        assert (told.text, told.successes[0], told.error) == ("ab", sign, None)
    assert (await gateway.ask(stream=False)).json["choices"][0]["finish_reason"] == "stop"


async def test_F3_an_empty_finish_alone_is_no_end(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), raw(frames.delta({"content": "a"}, finish="")), eof()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert answer.error is not None
    assert answer.error["code"] == "upstream_cut"


@pytest.mark.parametrize(
    ("client", "sign"), [("anthropic-messages", "tool_use"), ("openai-responses", "response.completed")]
)
async def test_F3_stop_behind_a_call_is_a_call(rig: Rig, client: str, sign: str) -> None:
    upstream = await rig.upstream([hdr(), role(), tool(), fin("stop"), done()])
    gateway = await rig.gateway(upstream)
    answer = await SPEAKERS[client].ask(gateway)
    assert SPEAKERS[client].told(answer).successes[0] == sign
    assert calls_of(client, answer) == [("weather", {"city": "Rome"})]


async def test_F3_a_finish_on_a_reasoning_chunk(rig: Rig) -> None:
    last = frames.delta({"reasoning_content": "hm"}, finish="stop")
    upstream = await rig.upstream([hdr(), role(), raw(frames.chunk("a") + last), done()])
    gateway = await rig.gateway(upstream)
    for client in ("openai-chat", "anthropic-messages", "openai-responses", "ollama-chat"):
        told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway))
        assert (told.text, told.reasoning, told.error) == ("a", "hm", None)


# -- F7 -----------------------------------------------------------------------------------------------------------

NO_ROLE = frames.chunk("a") + frames.chunk("b")


@pytest.mark.parametrize("client", TRANSLATED)
@STREAM
async def test_F7_a_stream_without_a_role(rig: Rig, client: str, stream: bool) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(NO_ROLE), fin(), done()]))
    answer = await SPEAKERS[client].ask(gateway, stream)
    told = SPEAKERS[client].told(answer)
    assert (told.text, told.error) == ("ab", None)
    if stream and client == "anthropic-messages":
        assert messages.read(answer.body).message["role"] == "assistant"


@pytest.mark.parametrize("wire", [name for name, each in PROVIDERS.items() if each.wire == name])
async def test_F7_the_first_delta_has_the_role(rig: Rig, wire: str) -> None:
    provider = PROVIDERS[wire]
    gateway = await rig.gateway(await rig.upstream(provider.answer()), wire=provider.wire)
    answer = await gateway.ask()
    assert [delta.get("role") for delta in answer.deltas if "role" in delta] == ["assistant"]
    assert answer.deltas[0]["role"] == "assistant"
    folded = await gateway.ask(stream=False)
    assert folded.json["choices"][0]["message"]["role"] == "assistant"


# -- F8 -----------------------------------------------------------------------------------------------------------


@STREAM
async def test_F8_three_choices_and_one_usage(rig: Rig, stream: bool) -> None:
    words = b"".join(frames.chunk(f"{word}{choice}", choice=choice) for word in "ab" for choice in (0, 1, 2))
    ends = b"".join(frames.finish(("stop", "length", "stop")[choice], choice=choice) for choice in (2, 0, 1))
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(words + ends), usage(9, 6), done()]))
    answer = await gateway.ask(stream, n=3, **({"stream_options": {"include_usage": True}} if stream else {}))
    if stream:
        texts = ["", "", ""]
        for choice in (choice for chunk in answer.chunks for choice in chunk["choices"]):
            texts[choice["index"]] += choice["delta"].get("content", "")
        assert sum(bool(chunk.get("usage")) for chunk in answer.chunks) == 1
        assert answer.finishes == ["stop", "stop", "length"]
    else:
        texts = [choice["message"]["content"] for choice in answer.json["choices"]]
        assert [choice["finish_reason"] for choice in answer.json["choices"]] == ["stop", "length", "stop"]
        assert answer.json["usage"]["completion_tokens"] == 6
    assert texts == ["a0b0", "a1b1", "a2b2"]
    record = await gateway.record()
    assert (record["outcome"], record["usage"]["output"]) == ("completed", 6)


@pytest.mark.parametrize("wire", ["anthropic-messages", "bedrock-converse", "cohere-chat"])
async def test_F8_several_choices_of_a_wire_that_has_one_are_refused(rig: Rig, wire: str) -> None:
    upstream = await rig.upstream(PROVIDERS[wire].answer())
    gateway = await rig.gateway(upstream, wire=wire)
    answer = await gateway.ask(n=3)
    assert answer.status == 400
    assert answer.error is not None
    assert answer.error["param"] == "n"
    assert upstream.requests == []


# -- F10 ----------------------------------------------------------------------------------------------------------

THINKING = (
    messages.start()
    + messages.opened(0, "thinking")
    + messages.delta("thinking_delta", 0, thinking="hm ")
    + messages.delta("signature_delta", 0, signature="SIGN==")
    + messages.closed(0)
    + messages.opened(1, "redacted_thinking", data="HIDDEN==")
    + messages.closed(1)
    + messages.opened(2)
    + messages.text("a", 2)
    + messages.closed(2)
    + messages.finish()
    + messages.STOP
)
SIGNED = [
    {"type": "thinking", "thinking": "hm ", "signature": "SIGN=="},
    {"type": "redacted_thinking", "data": "HIDDEN=="},
    {"type": "text", "text": "a"},
]


async def test_F10_reasoning_and_its_signature_pass_unchanged(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), raw(THINKING), eof()])
    gateway = await rig.gateway(upstream, wire="anthropic-messages")
    speaker = SPEAKERS["anthropic-messages"]
    assert (await speaker.ask(gateway)).body == THINKING
    folded = (await speaker.ask(gateway, False)).json["content"]
    assert [{name: block[name] for name in one} for block, one in zip(folded, SIGNED, strict=True)] == SIGNED
    # The next turn takes it back as it was.
    turns = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": folded}, *speaker.question["messages"]]
    assert (await speaker.ask(gateway, messages=turns)).status == 200
    assert upstream.requests[-1].json["messages"] == turns


@pytest.mark.parametrize("wire", ["anthropic-messages", "bedrock-invoke"])
@STREAM
async def test_F10_a_signature_comes_back_through_another_wire(rig: Rig, wire: str, stream: bool) -> None:
    body = THINKING if wire == "anthropic-messages" else envelope(THINKING)
    upstream = await rig.upstream([hdr(content_type=PROVIDERS[wire].kind), raw(body), eof()])
    gateway = await rig.gateway(upstream, wire=wire)
    speaker = SPEAKERS["openai-responses"]
    answer = await speaker.ask(gateway, stream, include=["reasoning.encrypted_content"])
    output = responses.read(answer.body).response["output"] if stream else answer.json["output"]
    items = [{"role": "user", "content": "a?"}, *output, {"role": "user", "content": "b?"}]
    assert (await speaker.ask(gateway, stream, input=items)).status == 200
    blocks = next(turn for turn in upstream.requests[-1].json["messages"] if turn["role"] == "assistant")["content"]
    assert [block for block in blocks if block["type"] != "text"] == SIGNED[:2]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("client", TRANSLATED)
async def test_F10_reasoning_of_every_dialect(rig: Rig, client: str, field: str) -> None:
    upstream = await rig.upstream([hdr(), role(), raw(frames.delta({field: "hm "}) + frames.chunk("a")), fin(), done()])
    gateway = await rig.gateway(upstream)
    told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway))
    assert (told.reasoning, told.text) == ("hm ", "a")


async def test_F10_what_nobody_knows_passes_unchanged(rig: Rig) -> None:
    detail = {"type": "reasoning.encrypted", "data": "HIDDEN==", "id": "r1"}
    body = frames.role() + frames.delta({"reasoning_details": [detail], "x_unknown": {"y": [1]}}) + frames.chunk("a")
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(body), fin(), done()]))
    assert (await gateway.ask()).body.startswith(body)
    message = (await gateway.ask(stream=False)).json["choices"][0]["message"]
    assert (message["reasoning_details"], message["x_unknown"]) == ([detail], {"y": [1]})
