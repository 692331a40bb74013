"""cohere-v1, upstream only (wire-formats.md §5.2): its lines, its endings, requests to it."""

from __future__ import annotations

import json

import pytest

from penstock.errors import BadRequest
from penstock.events import (
    Annotation,
    EndMarker,
    ErrorReport,
    Finish,
    Heartbeat,
    Malformed,
    Opaque,
    Reasoning,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.outcome import Outcome
from penstock.testing.corpus import examples
from penstock.testing.messages import plan
from penstock.testing.run import Ends, Opens, Responds, Sends, run, script
from penstock.testing.wire_cases import assert_meant, calls_of, chat_chunks, chat_says, lines, read
from penstock.usage import Usage
from penstock.wire.cohere_v1 import CohereV1Decoder
from penstock.wire.cohere_v1_wire import CohereV1Upstream, request_body
from penstock.wire.conversation import (
    Conversation,
    Format,
    ImagePart,
    Message,
    TextPart,
    ThinkingPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    ToolResultPart,
)

EXAMPLES = examples("cohere-v1")
by_name = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.file)
WIRES = {"client": "openai-chat", "upstream": "cohere-v1"}


def line(kind, **fields):
    return json.dumps({"is_finished": kind == "stream-end", "event_type": kind, **fields}).encode() + b"\n"


@pytest.mark.parametrize(
    ("frame", "events"),
    [
        (line("stream-start", generation_id="g"), (Start("g", ""),)),
        (line("text-generation", text="Hi"), (Text("Hi"),)),
        (line("text-generation", text=""), (Opaque(),)),
        (line("tool-calls-chunk", text="I will"), (Reasoning("I will"),)),
        (line("tool-calls-chunk", tool_call_delta={"index": 4, "name": "f"}), (ToolArguments(0, name="f"),)),
        (line("tool-calls-chunk", tool_call_delta={"index": 4, "parameters": "{"}), (ToolArguments(0, arguments="{"),)),
        (
            line("citation-generation", citations=[{"start": 1, "end": 2, "text": "x"}]),
            (Annotation(cited="x", start=1, end=2, native={"start": 1, "end": 2, "text": "x"}),),
        ),
        (line("search-results", documents=[]), (Opaque(),)),
        (line("search-queries-generation", search_queries=[]), (Opaque(),)),
        (line("novelty"), (Opaque(),)),
        (b"\n", (Heartbeat(),)),
        (b"event: text-generation\n", (Heartbeat(),)),
        (b"data: " + line("text-generation", text="Hi"), (Text("Hi"),)),
        (b"data: [DONE]\n", (Opaque(),)),
        (b'{"message":"boom"}\n', (ErrorReport("boom"),)),
        (b"{bad\n", (Malformed("a line is not JSON"),)),
        (b"[]\n", (Malformed("a line is JSON but no object"),)),
    ],
)
def test_a_line_means(frame, events):
    assert CohereV1Decoder().decode(frame)[1] == events


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("COMPLETE", "stop"), ("MAX_TOKENS", "length"), ("STOP_SEQUENCE", "stop_sequence"), ("NEW", "stop")],
)
def test_every_finish(reason, kind):
    events = CohereV1Decoder().decode(line("stream-end", finish_reason=reason, response={"text": "again"}))[1]
    assert events == (Finish(reason, kind=kind), EndMarker())


@pytest.mark.parametrize(
    ("reason", "status"),
    [("ERROR", 502), ("ERROR_TOXIC", 400), ("ERROR_LIMIT", 400), ("USER_CANCEL", 499), ("TIMEOUT", 504)],
)
def test_every_error(reason, status):
    decoder = CohereV1Decoder()
    (report,) = decoder.decode(line("stream-end", finish_reason=reason, response={"text": "half"}))[1]
    assert (report.status, report.code) == (status, None if reason == "ERROR" else reason)
    assert reason in report.message and "half" not in report.message
    assert decoder.incomplete(clean=True) == "the provider reported an error"


def test_the_words_of_an_error_are_kept():
    (report,) = CohereV1Decoder().decode(line("stream-end", finish_reason="ERROR", error="boom", response={}))[1]
    assert report.message == "boom"


def test_calls_come_once_however_often_they_are_told():
    decoder = CohereV1Decoder()
    events = [*decoder.decode(line("tool-calls-generation", tool_calls=[{"name": "f", "parameters": {"a": 1}}]))[1]]
    events += decoder.decode(line("tool-calls-generation", tool_calls=[{"name": "f", "parameters": {"a": 1}}]))[1]
    end = decoder.decode(line("stream-end", finish_reason="COMPLETE", response={"tool_calls": [{"name": "f"}]}))[1]
    assert calls_of([*events, *end])[0][0] == "f"
    assert end[-2:] == (Finish("COMPLETE", kind="tool_calls"), EndMarker())


@by_name
@pytest.mark.parametrize("size", [1, 9, 1 << 20])
def test_an_example_means_what_its_index_says(example, size):
    data = example.read()
    _, events, _ = read("cohere-v1", [data[i : i + size] for i in range(0, len(data), size)])
    assert_meant(example, events)


@by_name
@pytest.mark.parametrize("client", ["openai-chat", "ollama-chat", "anthropic-messages"])
def test_a_client_of_another_wire_gets_it(example, client):
    transcript = run(plan(client=client, upstream="cohere-v1"), [script(example.read())])
    assert transcript.outcome == example.outcome
    if client == "openai-chat" and example.outcome == "completed":
        assert chat_says(chat_chunks(transcript.body)) == (example.text, example.reasoning, example.tools)
    if client == "ollama-chat":
        last = lines(transcript.body)[-1]
        assert bool(last.get("done")) is (example.outcome == "completed") is ("error" not in last)


def test_an_answer_without_output_has_failed():
    transcript = run(plan(**WIRES), [script(line("stream-end", finish_reason="COMPLETE", response={}))])
    assert transcript.outcome is Outcome.EMPTY


def answered(data, status=200):
    head = Responds(status, ((b"content-type", b"application/json"),))
    return run(plan(**WIRES), [[(0.1, Opens()), (0.1, head), (0.1, Sends(data)), (0.0, Ends())]])


@pytest.mark.parametrize("indent", [None, 1])
def test_a_whole_answer_in_place_of_a_stream(indent):
    answer = {
        "generation_id": "g", "text": "Hi", "finish_reason": "COMPLETE", "citations": [{"text": "Hi"}],
        "tool_calls": [{"name": "f", "parameters": {"a": 1}}],
        "meta": {"tokens": {"input_tokens": 3, "output_tokens": 2}},
    }  # fmt: skip
    transcript = answered(json.dumps(answer, indent=indent).encode())
    assert transcript.outcome is Outcome.COMPLETED
    assert chat_says(chat_chunks(transcript.body)) == ("Hi", "", [("f", '{"a":1}')])
    assert transcript.account.usage == Usage(3, 2)


def test_errors_before_the_answer():
    for data, status, told in (
        (b'{"message":"no"}', 200, 502),
        (b'{\n"message":"no"}', 200, 502),
        (b'{"message":"no"}', 400, 400),
    ):
        transcript = answered(data, status)
        assert transcript.head.status == told and json.loads(transcript.body)["error"]["message"] == "no"


def test_usage_is_the_last_that_was_said():
    end = line(
        "stream-end",
        finish_reason="MAX_TOKENS",
        response={"meta": {"billed_units": {"input_tokens": 1, "output_tokens": 0}}},
    )
    assert CohereV1Decoder().decode(end)[1][0] == UsageReport(Usage(1, 0))


# -- requests ---------------------------------------------------------------------------------------------------------


def sent(**fields):
    body = json.loads(request_body(Conversation(**fields), "served"))
    assert (body.pop("model"), body.pop("stream")) == ("served", True)
    return body


HELLO = (Message("user", (TextPart("Hello"),)),)
FLAT = Tool(
    "f", "d", {"type": "object", "properties": {"n": {"type": "integer", "description": "N"}}, "required": ["n"]}
)
PARAMETERS = {"n": {"type": "int", "required": True, "description": "N"}}


def test_nothing_more_than_was_said():
    assert sent(messages=HELLO) == {"message": "Hello"}


def test_all_that_has_a_place():
    assert sent(
        system=("Be brief.", "Be kind."), messages=HELLO, max_tokens=9, temperature=0.5, top_p=0.9, top_k=4, seed=7,
        frequency_penalty=0.1, presence_penalty=0.2, stop=("x",), format=Format({"type": "object"}), user="u",
        tools=(FLAT, Tool("g")), tool_choice=ToolChoice("auto"), parallel_tools=True,
    ) == {
        "preamble": "Be brief.\n\nBe kind.", "message": "Hello", "max_tokens": 9, "temperature": 0.5, "p": 0.9, "k": 4,
        "seed": 7, "frequency_penalty": 0.1, "presence_penalty": 0.2, "stop_sequences": ["x"],
        "response_format": {"type": "json_object", "schema": {"type": "object"}},
        "tools": [
            {"name": "f", "description": "d", "parameter_definitions": PARAMETERS},
            {"name": "g", "description": "", "parameter_definitions": {}},
        ],
    }  # fmt: skip
    assert "tools" not in sent(messages=HELLO, tools=(FLAT,), tool_choice=ToolChoice("none"))
    assert sent(messages=HELLO, format=Format())["response_format"] == {"type": "json_object"}


def test_turns():
    call = {"name": "f", "parameters": {"n": 1}}
    result = {"call": call, "outputs": [{"output": "one"}]}
    called = (
        *HELLO,
        Message("assistant", (ThinkingPart("hm"), TextPart("I look."), ToolCallPart("c", "f", '{"n":1}'))),
        Message("user", (ToolResultPart("c", (TextPart("one"),)),)),
    )
    before = [
        {"role": "USER", "message": "Hello"},
        {"role": "CHATBOT", "message": "I look.", "tool_calls": [call]},
    ]
    assert sent(messages=called, tools=(FLAT,)) == {
        "message": "",
        "tool_results": [result],
        "chat_history": before,
        "tools": [{"name": "f", "description": "d", "parameter_definitions": PARAMETERS}],
    }
    more = (*called[:2], Message("user", (*called[2].parts, TextPart("Go on"))))
    assert sent(messages=more) == {
        "message": "Go on",
        "chat_history": [*before, {"role": "TOOL", "tool_results": [result]}],
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": ()}, "messages"),
        ({"messages": (*HELLO, Message("assistant", (TextPart("x"),)))}, "messages"),
        ({"messages": (Message("user", (ImagePart(data="x"),)),)}, "messages"),
        ({"messages": (Message("user", (ToolResultPart("c", ()),)),)}, "messages"),
        ({"messages": (Message("assistant", (ToolCallPart("c", "f", "7"),)), *HELLO)}, "messages"),
        ({"tools": (FLAT,), "tool_choice": ToolChoice("required")}, "tool_choice"),
        ({"tools": (FLAT,), "parallel_tools": False}, "parallel_tools"),
        ({"tools": (Tool("f", parameters={"properties": {"n": {"type": "string", "enum": ["a"]}}}),)}, "tools"),
        ({"tools": (Tool("f", parameters={"properties": {"n": {"type": ["string"]}}}),)}, "tools"),
        ({"tools": (Tool("f", parameters={"properties": [7]}),)}, "tools"),
        ({"tools": (Tool("f", parameters={"anyOf": []}),)}, "tools"),
        ({"tools": (Tool("f", strict=True),)}, "tools"),
        ({"effort": "low"}, "effort"),
        ({"thinking_budget": 5}, "thinking_budget"),
    ],
)
def test_what_has_no_place_is_refused(fields, param):
    with pytest.raises(BadRequest) as raised:
        request_body(Conversation(**{"messages": HELLO, **fields}), "m")
    assert raised.value.param == param


def test_what_it_sends():
    wire = CohereV1Upstream()
    assert wire.path(None, "m") == "/v1/chat" and wire.credentials("k") == [("authorization", "Bearer k")]
    assert "accept" not in dict(wire.headers(None))
