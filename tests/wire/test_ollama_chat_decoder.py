"""ollama-chat, upstream side: every row of the format, every mending, every ending (wire-formats.md §8.1)."""

from __future__ import annotations

import json

import pytest

from penstock.errors import Fault
from penstock.events import (
    EndMarker,
    ErrorReport,
    Finish,
    Heartbeat,
    Malformed,
    Media,
    Opaque,
    Reasoning,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.outcome import Outcome
from penstock.testing.corpus import examples
from penstock.testing.laws import check_laws
from penstock.testing.messages import plan
from penstock.testing.run import Ends, Opens, Responds, Sends, run, script
from penstock.testing.wire_cases import assert_meant, chat_chunks, chat_says, lines, read
from penstock.usage import Usage
from penstock.wire.base import Body
from penstock.wire.ollama_chat import OllamaDecoder
from penstock.wire.ollama_chat_wire import OllamaUpstream
from penstock.wire.ollama_errors import error_body

EXAMPLES = examples("ollama-chat")
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
COMPLETED = [example for example in EXAMPLES if example.outcome == "completed"]
completed = pytest.mark.parametrize("example", COMPLETED, ids=lambda example: example.file)
SERVED = [example for example in COMPLETED if example.file != "generate.ndjson"]
"""``/api/generate`` is read where a provider sends it, and no client asks for it."""
WIRES = {"client": "ollama-chat", "upstream": "ollama-chat"}


def line(message=None, **fields):
    body = {
        "model": "m",
        "created_at": "t",
        **({} if message is None else {"message": message}),
        "done": False,
        **fields,
    }
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def started():
    decoder = OllamaDecoder()
    assert decoder.decode(line({"content": "a"}))[1] == (Start("", "m"), Text("a"))
    return decoder


@pytest.mark.parametrize(
    ("frame", "events"),
    [
        (line({"content": "Hi"}), (Text("Hi"),)),
        (line({"content": ""}), (Opaque(),)),
        (line({"content": "", "thinking": "hm"}), (Reasoning("hm"),)),
        (line({"content": "Hi", "thinking": "hm"}), (Reasoning("hm"), Text("Hi"))),
        (line({"content": "", "images": ["aGk="]}), (Media(),)),
        (line(response="Hi"), (Text("Hi"),)),
        (line(response="", thinking="hm"), (Reasoning("hm"),)),
        (
            line({"content": "", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {"a": 1.50}}}]}),
            (ToolArguments(0, "c", "f", '{"a":1.5}'),),
        ),
        (
            line({"tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}, {"function": {"name": "g"}}]}),
            (ToolArguments(0, "", "f", '{"a": 1}'), ToolArguments(1, "", "g", "{}")),
        ),
        (line({"tool_calls": [{"function": {"name": "f", "arguments": None}}]}), (ToolArguments(0, "", "f", "{}"),)),
        (line({"content": ""}, done=True), (Finish("stop"), EndMarker())),
        (
            line({"content": ""}, done=True, done_reason="length", prompt_eval_count=3, eval_count=2),
            (UsageReport(Usage(3, 2)), Finish("length", kind="length"), EndMarker()),
        ),
        (line({"content": ""}, done=True, done_reason="load"), (Finish("load"), EndMarker())),
        (line({"content": ""}, done_reason="stop"), (Finish("stop"),)),
        (line(error="boom"), (ErrorReport("boom"),)),
        (line(error=""), (Opaque(),)),
        (b'{"x":{"y":[1]}}\n', (Opaque(),)),
        (b'{"message":"no object"}\n', (Opaque(),)),
        (b"{bad\n", (Malformed("a line is not JSON"),)),
        (b"7\n", (Malformed("a line is JSON but no object"),)),
    ],
)
def test_a_line_means(frame, events):
    assert started().decode(frame)[1] == events


def test_a_call_makes_stop_a_finish_for_tools():
    decoder = started()
    decoder.decode(line({"tool_calls": [{"function": {"name": "f", "arguments": {}}}]}))
    assert decoder.decode(line(done=True, done_reason="stop"))[1][0] == Finish("stop", kind="tool_calls")


def test_numbers_in_arguments_stay_as_they_were_written():
    frame = (
        b'{"message":{"tool_calls":[{"function":{"name":"f","arguments":{"n":1.10,"big":12345678901234567890123}}}]}}\n'
    )
    (event,) = started().decode(frame)[1]
    assert event.arguments == '{"n":1.10,"big":12345678901234567890123}'


@pytest.mark.parametrize(
    ("frame", "handed_on", "event"),
    [
        (b'data: {"message":{"content":"a"}}\n', b'{"message":{"content":"a"}}\n', Text("a")),
        (b'data:{"message":{"content":"a"}}\r\n', b'{"message":{"content":"a"}}\n', Text("a")),
        (b"data: [DONE]\n", None, Opaque()),
        (b": hi\n", None, Heartbeat()),
        (b"event: message\n", None, Heartbeat()),
        (b"\n", None, Heartbeat()),
        (b"\r\n", None, Heartbeat()),
        (
            '{"message":{"content":"a\u2028b\x85c\u2029"}}\n'.encode(),
            b'{"message":{"content":"a\\u2028b\\u0085c\\u2029"}}\n',
            Text("a\u2028b\x85c\u2029"),
        ),
        ('{"message":{"content":"é"}}\n'.encode(), '{"message":{"content":"é"}}\n'.encode(), Text("é")),
    ],
)
def test_mendings(frame, handed_on, event):
    assert started().decode(frame) == (handed_on, (event,))


def test_the_error_line_keeps_what_else_it_says_and_maps_to_a_status():
    decoder = started()
    frame = b'{"error":"unauthorized","signin_url":"https://x","status":401}\n'
    ((report,), failed) = decoder.decode(frame)[1], decoder.failed
    assert (report.message, report.status, report.fields, failed) == (
        "unauthorized", 401, {"signin_url": "https://x"}, True,
    )  # fmt: skip
    assert decoder.incomplete(clean=True) == "the provider reported an error"
    fault = Fault("slow down", "rate_limited", "rate_limit_error", 429, outcome="upstream_error")
    again = OllamaUpstream().error(error_body(fault, "st_1"))
    assert (again.message, again.code, again.type, again.status) == (
        "slow down", "rate_limited", "rate_limit_error", 429,
    )  # fmt: skip
    assert again.fields is None


@by_name
def test_an_example_means_what_its_index_says(example):
    _, events, _ = read("ollama-chat", [example.read()])
    assert_meant(example, events)


@by_name
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_an_example_ends_as_it_should_and_arrives_as_it_was(example, size):
    data = example.read()
    transcript = run(plan(**WIRES), [script(*(data[i : i + size] for i in range(0, len(data), size)), gap=0.0)])
    assert transcript.outcome == example.outcome
    if example.identical:
        assert transcript.body == data
    if example.outcome == "completed":
        found = lines(transcript.body.replace(b"\r\n", b"\n"))
        assert [value["done"] for value in found[:-1]] == [False] * (len(found) - 1)
        assert transcript.account.warnings == example.oddities
        check_laws(transcript, replay=False)
    elif transcript.head.status == 200:
        *before, last = lines(transcript.body)
        assert isinstance(last["error"], str) and last["stream"] == "st_play"
        assert last["code"] in (example.outcome, transcript.outcome)
        assert "".join(value["message"]["content"] for value in before) == example.text
        assert not any(value["done"] for value in before)
    else:
        body = json.loads(transcript.body)
        assert transcript.head.status == 502 and body["error"] and body["stream"] == "st_play"


@completed
def test_a_chat_client_reads_the_same(example):
    transcript = run(plan(client="openai-chat", upstream="ollama-chat"), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    assert chat_says(chat_chunks(transcript.body)) == (example.text, example.reasoning, example.tools)


@pytest.mark.parametrize("example", SERVED, ids=lambda example: example.file)
def test_the_folded_answer_is_what_it_would_have_been(example):
    transcript = run(plan(stream=False, **WIRES), [script(example.read())])
    assert transcript.outcome is Outcome.COMPLETED
    answer = json.loads(transcript.body)
    message = answer["message"]
    assert (message["role"], message["content"]) == ("assistant", example.text)
    assert message.get("thinking", "") == example.reasoning
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls", ())]
    assert calls == [(name, json.loads(arguments)) for name, arguments in example.tools]
    assert answer["done"] is True or example.oddities
    assert answer.get("eval_count") == (example.usage or {}).get("output")


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "body"),
    [
        (b"", Body.UNKNOWN),
        (b" \n", Body.UNKNOWN),
        (b"{", Body.UNKNOWN),
        (b'{"model"', Body.STREAM),
        (b'{ "model"', Body.STREAM),
        (b"{\n ", Body.WHOLE),
        (b"{ \r\n", Body.WHOLE),
        (b"da", Body.UNKNOWN),
        (b"data: {", Body.STREAM),
        (b": hi", Body.STREAM),
        (b"[", Body.WHOLE),
        (b"<html>", Body.WHOLE),
        (b"upstream", Body.WHOLE),
        (b" " * 5000, Body.STREAM),
    ],
)
def test_what_a_body_is(start, body):
    assert OllamaUpstream().sniff(start, b"text/event-stream") is body


def answered(data, status=200, kind=b"application/json"):
    steps = [(0.1, Opens()), (0.1, Responds(status, ((b"content-type", kind),))), (0.1, Sends(data)), (0.0, Ends())]
    return run(plan(**WIRES), [steps])


def test_a_whole_answer_is_its_only_line():
    answer = {"model": "m", "created_at": "t", "message": {"role": "assistant", "content": "Hi"}, "done": True}
    for data in (json.dumps(answer).encode(), json.dumps(answer, indent=1).encode()):
        transcript = answered(data)
        assert transcript.outcome is Outcome.COMPLETED
        assert lines(transcript.body) == [answer]


def test_an_error_document_in_place_of_a_stream():
    for data in (b'{"error":"boom"}', b'{\n  "error": "boom"\n}'):
        transcript = answered(data)
        assert (transcript.outcome, transcript.head.status) == (Outcome.UPSTREAM_ERROR, 502)
        assert json.loads(transcript.body)["error"] == "boom"


def test_an_http_error_goes_on_as_it_is():
    transcript = answered(b'{"error":"model \'x\' not found"}', 404)
    assert transcript.head.status == 404
    assert transcript.body == b'{"error":"model \'x\' not found"}'


def test_the_page_of_a_proxy_is_no_answer():
    transcript = answered(b"<html>hello</html>", kind=b"text/html")
    assert transcript.outcome is Outcome.UPSTREAM_ERROR and "text/html" in json.loads(transcript.body)["error"]


def test_a_broken_connection_behind_the_last_line_takes_nothing_away():
    data = line({"content": "Hi"}) + line({"content": ""}, done=True)
    for sent in (data, data[:-1]):
        assert run(plan(**WIRES), [script(sent, clean=False)]).outcome is Outcome.COMPLETED
    reason_only = line({"content": "Hi"}) + line({"content": ""}, done_reason="stop")
    assert run(plan(**WIRES), [script(reason_only, clean=False)]).outcome is Outcome.UPSTREAM_CUT


def test_what_it_sends():
    wire = OllamaUpstream()
    assert wire.credentials("k") == [("authorization", "Bearer k")]
    assert dict(wire.headers(None))["content-type"] == "application/json"
    assert wire.path(None, "m") == "/api/chat"
