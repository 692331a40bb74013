"""ollama-chat, client side: requests, what Penstock says itself, the fold and the writer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import BadRequest, Fault
from penstock.events import (
    Annotation,
    EndMarker,
    Finish,
    Heartbeat,
    Internal,
    Media,
    Opaque,
    Reasoning,
    ReasoningSeal,
    Refusal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.outcome import Outcome
from penstock.stream.commands import End, Head, Send
from penstock.stream.inputs import Stop
from penstock.testing.messages import plan
from penstock.testing.run import Meanwhile, Opens, Responds, Sends, run, script
from penstock.testing.wire_cases import lines
from penstock.usage import Usage
from penstock.wire.ollama_chat_client import OllamaClient, read_request, upstream_body
from penstock.wire.ollama_chat_fold import OllamaFold
from penstock.wire.ollama_chat_wire import OllamaClientWire
from penstock.wire.ollama_chat_writer import INVALID, OllamaWriter, counters, timestamp

WIRES = {"client": "ollama-chat", "upstream": "ollama-chat"}


# -- requests ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("said", "stream"), [("", True), ("null", True), ("true", True), ("false", False)])
def test_stream_is_true_unless_it_is_said_to_be_false(said, stream):
    body = b'{"model":"m"' + (f',"stream":{said}'.encode() if said else b"") + b"}"
    request = read_request(body)
    assert (request.model, request.stream, request.include_usage) == ("m", stream, True)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b"{}", "model"),
        (b'{"model":""}', "model"),
        (b'{"model":7}', "model"),
        (b'{"model":"m","stream":"false"}', "stream"),
        (b'{"model":"m","stream":0}', "stream"),
    ],
)
def test_a_request_that_cannot_be_read(body, param):
    with pytest.raises(BadRequest) as raised:
        read_request(body)
    assert raised.value.param == param


def test_the_provider_gets_the_client_s_own_body():
    request = read_request(b'{"model":"m","stream":false,"options":{"num_ctx":1.0,"x":[]},"keep_alive":-1}')
    assert json.loads(upstream_body(request, "other")) == {
        "model": "other",
        "stream": True,
        "options": {"num_ctx": 1.0, "x": []},
        "keep_alive": -1,
    }
    assert b'"num_ctx":1.0' in upstream_body(request, "other")


def test_where_it_is_served():
    wire = OllamaClientWire()
    assert wire.serves("/api/chat") and not wire.serves("/api/generate")
    body = json.loads(wire.refusal(BadRequest("no", param="model"), "st_1"))
    assert body == {"error": "no", "code": "invalid_request", "param": "model", "stream": "st_1"}


# -- what is said -----------------------------------------------------------------------------------------------------


def session():
    return OllamaClient(read_request(b'{"model":"m"}'), "st_1")


def test_there_is_no_keepalive_and_none_is_counted():
    assert session().keepalive() == session().skipped() == session().end_marker() == b""
    steps = [(0.1, Opens()), (0.1, Responds())]
    transcript = run(plan(commit_after=1.0, keepalive=1.0, first_token=20.0, **WIRES), [steps], horizon=10.0)
    assert transcript.account.keepalives == 0
    assert [type(command) for command in transcript.commands if isinstance(command, Head | Send)] == [Head]
    assert dict(transcript.head.headers)[b"content-type"] == b"application/x-ndjson"


def test_a_late_error_is_a_line():
    transcript = run(plan(commit_after=1.0, first_token=5.0, **WIRES), [[(0.1, Opens()), (0.1, Responds())]])
    (said,) = lines(transcript.body)
    assert transcript.outcome is Outcome.FIRST_TOKEN_TIMEOUT
    assert (said["code"], said["status"], said["stream"]) == ("first_token_timeout", 504, "st_play")
    assert End() in transcript.commands


def test_a_provider_s_own_words_and_fields_are_kept():
    fault = Fault("no\u2028", "c", "t", 401, outcome="upstream_error", fields={"signin_url": "u", "error": "other"})
    frame = session().error_frame(fault)
    assert lines(frame) == [
        {
            "error": "no\u2028",
            "signin_url": "u",
            "code": "c",
            "type": "t",
            "outcome": "upstream_error",
            "status": 401,
            "stream": "st_1",
        }
    ]
    assert json.loads(session().error_body(fault))["error"] == "no\u2028"


@pytest.mark.parametrize("stream", [True, False])
def test_a_stop_finishes_the_answer(stream):
    data = b'{"model":"served","message":{"role":"assistant","content":"Hi"},"done":false}\n'
    steps = [(0.1, Opens()), (0.1, Responds()), (0.1, Sends(data)), (0.5, Meanwhile(Stop()))]
    transcript = run(plan(stream=stream, **WIRES), [steps])
    assert transcript.outcome is Outcome.STOPPED
    last = lines(transcript.body)[-1] if stream else json.loads(transcript.body)
    assert (last["done"], last["done_reason"], last["model"]) == (True, "stop", "served")
    if not stream:
        assert last["message"]["content"] == "Hi"


def test_the_fold_joins_and_keeps_what_it_does_not_know():
    fold = OllamaFold()
    fold.feed(
        b'{"model":"m","message":{"role":"assistant","content":"a","thinking":"t","x":1},"logprobs":[1],"done":false}\n'
    )
    fold.feed(
        b'{"model":"m","message":{"role":"assistant","content":"b","thinking":"u","x":2},"logprobs":[2],"done":false}\n'
    )
    fold.feed(b'{"model":"m","message":{"content":"","tool_calls":[{"function":{"name":"f"}}]},"done":false}\n')
    fold.feed(
        b'{"message":{"content":"","tool_calls":[{"function":{"name":"g"}}]},"done":true,"y":null,"eval_count":3}\n'
    )
    assert json.loads(fold.answer()) == {
        "model": "m",
        "message": {
            "role": "assistant",
            "content": "ab",
            "thinking": "tu",
            "x": 2,
            "tool_calls": [{"function": {"name": "f"}}, {"function": {"name": "g"}}],
        },
        "logprobs": [1, 2],
        "done": True,
        "y": None,
        "eval_count": 3,
    }


# -- the writer -------------------------------------------------------------------------------------------------------


def written(*events, stop=False, each=True):
    writer = OllamaWriter("asked", "st_1")
    out = b"".join(writer.write((event,)) for event in events) if each else writer.write(events)
    out += writer.stop() if stop else writer.end()
    assert writer.end() == writer.stop() == writer.write((Text("late"),)) == b""
    return lines(out)


def test_an_answer_that_ends_without_a_finish_has_its_calls():
    """Providers there are that end on ``[DONE]`` alone; the last call may be half then."""
    whole, half = ToolArguments(0, "c0", "f", '{"a":1}'), ToolArguments(1, "c1", "g", '{"b":')
    found = written(whole, half)
    assert [call["function"]["name"] for value in found for call in value["message"].get("tool_calls", ())] == ["f"]
    assert found[-1]["done"] is True
    assert not any("tool_calls" in value["message"] for value in written(whole, stop=True))


def test_a_plain_answer():
    found = written(
        Start("id", "gpt", 1700000000), Reasoning("hm"), Text("Hel"), Text("lo"), Finish("stop"),
        UsageReport(Usage(5, 2, 1, 3, 4)), EndMarker(),
    )  # fmt: skip
    assert {(value["model"], value["created_at"]) for value in found} == {("gpt", "2023-11-14T22:13:20Z")}
    assert [value["message"] for value in found] == [
        {"role": "assistant", "content": "", "thinking": "hm"},
        {"role": "assistant", "content": "Hel"},
        {"role": "assistant", "content": "lo"},
        {"role": "assistant", "content": ""},
    ]
    last = found[-1]
    assert (last["done"], last["done_reason"], last["prompt_eval_count"], last["eval_count"]) == (True, "stop", 12, 3)
    assert last["total_duration"] == last["eval_duration"] == 0


def test_calls_are_whole_and_have_objects():
    found = written(
        ToolArguments(0, "a", "f", '{"x"'), ToolArguments(1, "", "g"), ToolArguments(0, arguments=":1}"),
        ToolArguments(2, "c", "h", "not json"), Finish("tool_calls", kind="tool_calls"),
    )  # fmt: skip
    calls = [call for value in found for call in value["message"].get("tool_calls", ())]
    assert [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls] == [
        ("a", "f", {"x": 1}),
        ("call_st_1_1", "g", {}),
        ("c", "h", {INVALID: "not json"}),
    ]
    assert found[-1]["done_reason"] == "stop"


@pytest.mark.parametrize("stop", [True, False])
def test_a_call_that_is_not_whole_is_no_call(stop):
    """D11: half a call must not be made."""
    half = (ToolArguments(0, "a", "f", "{}"), ToolArguments(1, "b", "g", '{"x"'))
    found = written(*half, stop=True) if stop else written(*half, Finish("length", kind="length"))
    names = [call["function"]["name"] for value in found for call in value["message"].get("tool_calls", ())]
    assert names == ([] if stop else ["f"])
    assert found[-1]["done_reason"] == ("stop" if stop else "length")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("tool_calls", "stop"),
        ("pause", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("error", "error"),
    ],
)
def test_every_finish(kind, reason):
    assert written(Text("a"), Finish("x", kind=kind))[-1]["done_reason"] == reason


def test_without_usage_there_are_no_counts():
    assert counters(None) == {
        "total_duration": 0, "load_duration": 0, "prompt_eval_duration": 0, "eval_duration": 0,
    }  # fmt: skip
    assert counters(Usage(output=3))["eval_count"] == 3 and "prompt_eval_count" not in counters(Usage(output=3))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (951782399, "2000-02-28T23:59:59Z"),
        (951782400, "2000-02-29T00:00:00Z"),
        (1709251199, "2024-02-29T23:59:59Z"),
        (4102444800, "2100-01-01T00:00:00Z"),
    ],
)
def test_instants(seconds, said):
    assert timestamp(seconds) == said


TEXTS = st.text(alphabet='ab \n\u2028\x85\U0001f388"', max_size=5)
KINDS = st.sampled_from(["stop", "stop_sequence", "length", "tool_calls", "content_filter", "pause", "error"])
EVENTS = st.one_of(
    st.builds(Text, TEXTS, st.integers(0, 1)),
    st.builds(Reasoning, TEXTS),
    st.builds(Refusal, TEXTS),
    st.builds(ToolArguments, st.integers(0, 3), TEXTS, TEXTS, st.sampled_from(["", "{", '{"a":', "1}", "{}", "x"])),
    st.builds(Start, TEXTS, TEXTS, st.none() | st.integers(0, 4_000_000_000)),
    st.builds(Finish, TEXTS, st.integers(0, 1), kind=KINDS),
    st.builds(UsageReport, st.builds(Usage, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))),
    st.builds(ReasoningSeal, TEXTS),
    st.sampled_from([EndMarker(), Heartbeat(), Opaque(), Media(), Internal("x"), Annotation(url="u")]),
)


@given(st.lists(EVENTS), st.booleans(), st.booleans())
def test_any_order_of_events_gives_a_legal_stream(events, stop, each):
    found = written(*events, stop=stop, each=each)
    assert [value["done"] for value in found] == [False] * (len(found) - 1) + [True]
    for value in found:
        assert isinstance(value["model"], str) and value["created_at"].endswith("Z")
        message = value["message"]
        assert message["role"] == "assistant" and isinstance(message["content"], str)
        for call in message.get("tool_calls", ()):
            assert isinstance(call["function"]["arguments"], dict) and call["id"]
    finish = next((n for n, event in enumerate(events) if isinstance(event, Finish) and event.choice == 0), len(events))
    texts = "".join(e.text for e in events[:finish] if isinstance(e, Text | Refusal) and e.choice == 0)
    assert "".join(value["message"]["content"] for value in found) == texts


def test_at_a_provider_of_another_wire():
    from penstock.testing import frames

    data = frames.role() + frames.chunk("Hi") + frames.finish() + frames.usage(9, 2) + frames.DONE
    transcript = run(plan(client="ollama-chat", upstream="openai-chat"), [script(data)])
    found = lines(transcript.body)
    assert transcript.outcome is Outcome.COMPLETED
    assert (found[-1]["prompt_eval_count"], found[-1]["eval_count"], found[0]["model"]) == (9, 2, "m")
    broken = run(plan(client="ollama-chat", upstream="openai-chat"), [script(frames.role() + frames.chunk("Hi"))])
    assert lines(broken.body)[-1]["code"] == "upstream_cut"
