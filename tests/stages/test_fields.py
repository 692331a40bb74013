"""I5, I7: a word in each generated field of each wire, beside what must stay as it is."""

import json
from typing import Any

import pytest
from answers import WIRES, events
from words import Word

from penstock.stages.pipeline import StagesPlan
from penstock.testing import frames, gemini, messages, responses
from penstock.wire.cohere_chat import event_frame

PLAN = StagesPlan(stages=(Word(),))


def edited(wire: str, *given: bytes) -> list[dict[str, Any]]:
    return events(WIRES[wire].edited(PLAN, list(given)))


def lines(*given: dict[str, Any]) -> list[dict[str, Any]]:
    body = WIRES["ollama-chat"].edited(PLAN, [json.dumps(each).encode() + b"\n" for each in given])
    return [json.loads(line) for line in body.splitlines()]


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a SECRET."},
        {"refusal": "a SECRET."},
        {"reasoning": "a SECRET."},
        {"audio": {"id": "x", "transcript": "a SECRET."}},
        {"content": [{"type": "text", "text": "a SECRET."}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a SECRET."}]}]},
        {"function_call": {"name": "f", "arguments": '{"a":"SECRET"}'}},
        {"tool_calls": [{"index": 0, "custom": {"name": "f", "input": "a SECRET."}}]},
        {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"a": "SECRET"}}}]},
        {"annotations": [{"type": "url_citation", "url_citation": {"url": "http://x", "title": "SECRET"}}]},
        {"executed_tools": [{"index": 0, "output": "a SECRET."}]},
    ],
    ids="-".join,
)
def test_chat_deltas(delta):
    (chunk,) = edited("openai-chat", frames.delta(delta, system_fingerprint="fp"))
    assert json.dumps(chunk["choices"][0]["delta"]) == json.dumps(delta).replace("SECRET", "[x]")
    assert chunk["system_fingerprint"] == "fp"


def test_choices_do_not_mix():
    given = [frames.chunk("SEC", choice=0), frames.chunk("RET", choice=1), frames.chunk("RET", choice=0)]
    body = WIRES["openai-chat"].edited(PLAN, [*given, frames.finish(choice=0), frames.finish(choice=1), frames.DONE])
    whole = WIRES["openai-chat"].whole(body)
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["[x]", "RET"]


def test_chat_logprobs_go_with_the_text_that_they_spell():
    told = {"content": [{"token": "SECRET", "logprob": -1}]}
    choice = {"index": 0, "delta": {"content": "SECRET"}, "logprobs": told, "finish_reason": None}
    kept = {**choice, "delta": {"content": "fine"}, "logprobs": {"content": [{"token": "fine"}]}}
    first, second = edited(
        "openai-chat",
        frames.frame({"choices": [choice], "obfuscation": "xyz"}),
        frames.frame({"choices": [kept], "obfuscation": "xyz"}),
    )
    assert (first["choices"][0]["logprobs"], "obfuscation" in first) == (None, False)
    assert (second["choices"][0], second["obfuscation"]) == (kept, "xyz")


def test_a_number_in_arguments_becomes_a_text_where_it_is_found():
    plan = StagesPlan(stages=(Word("4111"),))
    call = frames.tool(id="c", name="f", arguments='{"card": 41')
    body = WIRES["openai-chat"].edited(plan, [call, frames.tool(arguments='11, "n": 4110}'), frames.finish()])
    (choice,) = WIRES["openai-chat"].whole(body)["choices"]
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"card": "[x]", "n": 4110}


def test_messages_citations_and_results_of_tools():
    cited = {"type": "char_location", "cited_text": "a SECRET.", "document_index": 0, "start_char_index": 3}
    result = messages.opened(1, "web_search_tool_result", content=[{"title": "SECRET", "encrypted_content": "SECRET"}])
    found = edited(
        "anthropic-messages",
        messages.start(),
        messages.opened(),
        messages.delta("citations_delta", citation=cited),
        result,
    )
    assert found[2]["delta"]["citation"] == {**cited, "cited_text": "a [x]."}
    assert found[3]["content_block"]["content"] == [{"title": "[x]", "encrypted_content": "SECRET"}]


def test_an_input_that_comes_whole():
    start = messages.opened(type="tool_use", id="t1", name="f", input={"name": "SECRET", "n": 1})
    assert edited("anthropic-messages", start)[0]["content_block"]["input"] == {"name": "[x]", "n": 1}


def test_responses_tells_of_items_that_come_whole():
    item = {"id": "i0", "type": "mcp_call", "arguments": '{"a":"SECRET"}', "output": "SECRET", "name": "SECRET"}
    done = responses.frame("response.output_item.done", output_index=0, item=item, sequence_number=1)
    first, last = edited("openai-responses", done, responses.ended(output=[item], sequence_number=2))
    clean = {**item, "arguments": '{"a":"[x]"}', "output": "[x]"}
    assert first["item"] == clean
    assert last["response"]["output"] == [clean]


def test_gemini_calls_and_grounding():
    call = {"functionCall": {"name": "SECRET", "args": {"a": ["SECRET", 1], "name": "SECRET"}}}
    code = {"executableCode": {"language": "PYTHON", "code": "print('SECRET')"}}
    text = gemini.chunk(
        gemini.text("SECRET"), c_groundingMetadata={"groundingSupports": [{"segment": {"text": "SECRET"}}]}
    )
    first, second = edited("gemini", gemini.sse(gemini.chunk(call, code)), gemini.sse(text))
    parts = first["candidates"][0]["content"]["parts"]
    assert parts[0]["functionCall"]["args"]["a"] == ["[x]", 1]
    assert parts[1]["executableCode"]["code"] == "print('[x]')"
    assert "groundingMetadata" not in second["candidates"][0]


def test_cohere_citations_are_left_out_once_the_text_has_changed():
    def cite(index: int) -> list[bytes]:
        source = {"start": 0, "end": 4, "text": "SECR", "sources": []}
        start = {"type": "citation-start", "index": index, "delta": {"message": {"citations": source}}}
        return [event_frame(start), event_frame({"type": "citation-end", "index": index})]

    text = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "SECRET"}}}}
    found = edited("cohere-chat", *cite(0), event_frame(text), *cite(1))
    assert [each["type"] for each in found] == ["citation-start", "citation-end", "content-delta"]


def test_ollama_arguments():
    call = {"function": {"name": "f", "arguments": {"a": "SECRET", "b": [1]}}}
    (told,) = lines(
        {"model": "m", "message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False}
    )
    assert told["message"]["tool_calls"][0]["function"]["arguments"] == {"a": "[x]", "b": [1]}
