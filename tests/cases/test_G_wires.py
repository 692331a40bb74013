"""G. What is particular to one wire, over real sockets."""

from typing import Any

import pytest
from endings import STREAM
from wire_clients import SPEAKERS
from wire_providers import DONE_LINE, EVENT_STREAM, PROVIDERS, SAID, cohere, cohere_end, line

from penstock.testing import bedrock, frames, gemini, messages, responses
from penstock.testing.rig import Rig
from penstock.testing.steps import cut, done, eof, fin, hdr, raw, role, split, st, usage, words
from penstock.testing.upstream import Step
from penstock.wire.cohere_chat import event_frame
from penstock.wire.gemini_chunk import KINDS

CHAT = SPEAKERS["openai-chat"]
TO_ANTHROPIC = {name: each for name, each in PROVIDERS.items() if each.client != "gemini array"}

# -- G1 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TO_ANTHROPIC)
async def test_G1_anthropic_order_from_every_wire(rig: Rig, name: str) -> None:
    provider = TO_ANTHROPIC[name]
    gateway = await rig.gateway(await rig.upstream(provider.answer()), wire=provider.wire)
    answer = await SPEAKERS["anthropic-messages"].ask(gateway)
    found = messages.read(answer.body)
    assert (found.joined("text", "text"), found.delta["stop_reason"]) == (words(3), "end_turn")
    assert found.usage["output_tokens"] == 3


MIXED = (
    *(frames.reasoning("hm "), frames.chunk("a"), frames.tool(0, id="c0", name="f", arguments="{")),
    *(frames.chunk("b"), frames.tool(1, id="c1", name="g", arguments="{}"), frames.tool(0, arguments="}")),
    *(frames.reasoning("so "), frames.chunk("c")),
)


async def test_G1_anthropic_order_of_what_comes_mixed(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), *(raw(one) for one in MIXED), fin("tool_calls"), usage(), done()])
    gateway = await rig.gateway(upstream)
    found = messages.read((await SPEAKERS["anthropic-messages"].ask(gateway)).body)
    assert found.calls == [("c0", "f", "{}"), ("c1", "g", "{}")]
    assert (found.joined("text", "text"), found.joined("thinking", "thinking")) == ("abc", "hm so ")


@pytest.mark.parametrize("last", [cut(), eof()], ids=["cut", "eof"])
async def test_G1_anthropic_order_up_to_an_error(rig: Rig, last: Step) -> None:
    upstream = await rig.upstream([hdr(), *(raw(one) for one in MIXED), last])
    gateway = await rig.gateway(upstream)
    found = messages.read((await SPEAKERS["anthropic-messages"].ask(gateway)).body, whole=False)
    assert not found.ended
    assert found.error["error"]["code"] == "upstream_cut"


# -- G2 -----------------------------------------------------------------------------------------------------------

REASONS = {**KINDS, "NEVER_HEARD_OF": "error"}
SIGNS = {
    "openai-chat": {"stop": "stop", "length": "length", "content_filter": "content_filter"},
    "anthropic-messages": {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"},
}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("client", SIGNS)
@STREAM
async def test_G2_gemini_finishes_in_other_words(rig: Rig, reason: str, client: str, stream: bool) -> None:
    last = gemini.sse(gemini.chunk(gemini.text("a"))) + gemini.sse(gemini.chunk(reason=reason, c_finishMessage="why"))
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(last), eof()]), wire="gemini")
    answer = await SPEAKERS[client].ask(gateway, stream)
    told = SPEAKERS[client].told(answer)
    record = await gateway.record()
    if REASONS[reason] == "error":
        assert told.error is not None
        assert told.successes == []
        assert reason in told.error["message"]
        assert (record["outcome"], answer.status) == ("upstream_error", 200 if stream else 502)
    else:
        assert told.error is None
        assert told.successes[0] == SIGNS[client][REASONS[reason]]
        assert record["outcome"] == "completed"


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"])
@pytest.mark.parametrize("client", ["gemini", "gemini array", "openai-chat", "anthropic-messages"])
async def test_G2_a_malformed_call_is_no_empty_success(rig: Rig, reason: str, client: str) -> None:
    alone = gemini.sse(gemini.chunk(reason=reason, c_content={}))
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(alone), eof()]), wire="gemini")
    answer = await SPEAKERS[client].ask(gateway)
    assert answer.status == 502
    assert SPEAKERS[client].told(answer).error is not None
    assert (await gateway.record())["outcome"] == "upstream_error"


# -- G3 -----------------------------------------------------------------------------------------------------------

EXCEPTIONS = {
    "throttlingException": 429,
    "serviceUnavailableException": 503,
    "modelStreamErrorException": 424,
    "modelTimeoutException": 408,
    "internalServerException": 500,
    "validationException": 400,
}
BEDROCK = pytest.mark.parametrize("wire", ["bedrock-converse", "bedrock-invoke"])


@BEDROCK
@STREAM
@pytest.mark.parametrize(("name", "status"), EXCEPTIONS.items(), ids=EXCEPTIONS)
async def test_G3_bedrock_exceptions(rig: Rig, wire: str, stream: bool, name: str, status: int) -> None:
    provider = PROVIDERS[wire]
    middle = [*provider.begin(), raw(bedrock.exception(name, SAID)), eof()]
    first = [provider.head(), raw(bedrock.exception(name, SAID)), eof()]
    for script, committed in ((middle, stream), (first, False)):
        gateway = await rig.gateway(await rig.upstream(script), wire=wire)
        answer = await CHAT.ask(gateway, stream)
        told = CHAT.told(answer)
        assert told.error is not None
        assert (answer.status, told.successes) == (200 if committed else status, [])
        assert (told.error["message"], told.error["type"], told.error["status"]) == (SAID, name, status)
        assert (await gateway.record())["outcome"] == "upstream_error"


@BEDROCK
async def test_G3_bedrock_exception_first_leads_to_the_next_target(rig: Rig, wire: str) -> None:
    provider = PROVIDERS[wire]
    first = await rig.upstream([provider.head(), raw(bedrock.exception("throttlingException")), eof()])
    gateway = await rig.gateway(first, await rig.upstream(provider.answer()), wire=wire)
    assert CHAT.told(await CHAT.ask(gateway)).text == words(3)
    attempts = (await gateway.record())["attempts"]
    assert [attempt["outcome"] for attempt in attempts] == ["upstream_error", None]


@BEDROCK
async def test_G3_bedrock_error_of_the_framing(rig: Rig, wire: str) -> None:
    upstream = await rig.upstream([*PROVIDERS[wire].begin(), raw(bedrock.error("InternalFailure", SAID)), eof()])
    told = CHAT.told(await CHAT.ask(await rig.gateway(upstream, wire=wire)))
    assert told.error is not None
    assert (told.error["message"], told.error["status"], told.successes) == (SAID, 500, [])


@BEDROCK
@STREAM
@pytest.mark.parametrize("place", [0, 9, 40, -1], ids=["length", "its checksum", "middle", "checksum"])
async def test_G3_bedrock_bad_checksum(rig: Rig, wire: str, stream: bool, place: int) -> None:
    provider = PROVIDERS[wire]
    bad = bytearray(provider.words[0])
    bad[place] ^= 1
    upstream = await rig.upstream([*provider.begin(), raw(bytes(bad) + provider.end), eof()])
    gateway = await rig.gateway(upstream, wire=wire)
    told = CHAT.told(await CHAT.ask(gateway, stream))
    assert told.error is not None
    assert told.successes == []
    assert (await gateway.record())["outcome"] in ("upstream_error", "upstream_cut")


@BEDROCK
async def test_G3_bedrock_frames_in_crumbs(rig: Rig, wire: str) -> None:
    provider = PROVIDERS[wire]
    script = [hdr(content_type=EVENT_STREAM), split(1), raw(provider.start + b"".join(provider.words) + provider.end)]
    gateway = await rig.gateway(await rig.upstream(script), wire=wire)
    told = CHAT.told(await CHAT.ask(gateway))
    assert (told.text, told.successes, told.error) == (words(3), ["stop", "[DONE]"], None)


# -- G4 -----------------------------------------------------------------------------------------------------------

OLLAMA = pytest.mark.parametrize("client", ["ollama-chat", "openai-chat"])


@OLLAMA
@STREAM
@pytest.mark.parametrize("size", [1, 7])
async def test_G4_ollama_lines_over_several_reads(rig: Rig, client: str, stream: bool, size: int) -> None:
    provider = PROVIDERS["ollama-chat"]
    upstream = await rig.upstream([provider.head(), split(size), raw(b"".join(provider.words) + provider.end)])
    gateway = await rig.gateway(upstream, wire="ollama-chat")
    told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway, stream))
    assert (told.text, told.successes[0], told.error) == (words(3), "stop", None)
    assert (await gateway.record())["usage"]["output"] == 3


@OLLAMA
async def test_G4_ollama_error_line_is_the_end(rig: Rig, client: str) -> None:
    provider = PROVIDERS["ollama-chat"]
    upstream = await rig.upstream([*provider.begin(), raw(provider.error + provider.end), eof()])
    gateway = await rig.gateway(upstream, wire="ollama-chat")
    told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway))
    assert told.error is not None
    assert (told.error["message"], told.successes, told.text) == (SAID, [], words(3))
    assert (await gateway.record())["outcome"] == "upstream_error"


async def test_G4_ollama_reason_without_done_is_an_end(rig: Rig) -> None:
    last = line({"role": "assistant", "content": ""}, done_reason="stop")
    upstream = await rig.upstream([*PROVIDERS["ollama-chat"].begin(), raw(last), eof()])
    gateway = await rig.gateway(upstream, wire="ollama-chat")
    told = CHAT.told(await CHAT.ask(gateway))
    assert (told.text, told.successes, told.error) == (words(3), ["stop", "[DONE]"], None)
    record = await gateway.record()
    assert (record["outcome"], record["warnings"]) == ("completed", ["no_end_marker"])


@OLLAMA
@STREAM
async def test_G4_ollama_lines_dressed_as_events(rig: Rig, client: str, stream: bool) -> None:
    provider = PROVIDERS["ollama-chat"]
    body = b"".join(b"data: " + one + b"\n" for one in (*provider.words, provider.end))
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(body), eof()]), wire="ollama-chat")
    told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway, stream))
    assert (told.text, told.successes[0], told.error) == (words(3), "stop", None)


# -- G5 -----------------------------------------------------------------------------------------------------------

COHERE_CALL = (
    event_frame({"type": "message-start", "id": "m1", "delta": {"message": {"role": "assistant"}}})
    + cohere("tool-plan-delta", tool_plan="I will look. ")
    + cohere("tool-call-start", 0, tool_calls={"id": "c1", "type": "function", "function": {"name": "f"}})
    + cohere("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"x":'}})
    + cohere("tool-call-delta", 0, tool_calls={"function": {"arguments": "1}"}})
    + event_frame({"type": "tool-call-end", "index": 0})
    + cohere_end("TOOL_CALL")
    + frames.DONE
)
CITATION = {"start": 0, "end": 2, "text": "w0", "sources": [{"type": "document", "id": "d1", "document": {"id": "d1"}}]}


@STREAM
async def test_G5_cohere_call_comes_once(rig: Rig, stream: bool) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(COHERE_CALL), eof()]), wire="cohere-chat")
    answer = await CHAT.ask(gateway, stream)
    told = CHAT.told(answer)
    assert (told.successes[0], told.text, told.reasoning, told.error) == ("tool_calls", "", "I will look. ", None)
    if stream:
        fragments = [one for delta in answer.deltas for one in delta.get("tool_calls") or ()]
    else:
        fragments = answer.json["choices"][0]["message"]["tool_calls"]
    functions = [one["function"] for one in fragments]
    assert [one["name"] for one in functions if one.get("name")] == ["f"]
    assert "".join(one.get("arguments", "") for one in functions) == '{"x":1}'
    usage = (await gateway.record())["usage"]
    assert (usage["input"], usage["output"]) == (9, 3)


async def test_G5_cohere_events_pass_unchanged(rig: Rig) -> None:
    provider = PROVIDERS["cohere-chat"]
    cited = cohere("citation-start", 0, citations=CITATION) + event_frame({"type": "citation-end", "index": 0})
    body = provider.start + b"".join(provider.words) + cited + provider.end
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(body), eof()]), wire="cohere-chat")
    assert (await provider.speaker.ask(gateway)).body == body
    folded = (await provider.speaker.ask(gateway, False)).json
    assert folded["message"]["citations"] == [CITATION]
    assert folded["usage"]["tokens"] == {"input_tokens": 9, "output_tokens": 3}


# -- G6 -----------------------------------------------------------------------------------------------------------

LATE: dict[str, list[Step]] = {
    "usage behind the finish": [fin(), usage(9, 3), done()],
    "usage before the finish": [usage(9, 3), fin(), done()],
    "usage behind the end marker": [fin(), raw(frames.DONE + frames.usage(9, 3))],
}


@pytest.mark.parametrize("ending", LATE.values(), ids=LATE)
async def test_G6_responses_completes_once_and_with_its_usage(rig: Rig, ending: list[Step]) -> None:
    upstream = await rig.upstream([hdr(), role(), raw(frames.reasoning("hm ") + frames.chunk("a")), *ending])
    gateway = await rig.gateway(upstream)
    answer = await SPEAKERS["openai-responses"].ask(gateway)
    found = responses.read(answer.body)
    assert (found.text, found.reasoning, found.response["status"]) == ("a", "hm ", "completed")
    if ending is not LATE["usage behind the end marker"]:
        assert found.response["usage"]["output_tokens"] == 3
    assert (await gateway.record())["usage"]["output"] == 3


@pytest.mark.parametrize("last", [cut(), eof()], ids=["cut", "eof"])
async def test_G6_responses_never_completes_what_is_cut(rig: Rig, last: Step) -> None:
    upstream = await rig.upstream([hdr(), role(), raw(frames.chunk("a")), last])
    answer = await SPEAKERS["openai-responses"].ask(await rig.gateway(upstream))
    found = responses.read(answer.body)
    assert found.response["status"] == "failed"
    assert found.error is not None


async def test_G6_responses_length_is_incomplete(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), raw(frames.chunk("a")), fin("length"), usage(9, 3), done()])
    answer = await SPEAKERS["openai-responses"].ask(await rig.gateway(upstream))
    found = responses.read(answer.body)
    assert found.response["status"] == "incomplete"
    assert found.response["incomplete_details"] == {"reason": "max_output_tokens"}


# -- G7 -----------------------------------------------------------------------------------------------------------

SNAPSHOT_CALL = {"id": "i1", "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
SNAPSHOTS = (
    responses.created()
    + responses.added()
    + responses.text("a")
    + responses.text("b")
    + responses.frame("response.output_text.done", output_index=0, content_index=0, item_id="i0", text="ab")
    + responses.frame("response.output_item.done", output_index=0, item=responses.message("ab"))
    + responses.frame("response.output_item.added", output_index=1, item={**SNAPSHOT_CALL, "arguments": ""})
    + responses.frame("response.function_call_arguments.delta", output_index=1, item_id="i1", delta="{}")
    + responses.frame("response.function_call_arguments.done", output_index=1, item_id="i1", arguments="{}")
    + responses.frame("response.output_item.done", output_index=1, item=SNAPSHOT_CALL)
    + responses.ended(output=[responses.message("ab"), SNAPSHOT_CALL])
)


@pytest.mark.parametrize("client", ["openai-chat", "anthropic-messages", "ollama-chat", "openai-responses"])
@STREAM
async def test_G7_a_snapshot_is_no_new_text(rig: Rig, client: str, stream: bool) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(SNAPSHOTS), eof()]), wire="openai-responses")
    answer = await SPEAKERS[client].ask(gateway, stream)
    told = SPEAKERS[client].told(answer)
    assert (told.text, told.error) == ("ab", None)
    if client == "openai-chat":
        found: list[Any] = [one for delta in answer.deltas for one in delta.get("tool_calls") or ()] if stream else []
        found = found or answer.json["choices"][0]["message"]["tool_calls"]
        assert "".join(one["function"].get("arguments", "") for one in found) == "{}"


# -- G8 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ["gemini", "gemini array", "openai-chat", "anthropic-messages", "openai-responses"])
@STREAM
async def test_G8_a_stop_of_an_inner_step_is_no_end(rig: Rig, client: str, stream: bool) -> None:
    body = gemini.sse(gemini.chunk(gemini.text("a"), reason="STOP")) + gemini.sse(gemini.chunk(gemini.text("b")))
    last = gemini.sse(gemini.chunk(gemini.text("c"), reason="STOP"))
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(body), raw(last), eof()]), wire="gemini")
    told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway, stream))
    assert (told.text, told.error) == ("abc", None)
    assert (await gateway.record())["outcome"] == "completed"


@pytest.mark.parametrize("client", ["openai-chat", "anthropic-messages", "openai-responses", "ollama-chat"])
async def test_G8_output_behind_a_finish_is_kept(rig: Rig, client: str) -> None:
    upstream = await rig.upstream([hdr(), role(), raw(frames.chunk("a")), fin(), raw(frames.chunk("b")), fin(), done()])
    gateway = await rig.gateway(upstream)
    told = SPEAKERS[client].told(await SPEAKERS[client].ask(gateway))
    assert (told.text, told.error) == ("ab", None)


async def test_G8_an_inner_stop_and_then_a_cut_is_no_success(rig: Rig) -> None:
    body = gemini.sse(gemini.chunk(gemini.text("a"), reason="STOP")) + gemini.sse(gemini.chunk(gemini.text("b")))
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(body), eof()]), wire="gemini")
    told = CHAT.told(await CHAT.ask(gateway))
    assert told.error is not None
    assert told.successes == []


async def test_G4_ollama_loading_a_model_is_complete_and_empty(rig: Rig) -> None:
    loaded = line({"role": "assistant", "content": ""}, **{**DONE_LINE, "done_reason": "load"})
    gateway = await rig.gateway(await rig.upstream([st(200, loaded, kind="application/x-ndjson")]), wire="ollama-chat")
    answer = await SPEAKERS["ollama-chat"].ask(gateway, messages=[])
    assert (answer.status, SPEAKERS["ollama-chat"].told(answer).successes) == (200, ["load"])
