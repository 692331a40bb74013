"""tgi, upstream only (wire-formats.md §8.2): its frames, its endings, requests to it."""

from __future__ import annotations

import json

import pytest

from penstock.errors import BadRequest
from penstock.events import EndMarker, ErrorReport, Finish, Heartbeat, Malformed, Opaque, Text, UsageReport
from penstock.outcome import Outcome
from penstock.testing.corpus import examples
from penstock.testing.messages import plan
from penstock.testing.run import Ends, Opens, Responds, Sends, run, script
from penstock.testing.wire_cases import assert_meant, chat_chunks, chat_says, lines, read
from penstock.usage import Usage
from penstock.wire.conversation import Conversation, Format, ImagePart, Message, TextPart, Tool, ToolChoice
from penstock.wire.tgi import TGIDecoder, TGIUpstream, error_report, request_body

EXAMPLES = examples("tgi")
DETAILS = {"finish_reason": "length", "generated_tokens": 2, "input_length": 3}
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)


def frame(text, *, special=False, space=b" ", **fields):
    token = {"id": 1, "text": text, "logprob": -0.1, "special": special}
    body = {"index": 1, "token": token, "generated_text": None, "details": None, **fields}
    return b"data:" + space + json.dumps(body).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("given", "events"),
    [
        (frame("Hi"), (Text("Hi"),)),
        (frame("Hi", space=b""), (Text("Hi"),)),
        (frame(""), (Opaque(),)),
        (frame("</s>", special=True), (Opaque(),)),
        (frame("Hi", generated_text="Hi"), (Text("Hi"), Finish("stop"), EndMarker())),
        (frame("</s>", special=True, generated_text=""), (Finish("stop"), EndMarker())),
        (
            frame(
                "Hi", generated_text="Hi", details={"finish_reason": "length", "generated_tokens": 2, "input_length": 3}
            ),
            (Text("Hi"), UsageReport(Usage(3, 2)), Finish("length", kind="length"), EndMarker()),
        ),
        (
            frame("Hi", generated_text="Hi", details={"finish_reason": "stop_sequence"}),
            (Text("Hi"), Finish("stop_sequence", kind="stop_sequence"), EndMarker()),
        ),
        (
            frame("Hi", generated_text="Hi", details={"finish_reason": "eos_token", "generated_tokens": 2}),
            (Text("Hi"), UsageReport(Usage(output=2)), Finish("eos_token"), EndMarker()),
        ),
        (
            b'data: {"error":"boom","error_type":"generation"}\n\n',
            (ErrorReport("boom", "generation", "generation", 424),),
        ),
        (b'data:{"error":"boom"}\n\n', (ErrorReport("boom"),)),
        (b"data: [DONE]\n\n", (Opaque(),)),
        (b":\n\n", (Heartbeat(),)),
        (b'data: {"token":7}\n\n', (Opaque(),)),
        (b'data: {"token":\ndata: {"text":"two"}}\n\n', (Text("two"),)),
        (b"data: {bad\n\n", (Malformed("its data is not JSON"),)),
    ],
)
def test_a_frame_means(given, events):
    assert TGIDecoder().decode(given)[1] == events


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("overloaded", 429), ("validation", 422), ("template_error", 422), ("missing_template_variable", 422),
        ("tool_error", 422), ("generation", 424), ("incomplete_generation", 500), ("incomplete_generation_stream", 500),
        ("novelty", 502),
    ],
)  # fmt: skip
def test_every_error_type(kind, status):
    report = error_report(json.dumps({"error": "boom", "error_type": kind}).encode())
    assert (report.message, report.type, report.code, report.status) == ("boom", kind, kind, status)


def test_errors_of_hugging_face_s_own_host():
    report = error_report(b'{"error":["a","b"],"warnings":["w"]}')
    assert (report.message, report.status, report.fields) == ("a; b", 502, {"warnings": ["w"]})
    assert error_report(b'{"error":"loading","estimated_time":3.5}').status == 503
    assert error_report(b'{"error":{"message":"m"}}').message == "m"
    assert error_report(b"[]") is None and error_report(b"{}") is None and error_report(b"no") is None


@by_name
@pytest.mark.parametrize("size", [1, 9, 1 << 20])
def test_an_example_means_what_its_index_says(example, size):
    data = example.read()
    _, events, _ = read("tgi", [data[i : i + size] for i in range(0, len(data), size)])
    assert_meant(example, events)


@by_name
@pytest.mark.parametrize("client", ["openai-chat", "ollama-chat", "anthropic-messages"])
def test_a_client_of_another_wire_gets_it(example, client):
    transcript = run(plan(client=client, upstream="tgi"), [script(example.read())])
    assert transcript.outcome == example.outcome
    if client == "openai-chat" and example.outcome == "completed":
        assert chat_says(chat_chunks(transcript.body)) == (example.text, "", [])
    if client == "ollama-chat" and transcript.head.status == 200:
        last = lines(transcript.body)[-1]
        assert bool(last.get("done")) is (example.outcome == "completed") is ("error" not in last)


def test_an_answer_without_output_has_failed():
    end = frame("</s>", special=True, generated_text="")
    assert run(plan(client="openai-chat", upstream="tgi"), [script(end)]).outcome is Outcome.EMPTY


@pytest.mark.parametrize("wrap", [lambda answer: answer, lambda answer: [answer]])
def test_a_whole_answer_in_place_of_a_stream(wrap):
    data = json.dumps(
        wrap({"generated_text": "Hi", "details": {"finish_reason": "length", "generated_tokens": 1}})
    ).encode()
    head = Responds(200, ((b"content-type", b"application/json"),))
    steps = [(0.1, Opens()), (0.1, head), (0.1, Sends(data)), (0.0, Ends())]
    transcript = run(plan(client="openai-chat", upstream="tgi"), [steps])
    assert transcript.outcome is Outcome.COMPLETED
    assert chat_says(chat_chunks(transcript.body))[0] == "Hi" and transcript.account.finish == "length"


# -- requests ---------------------------------------------------------------------------------------------------------

HELLO = (Message("user", (TextPart("Hello"), TextPart("!"))),)


def sent(**fields):
    return json.loads(request_body(Conversation(**{"messages": HELLO, **fields}), "served"))


def test_one_text():
    assert sent() == {
        "inputs": "Hello!",
        "parameters": {"details": True, "return_full_text": False},
        "stream": True,
        "model": "served",
    }
    assert sent(system=("Be brief.", "Be kind."))["inputs"] == "Be brief.\n\nBe kind.\n\nHello!"


def test_parameters():
    said = sent(
        max_tokens=9, temperature=0.5, top_p=0.9, top_k=4, seed=7, frequency_penalty=0.1, stop=("x",),
        format=Format({"type": "object"}), user="u",
    )  # fmt: skip
    assert said["parameters"] == {
        "details": True, "return_full_text": False, "max_new_tokens": 9, "temperature": 0.5, "do_sample": True,
        "top_p": 0.9, "top_k": 4, "seed": 7, "frequency_penalty": 0.1, "stop": ["x"],
        "grammar": {"type": "json", "value": {"type": "object"}},
    }  # fmt: skip
    cold = sent(temperature=0)["parameters"]
    assert cold["do_sample"] is False and "temperature" not in cold


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": ()}, "messages"),
        ({"messages": (*HELLO, Message("assistant", (TextPart("x"),)), *HELLO)}, "messages"),
        ({"messages": (Message("user", (ImagePart(data="x"),)),)}, "messages"),
        ({"messages": (Message("assistant", (TextPart("x"),)),)}, "messages"),
        ({"tools": (Tool("f"),)}, "tools"),
        ({"tool_choice": ToolChoice("none")}, "tool_choice"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"format": Format()}, "format"),
        ({"effort": "low"}, "effort"),
    ],
)
def test_what_has_no_place_is_refused(fields, param):
    with pytest.raises(BadRequest) as raised:
        sent(**fields)
    assert (raised.value.param, raised.value.code) == (param, "unsupported_field")


def test_what_it_sends():
    wire = TGIUpstream()
    assert wire.path(None, "m") == "/generate_stream" and wire.credentials("k") == [("authorization", "Bearer k")]
