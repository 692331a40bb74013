"""Streams of a gemini provider through the machine: to its own clients in both forms, folded, and told to others."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.framing.sse import SSEFramer
from penstock.outcome import Outcome
from penstock.stream.commands import End, Head, Send
from penstock.stream.inputs import Stop
from penstock.testing.gemini import array, call, chunk, error, plan, request, sse, text, thought
from penstock.testing.run import Ends, Meanwhile, Opens, Responds, Sends, run, script
from penstock.testing.transcript import Transcript
from penstock.wire.openai_chat_client import read_request as read_chat

KIND = ((b"content-type", b"text/event-stream"),)
ANSWER = [chunk(thought("hm")), chunk(text("Hi")), chunk(text("!")), chunk(text(""), reason="STOP")]
CHAT = b'{"model":"m","stream":%s,"messages":[],"stream_options":{"include_usage":true}}'


def chat(stream: bool = True) -> Any:
    body = CHAT % b"true" if stream else b'{"model":"m","messages":[]}'
    return read_chat(body)


def played(*pieces: bytes, query: str = "alt=sse", clean: bool = True, targets: int = 1, **policies: Any) -> Transcript:
    return run(plan(request(query), targets=targets, **policies), [script(*pieces, clean=clean)])


def chunks(body: bytes) -> list[Any]:
    """The JSON of an openai-chat stream's frames."""
    frames = [frame[6:-2] for frame in SSEFramer().feed(body)]
    return [json.loads(frame) for frame in frames if frame[:1] == b"{"]


@pytest.mark.parametrize("query", ["alt=sse", ""])
@pytest.mark.parametrize("size", [1, 50, 1 << 20])
def test_a_client_gets_the_provider_s_bytes(query, size):
    data = b"".join(map(sse, ANSWER)) if query else array(*ANSWER)
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    transcript = run(plan(request(query)), [script(*pieces, gap=0.0)])
    assert transcript.outcome is Outcome.COMPLETED
    assert transcript.body == data
    head = next(command for command in transcript.commands if isinstance(command, Head))
    assert dict(head.headers)[b"content-type"].startswith(b"text/event-stream" if query else b"application/json")


@pytest.mark.parametrize("query", ["alt=sse", ""])
def test_the_answer_ends_with_the_body_and_not_with_the_first_finish(query):
    bodies = [chunk(text("a"), reason="STOP"), chunk(text("b"), reason="STOP")]
    data = b"".join(map(sse, bodies)) if query else array(*bodies)
    at = data.index(b'"b"')
    transcript = played(data[:at], data[at:], query=query)
    assert transcript.body == data
    ends = [turn.at for turn in transcript.turns for command in turn.commands if isinstance(command, End)]
    assert ends == [transcript.turns[-1].at]


CUTS = {
    "between frames": b"",
    "inside a frame": b'data: {"candidates":[{"cont',
}


@pytest.mark.parametrize("half", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("clean", [True, False], ids=["clean", "broken"])
def test_a_cut_is_told_and_nothing_half_is_handed_on(half, clean):
    whole = sse(chunk(text("a")))
    transcript = played(whole, half, clean=clean) if half else played(whole, clean=clean)
    assert transcript.outcome is Outcome.UPSTREAM_CUT
    told = transcript.body.removeprefix(whole)
    assert json.loads(told.removeprefix(b"data: "))["error"]["code"] == 502
    assert transcript.commands[-3] == End(cut=True)
    assert b"finishReason" not in transcript.body


def test_a_cut_array_is_closed_with_the_error():
    transcript = played(array(chunk(text("a")), closed=False), b',\r\n{"cand', query="")
    said = json.loads(transcript.body)
    assert len(said) == 2 and said[1]["error"]["status"] == "UNAVAILABLE"
    assert transcript.commands[-3] == End()


@pytest.mark.parametrize("query", ["alt=sse", ""])
def test_before_the_first_token_a_failure_is_a_status(query):
    for body, status in [(error(429, "RESOURCE_EXHAUSTED"), 429), (chunk(text(""), reason="OTHER"), 502)]:
        transcript = played(array(body) if not query else sse(body), query=query)
        assert transcript.head is not None and transcript.head.status == status
        said = json.loads(transcript.body)
        assert (said if query else said[0])["error"]["code"] == status


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "NO_IMAGE"])
@pytest.mark.parametrize("client", ["gemini", "openai-chat"])
def test_a_finish_that_is_an_error_goes_to_the_next_target(reason, client):
    """G2, before anything was released: no clean stop, no endless retry by the client."""
    asked = request() if client == "gemini" else chat()
    bad, good = sse(chunk(c_content={}, reason=reason)), b"".join(map(sse, ANSWER))
    transcript = run(plan(asked, client=client, targets=2), [script(bad), script(good)])
    assert transcript.outcome is Outcome.COMPLETED
    assert reason.encode() not in transcript.body


@pytest.mark.parametrize("client", ["gemini", "openai-chat"])
def test_behind_output_it_is_told(client):
    asked = request() if client == "gemini" else chat()
    data = sse(chunk(text("a"))) + sse(chunk(text(""), reason="MALFORMED_FUNCTION_CALL", c_finishMessage="bad call"))
    transcript = run(plan(asked, client=client, targets=2), [script(data)])
    assert transcript.outcome is Outcome.UPSTREAM_ERROR
    assert b"bad call" in transcript.body and b"MALFORMED_FUNCTION_CALL" in transcript.body
    if client == "gemini":
        assert transcript.body.startswith(data)
    else:
        assert b'"finish_reason":"stop"' not in transcript.body and b"[DONE]" not in transcript.body


def test_a_blocked_prompt_is_complete_and_empty():
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 4}}
    transcript = played(sse(blocked), targets=2)
    assert transcript.outcome is Outcome.COMPLETED and transcript.body == sse(blocked)
    assert transcript.account.finish == "SAFETY"
    told = run(plan(chat(), client="openai-chat"), [script(sse(blocked))])
    assert told.outcome is Outcome.COMPLETED
    assert chunks(told.body)[-2]["choices"][0]["finish_reason"] == "content_filter"


def test_an_answer_without_output_is_no_answer():
    assert played(sse(chunk(text(""), reason="STOP"))).outcome is Outcome.EMPTY


def test_a_document_in_place_of_a_stream_is_a_stream():
    body = json.dumps(chunk(text("Hi"), reason="STOP"), indent=2).encode()
    for query in ("alt=sse", ""):
        transcript = played(body, query=query)
        assert transcript.outcome is Outcome.COMPLETED
        said = json.loads(transcript.body[6:]) if query else json.loads(transcript.body)[0]
        assert said == json.loads(body)


def test_a_provider_that_stalls_behind_its_finish():
    for query in ("alt=sse", ""):
        body = chunk(text("a"), reason="STOP")
        data = sse(body) if query else b"[" + json.dumps(body).encode()
        transcript = run(plan(request(query)), [[(0.0, Opens()), (0.0, Responds()), (0.1, Sends(data))]])
        assert transcript.outcome is Outcome.COMPLETED
        if not query:
            assert json.loads(transcript.body) == [body]


@pytest.mark.parametrize("query", ["alt=sse", ""])
def test_keepalives_are_blank_lines_or_nothing(query):
    bodies = [sse(body) for body in ANSWER] if query else [array(*ANSWER)[:-20], array(*ANSWER)[-20:]]
    steps = [(0.0, Opens()), (0.0, Responds()), *((3.0, Sends(body)) for body in bodies), (0.0, Ends())]
    transcript = run(plan(request(query), keepalive=1.0, commit_after=1.0), [steps])
    assert transcript.outcome is Outcome.COMPLETED
    sent = [command.data for command in transcript.commands if isinstance(command, Send)]
    assert all(sent)
    extra = [data for data in sent if data == b"\r\n"]
    assert bool(extra) is bool(query)
    assert b"".join(data for data in sent if data != b"\r\n") == b"".join(bodies)
    assert transcript.account.keepalives == len(extra)


@pytest.mark.parametrize("query", ["alt=sse", ""])
@pytest.mark.parametrize("begun", [False, True], ids=["before", "in the middle"])
def test_a_stopped_stream_is_whole(query, begun):
    first = [(0.1, Sends(sse(ANSWER[1]) if query else array(ANSWER[1], closed=False)))] if begun else []
    steps = [(0.0, Opens()), (0.0, Responds()), *first, (1.0, Meanwhile(Stop()))]
    transcript = run(plan(request(query)), [steps])
    assert transcript.outcome is Outcome.STOPPED
    said = [json.loads(f[6:]) for f in SSEFramer().feed(transcript.body)] if query else json.loads(transcript.body)
    assert said[-1]["candidates"][0]["finishReason"] == "STOP"
    assert len(said) == 1 + begun


@pytest.mark.parametrize("query", ["alt=sse", ""])
def test_a_whole_answer_is_the_fold(query):
    data = b"".join(map(sse, ANSWER))
    transcript = run(plan(request(query, stream=False)), [script(data)])
    assert transcript.outcome is Outcome.COMPLETED
    answer = json.loads(transcript.body)
    assert answer["candidates"][0]["content"]["parts"] == [thought("hm"), text("Hi!")]
    broken = run(plan(request(query, stream=False)), [script(data[:-100])])
    assert broken.head is not None and broken.head.status == 502
    assert json.loads(broken.body)["error"]["status"] == "UNAVAILABLE"


@pytest.mark.parametrize("stream", [True, False])
def test_a_wait_that_the_body_names_is_a_header(stream):
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
    body = json.dumps([error(429, "RESOURCE_EXHAUSTED", details=[info])]).encode()
    steps = [(0.0, Opens()), (0.0, Responds(429, KIND)), (0.0, Sends(body)), (0.0, Ends())]
    transcript = run(plan(chat(stream), client="openai-chat"), [steps])
    assert transcript.head is not None and transcript.head.status == 429
    assert dict(transcript.head.headers)[b"retry-after"] == b"35"
    assert json.loads(transcript.body)["error"]["type"] == "RESOURCE_EXHAUSTED"


# -- told in another wire's words -------------------------------------------------------------------------------------


def test_openai_clients_get_text_thoughts_calls_and_usage():
    bodies = [
        chunk(thought("hm"), usageMetadata={"promptTokenCount": 9, "thoughtsTokenCount": 1}),
        chunk(text("Hi"), text("", thoughtSignature="S1")),
        chunk(call("f", {"a": 1}, "S2"), call("g"), reason="STOP"),
        {"usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 4, "thoughtsTokenCount": 2}},
    ]
    transcript = run(plan(chat(), client="openai-chat"), [script(*map(sse, bodies))])
    assert transcript.outcome is Outcome.COMPLETED
    said = chunks(transcript.body)
    deltas = [one["choices"][0]["delta"] for one in said if one["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hi"
    assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hm"
    calls = [made for delta in deltas for made in delta.get("tool_calls", ())]
    assert [(c["index"], c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls] == [
        (0, "call_r1_0", "f", '{"a":1}'),
        (1, "call_r1_1", "g", "{}"),
    ]
    assert calls[0]["extra_content"] == {"google": {"thought_signature": "S2"}}
    assert said[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert (said[-1]["usage"]["prompt_tokens"], said[-1]["usage"]["completion_tokens"]) == (9, 6)
    assert transcript.body.endswith(b"data: [DONE]\n\n")


def test_output_behind_a_finish_is_told_and_the_last_finish_counts():
    bodies = [chunk(text("a"), reason="STOP"), chunk(text("b"), reason="STOP"), chunk(reason="RECITATION")]
    said = chunks(run(plan(chat(), client="openai-chat"), [script(*map(sse, bodies))]).body)
    assert "".join(one["choices"][0]["delta"].get("content") or "" for one in said if one["choices"]) == "ab"
    finishes = [one["choices"][0]["finish_reason"] for one in said if one["choices"]]
    assert [reason for reason in finishes if reason] == ["content_filter"]


def test_what_breaks_behind_its_finish_does_not_look_finished():
    data = sse(chunk(text("a"), reason="STOP"))
    transcript = run(plan(chat(), client="openai-chat"), [script(data, clean=False)])
    assert transcript.outcome is Outcome.UPSTREAM_CUT
    assert b'"finish_reason":"stop"' not in transcript.body and b'"error"' in transcript.body


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 5]), max_size=8), st.booleans(), st.integers(1, 60))
def test_whatever_comes_the_told_stream_is_legal(picks, whole, size):
    """The chunks in any order, cut anywhere, whole or not: roles first, one finish, nothing behind it, one end."""
    pool = [
        chunk(text("a")),
        chunk(thought("b"), text("", thoughtSignature="S")),
        chunk(call("f", {"x": 1}), reason="STOP"),
        chunk(call("g", partialArgs=[{"jsonPath": "$.a", "stringValue": "v"}], willContinue=True)),
        chunk(text(""), reason="MAX_TOKENS", usageMetadata={"promptTokenCount": 1, "candidatesTokenCount": 2}),
        chunk(c_groundingMetadata={"groundingChunks": [{"web": {"uri": "https://x"}}]}),
    ]
    bodies = [pool[pick] for pick in picks]
    data = b"".join(map(sse, bodies))
    data = data if whole else data[: len(data) // 2]
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    transcript = run(plan(chat(), client="openai-chat"), [script(*pieces, gap=0.0)])
    if transcript.head is None or transcript.head.status != 200:
        return
    said = chunks(transcript.body)
    finished = False
    for place, one in enumerate(said):
        assert not (finished and one.get("choices")), "a delta behind the finish"
        if "error" in one:
            assert place == len(said) - 1
            continue
        if not one["choices"]:
            continue
        choice = one["choices"][0]
        assert ("role" in choice["delta"]) is (place == 0)
        finished = finished or bool(choice["finish_reason"])
    complete = transcript.outcome is Outcome.COMPLETED
    assert finished is complete
    assert transcript.body.endswith(b"data: [DONE]\n\n") is complete
