"""openai-responses, client side: requests, keep-alives, errors that go on where the answer is, stops, and the fold."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import BadRequest, Fault
from penstock.framing import sse
from penstock.outcome import Outcome
from penstock.stream.inputs import Stop
from penstock.testing import frames as chat
from penstock.testing.responses import (
    added,
    answer,
    created,
    ended,
    frame,
    item_done,
    message,
    plan,
    read,
    response,
    text,
)
from penstock.testing.run import Ends, Opens, Responds, Sends, Stalls, run, script
from penstock.wire.openai_responses import ResponsesDecoder
from penstock.wire.openai_responses_client import ResponsesClient, read_request, upstream_body
from penstock.wire.openai_responses_fold import ResponsesFold, frames_of_answer
from penstock.wire.registry import UPSTREAM_WIRES, client_wire_at

FAULT = Fault("the dam broke", "upstream_cut", outcome="upstream_cut")


def client() -> ResponsesClient:
    return ResponsesClient(read_request(b'{"model":"gpt","input":"Hi","stream":true}'), "s1")


# -- requests ---------------------------------------------------------------------------------------------------------


def test_a_request_is_read():
    request = read_request(b'{"model":"gpt","input":"Hi","stream":true,"x_unknown":1}')
    assert (request.model, request.stream, request.include_usage) == ("gpt", True, True)
    for silent in (b"{", b'{"stream":null,', b'{"stream":false,'):
        assert not read_request(silent + b'"model":"gpt"}').stream


REFUSED = {
    b"{oops": ("invalid_json", None),
    b"[]": ("invalid_json", None),
    b'{"input":"Hi"}': ("invalid_request", "model"),
    b'{"model":7}': ("invalid_request", "model"),
    b'{"model":"gpt","stream":"false"}': ("invalid_request", "stream"),
}


@pytest.mark.parametrize("body", REFUSED)
def test_a_request_that_cannot_be_read(body):
    with pytest.raises(BadRequest) as caught:
        read_request(body)
    assert (caught.value.code, caught.value.param) == REFUSED[body]


def test_the_body_for_a_provider_is_the_clients_own():
    asked = {"model": "gpt", "input": [{"x": 1}], "store": True, "tools": [{"type": "web_search"}], "x_unknown": [None]}
    sent = json.loads(upstream_body(read_request(json.dumps(asked).encode()), "served"))
    assert sent == {**asked, "model": "served", "stream": True}


def test_the_wire_is_served_at_one_path():
    wire = client_wire_at("/v1/responses")
    assert wire is not None and wire.name == "openai-responses"
    for other in ("/v1/responses/resp_1", "/v1/responses/resp_1/cancel"):
        assert client_wire_at(other) is None
    assert UPSTREAM_WIRES["openai-responses"].path(read_request(b'{"model":"gpt"}'), "m") == "/responses"


# -- what Penstock says -----------------------------------------------------------------------------------------------


def test_an_error_before_anything_was_sent_is_whole():
    got = read(client().error_frame(FAULT))
    assert [event["type"] for event in got.events] == ["error", "response.failed"]
    error, failed = got.events
    assert error["code"] == error["error"]["code"] == "upstream_cut"
    assert error["message"] == error["error"]["message"] == "the dam broke"
    assert error["error"]["stream"] == "s1"
    assert failed["response"]["id"] == "resp_s1" and failed["response"]["model"] == "gpt"


def test_keep_alives_and_gaps_are_comments():
    for said in (client().keepalive(), client().skipped()):
        assert sse.parse(said).comment and sse.parse(said).data is None
    assert client().end_marker() == b""


def test_a_stop_before_anything_was_sent_is_a_whole_answer():
    got = read(client().stop_frames("resp_7", "served", None))
    assert (got.response["id"], got.response["model"], got.response["output"]) == ("resp_7", "served", [])
    assert got.response["status"] == "completed"


# -- in the course of a stream ----------------------------------------------------------------------------------------

PLACE: dict[str, Any] = {"item_id": "i0", "output_index": 0, "content_index": 0}
BEGUN = [
    created(),
    added(),
    frame("response.content_part.added", **PLACE, part={"type": "output_text", "text": "", "annotations": []}),
    text("The weir", sequence_number=3),
]


def test_an_error_goes_on_where_the_answer_is():
    body = run(plan(), [script(*BEGUN)]).body
    events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert [event.get("sequence_number") for event in events[-3:]] == [3, 4, 5]
    assert events[-1]["response"]["id"] == "resp_1" and events[-1]["response"]["model"] == "m"
    assert events[-1]["response"]["status"] == "failed"


def test_an_error_of_an_attempt_that_showed_nothing_starts_from_nothing():
    """The head is out early; what the attempt said before it failed never reached the client."""
    steps = [(0.1, Opens()), (0.1, Responds()), (0.1, Sends(created() + added())), (5.0, Stalls())]
    body = run(plan(commit_after=1.0, keepalive=1.0, first_token=3.0), [steps]).body
    got = read(body)
    assert [event["type"] for event in got.events] == ["error", "response.failed"]
    assert got.response["id"] == "resp_st_play"


def test_an_error_of_a_second_attempt_goes_on_from_that():
    first = [(0.1, Opens()), (0.1, Responds()), (0.1, Sends(b"".join([created()] * 9))), (0.1, Ends())]
    body = run(plan(targets=2), [first, script(*BEGUN)]).body
    assert b'"sequence_number":5' in body and b'"sequence_number":6' not in body


@pytest.mark.parametrize("upstream", ["openai-responses", "openai-chat"])
def test_a_stop_in_the_middle_finishes_the_answer(upstream):
    begun = {
        "openai-responses": [created(), *BEGUN[1:3], text("The weir", sequence_number=3)],
        "openai-chat": [chat.role(), chat.chunk("The weir")],
    }[upstream]
    steps = [(0.0, Opens()), (0.0, Responds()), *((0.0, Sends(one)) for one in begun), (9.0, Stalls())]
    transcript = run(plan(upstream=upstream), [steps], [(1.0, Stop())])
    assert transcript.outcome is Outcome.STOPPED
    body = transcript.body
    if upstream == "openai-responses":
        # Our examples have no numbers; what Penstock adds does.
        assert body.startswith(b"".join(begun))
        tail = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")][len(begun) :]
        assert [event["sequence_number"] for event in tail] == [4, 5, 6, 7]
        last = tail[-1]
        assert tail[0]["text"] == tail[1]["part"]["text"] == "The weir"
    else:
        last = read(body).events[-1]
    assert last["type"] == "response.completed" and last["response"]["status"] == "completed"
    assert last["response"]["output"][0]["content"][0]["text"] == "The weir"


def test_a_stop_of_an_answer_that_is_not_streamed():
    steps = [(0.0, Opens()), (0.0, Responds()), (0.0, Sends(b"".join(BEGUN))), (9.0, Stalls())]
    transcript = run(plan(stream=False), [steps], [(1.0, Stop())])
    whole = json.loads(transcript.body)
    assert whole["status"] == "completed" and whole["output"][0]["content"][0]["text"] == "The weir"


def test_a_stop_before_the_first_token():
    steps = [(0.0, Opens()), (0.0, Responds()), (0.0, Sends(created())), (9.0, Stalls())]
    got = read(run(plan(), [steps], [(1.0, Stop())]).body)
    assert (got.response["status"], got.response["output"], got.response["id"]) == ("completed", [], "resp_1")


def test_a_stop_keeps_what_was_done_and_leaves_a_call_out():
    call = {"call_id": "c", "name": "f", "arguments": ""}
    thought = {"summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "s"}
    decoder = ResponsesDecoder()
    for one in (
        created(),
        added(0, "reasoning"),
        frame("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="hm"),
        item_done(0, "reasoning", **thought),
        added(1),
        text("The", 1),
        text(" weir", 1),
        frame(
            "response.content_part.done",
            output_index=1,
            content_index=0,
            part={"type": "output_text", "text": "The weir"},
        ),
        text(" holds", 1, 1),
        added(2, "function_call", **call),
        frame("response.function_call_arguments.delta", output_index=2, delta='{"x'),
    ):
        decoder.decode(one)
    last = json.loads(decoder.stop().strip().rpartition(b"data: ")[2])["response"]
    reasoning, said = last["output"]
    assert reasoning["encrypted_content"] == "s"
    assert [part["text"] for part in said["content"]] == ["The weir", " holds"]


def test_a_very_long_answer_is_stopped_without_its_copies():
    decoder = ResponsesDecoder()
    for one in (created(), added(), text("x"), text("y" * 5_000_000)):
        decoder.decode(one)
    (last,) = [one for one in decoder.stop().split(b"\n\n") if one]
    assert len(last) < 1000 and b"response.completed" in last


# -- the fold ---------------------------------------------------------------------------------------------------------


def folded(*several: bytes) -> bytes:
    fold = ResponsesFold()
    for one in several:
        fold.feed(one)
    return fold.answer()


def test_the_folded_answer_is_the_providers_own_bytes():
    raw = b'{"id": "r",  "x_unknown": [1.50], "output": [{"type":"message"}], "usage": null}'
    last = b'event: response.completed\ndata: {"type":"response.completed","response":' + raw + b"}\n\n"
    assert folded(created(), text("Hi"), last) == raw


def test_what_the_terminal_event_lacks_is_taken_from_the_items():
    several = created() + item_done(1, "function_call", name="f") + item_done(0, x_unknown=1) + ended()
    whole = json.loads(folded(several))
    assert [item["type"] for item in whole["output"]] == ["message", "function_call"]
    assert whole["output"][0]["x_unknown"] == 1


def test_the_fold_takes_any_bytes():
    assert folded(b"data: [DONE]\n\n", b": x\n\n", b"data: response.completed\n\n", text("response.completed")) == b"{}"


@given(st.binary(max_size=60))
def test_no_bytes_whatsoever_break_the_fold(data):
    folded(data, b"data: " + data + b"\n\n")


def test_a_document_in_place_of_a_stream():
    wire = UPSTREAM_WIRES["openai-responses"]
    reasoning = {"id": "r", "type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}
    call = {
        "id": "f",
        "type": "function_call",
        "call_id": "c",
        "name": "f",
        "arguments": '{"x":1}',
        "status": "completed",
    }
    search = {"id": "w", "type": "web_search_call", "status": "completed"}
    whole = response("completed", output=[reasoning, search, message("The weir"), call], x_unknown=1)
    whole["usage"] = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
    found = wire.whole(json.dumps(whole).encode())
    assert isinstance(found, list)
    got = read(b"".join(found))
    assert (got.text, got.reasoning, got.calls) == ("The weir", "hm", [("f", '{"x":1}')])
    assert got.response == whole and got.events[0]["response"]["status"] == "in_progress"


DOCUMENTS = {b"<html>": None, b"[1]": None, b'{"id":"x"}': None, b'"x"': None}


@pytest.mark.parametrize("body", DOCUMENTS)
def test_a_document_that_is_no_answer(body):
    assert UPSTREAM_WIRES["openai-responses"].whole(body) is None


def test_a_document_that_is_an_error():
    body = json.dumps(response("failed", error={"code": "server_error", "message": "oh"})).encode()
    for report in (UPSTREAM_WIRES["openai-responses"].whole(body), UPSTREAM_WIRES["openai-responses"].error(body)):
        assert (report.message, report.code) == ("oh", "server_error")


def test_a_document_ends_like_a_stream():
    whole = response("incomplete", output=[message("The")], incomplete_details={"reason": "max_output_tokens"})
    decoder = ResponsesDecoder()
    for one in frames_of_answer(whole):
        assert decoder.decode(one)[0] == one
    assert decoder.incomplete(clean=True) is None


@pytest.mark.parametrize("upstream", ["openai-responses", "openai-chat"])
def test_an_answer_that_is_not_streamed(upstream):
    said = {"openai-responses": answer("The", " weir"), "openai-chat": chat.answer("The", " weir")}[upstream]
    transcript = run(plan(upstream=upstream, stream=False), [script(said)])
    assert transcript.outcome is Outcome.COMPLETED
    whole = json.loads(transcript.body)
    assert whole["output"][0]["content"][0]["text"] == "The weir" and whole["status"] == "completed"


def test_a_chat_provider_is_told_in_this_wire():
    said = chat.role() + chat.reasoning("hm") + chat.chunk("Hi") + chat.tool(0, id="c", name="f", arguments="{}")
    said += chat.finish("tool_calls") + chat.usage(9, 4) + chat.DONE
    got = read(run(plan(upstream="openai-chat"), [script(said)]).body)
    assert (got.reasoning, got.text, got.calls) == ("hm", "Hi", [("f", "{}")])
    assert got.response["usage"]["total_tokens"] == 13 and got.response["status"] == "completed"


def test_a_chat_provider_that_breaks_off_is_an_error_in_this_wire():
    body = run(plan(upstream="openai-chat"), [script(chat.role(), chat.chunk("Hi"))]).body
    got = read(body)
    assert got.error is not None and got.error["code"] == "upstream_cut" and got.text == "Hi"
    assert got.response["status"] == "failed"
