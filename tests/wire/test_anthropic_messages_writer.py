"""The writer of anthropic-messages: any order of events gives a legal stream, and nothing of it is lost."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from penstock.testing.messages import read
from penstock.usage import Usage
from penstock.wire.anthropic_messages_writer import MessagesWriter
from penstock.wire.anthropic_written import Balance


def written(*events, stop=False, each=True):
    writer = MessagesWriter("asked", "st_1")
    frames = b"".join(writer.write((event,)) for event in events) if each else writer.write(events)
    frames += writer.stop() if stop else writer.end()
    assert writer.end() == writer.stop() == writer.write((Text("late"),)) == b""
    return read(frames)


def test_a_plain_answer():
    said = written(
        Start("chatcmpl-1", "gpt"),
        Text("Hel"),
        Text("lo"),
        Finish("stop"),
        UsageReport(Usage(5, 2, 1, 3, 4)),
        EndMarker(),
    )
    assert (said.message["id"], said.message["model"]) == ("chatcmpl-1", "gpt")
    assert said.blocks == [{"type": "text", "text": "Hello"}]
    assert said.delta == {"stop_reason": "end_turn", "stop_sequence": None}
    assert said.usage == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 4,
        "cache_read_input_tokens": 3,
        "output_tokens": 3,
        "output_tokens_details": {"thinking_tokens": 1},
    }


def test_usage_that_is_known_at_the_start_stands_there():
    said = written(Start("m", "c"), UsageReport(Usage(input=7, cache_read=2)), Text("a"), each=False)
    assert said.message["usage"] == {
        "input_tokens": 7,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 2,
        "output_tokens": 0,
    }


def test_without_a_start_the_request_gives_the_names():
    said = written(Text("a"))
    assert (said.message["id"], said.message["model"]) == ("msg_st_1", "asked")


def test_an_answer_without_output_has_no_blocks():
    said = written(Start("m", "c"), Finish("content_filter", kind="content_filter"))
    assert said.blocks == [] and said.delta["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("stop", "end_turn"),
        ("stop_sequence", "stop_sequence"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "refusal"),
        ("pause", "pause_turn"),
        ("error", "refusal"),
    ],
)
def test_stop_reasons(kind, reason):
    said = written(Text("a"), Finish("x", kind=kind, stop_sequence="END" if kind == "stop_sequence" else None))
    assert said.delta == {"stop_reason": reason, "stop_sequence": "END" if kind == "stop_sequence" else None}


def test_a_call_makes_a_stop_a_tool_use_and_a_refusal_in_words_a_refusal():
    assert written(ToolArguments(0, "c", "f", "{}"), Finish("stop")).delta["stop_reason"] == "tool_use"
    assert written(ToolArguments(0, "c", "f", "{}")).delta["stop_reason"] == "tool_use"
    said = written(Refusal("No."), Finish("stop"))
    assert said.joined("text", "text") == "No." and said.delta["stop_reason"] == "refusal"


def test_the_first_finish_counts_and_what_follows_it_is_written():
    said = written(Text("a"), Finish("length", kind="length"), Finish("stop", again=True), Text("b"))
    assert said.delta["stop_reason"] == "max_tokens"
    assert said.joined("text", "text") == "ab"


def test_channels_that_change_are_blocks():
    said = written(
        Reasoning("Let "),
        Reasoning("me"),
        ReasoningSeal("sig"),
        Reasoning("again"),
        Text("a"),
        ReasoningSeal("lone"),
        ReasoningSeal("data", redacted=True),
        Text("b"),
    )
    assert said.blocks == [
        {"type": "thinking", "thinking": "Let me", "signature": "sig"},
        {"type": "thinking", "thinking": "again", "signature": ""},
        {"type": "text", "text": "a"},
        {"type": "thinking", "thinking": "", "signature": "lone"},
        {"type": "redacted_thinking", "data": "data"},
        {"type": "text", "text": "b"},
    ]


def test_calls_one_after_the_other_go_out_as_they_come():
    writer = MessagesWriter("m", "s")
    frames = writer.write((ToolArguments(0, "a", "f", '{"x":'),)) + writer.write((ToolArguments(0, "", "", '"}"}'),))
    second = writer.write((ToolArguments(1, "b", "g", "{"),))
    assert b'"name":"g"' in second and b"content_block_stop" in second
    said = read(frames + second + writer.write((ToolArguments(1, "", "", "}"),)) + writer.end())
    assert said.calls == [("a", "f", '{"x":"}"}'), ("b", "g", "{}")]


def test_calls_that_interleave_wait_for_the_one_that_is_open():
    writer = MessagesWriter("m", "s")
    frames = b"".join(
        writer.write((event,))
        for event in (
            ToolArguments(0, "a", "f", '{"x"'),
            ToolArguments(1, "b", "g", '{"y"'),
            ToolArguments(2, "c", "h", '{"z":3}'),
            ToolArguments(1, arguments=":2}"),
        )
    )
    assert frames.count(b"content_block_start") == 2 * frames.count(b"event: content_block_start") == 2
    frames += writer.write((ToolArguments(0, arguments=":1}"),))
    assert frames.count(b"event: content_block_start") == 3
    said = read(frames + writer.end())
    assert said.calls == [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}'), ("c", "h", '{"z":3}')]


def test_text_in_the_middle_of_a_call_comes_behind_it():
    said = written(
        ToolArguments(0, "a", "f", '{"x"'), Text("b"), Text("c"), ToolArguments(0, arguments=":1}"), Text("d")
    )
    assert [block["type"] for block in said.blocks] == ["tool_use", "text"]
    assert said.blocks[1]["text"] == "bcd" and said.inputs == {0: '{"x":1}'}


def test_a_call_gets_an_id_and_waits_for_its_name():
    said = written(ToolArguments(0, arguments='{"x"'), Text("b"), ToolArguments(0, name="f", arguments=":1}"))
    assert said.calls == [("toolu_st_1_0", "f", '{"x":1}')]
    assert said.blocks[1]["text"] == "b"


def test_what_a_whole_call_still_says_is_dropped():
    assert written(ToolArguments(0, "a", "f", "{}"), Text("b"), ToolArguments(0, arguments="\n")).inputs == {0: "{}"}


def test_the_signature_beside_a_call():
    said = written(ToolArguments(0, "a", "f", "{}", signature="sig"))
    assert said.blocks[0]["thought_signature"] == "sig"


def test_citations():
    native = {"type": "char_location", "cited_text": "x", "document_index": 0}
    said = written(
        Annotation("https://nowhere.org"),
        Text("a"),
        Annotation("https://e.org", "E", "cited"),
        Annotation(native=native),
        Annotation(),
    )
    assert said.blocks[0]["citations"] == [
        {
            "type": "web_search_result_location",
            "url": "https://e.org",
            "title": "E",
            "cited_text": "cited",
            "encrypted_index": "",
        },
        native,
    ]


def test_a_stop_finishes_and_no_half_call_looks_wanted():
    said = written(Text("a"), ToolArguments(0, "a", "f", '{"x"'), ToolArguments(1, "b", "g"), stop=True)
    assert said.ended and said.delta["stop_reason"] == "end_turn"
    assert written(stop=True).blocks == []


NAMES = st.sampled_from(["", "f", "g"])
WORDS = st.text(min_size=1, max_size=6)
EVENTS = st.one_of(
    st.builds(Start, WORDS, WORDS),
    st.builds(Text, WORDS, st.just(0)),
    st.builds(Reasoning, WORDS),
    st.builds(ReasoningSeal, WORDS, st.booleans()),
    st.builds(Refusal, WORDS),
    st.builds(
        ToolArguments,
        st.integers(0, 3),
        NAMES,
        NAMES,
        st.sampled_from(["", "{}", "{", "}", '{"a":"', '\\"', '"', "\\", "}}", "[1]", " "]),
    ),
    st.builds(Finish, WORDS, kind=st.sampled_from(["stop", "length", "tool_calls", "content_filter", "error"])),
    st.builds(UsageReport, st.builds(Usage, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))),
    st.builds(Annotation, st.sampled_from(["", "https://e.org"])),
    st.sampled_from([Opaque(), Heartbeat(), EndMarker(), Media("x"), Internal("x"), Text("other", 1)]),
)


@given(st.lists(st.lists(EVENTS, max_size=4), max_size=30), st.booleans())
def test_any_order_of_events_gives_a_legal_stream(batches, stop):
    writer = MessagesWriter("m", "s")
    frames = b"".join(writer.write(tuple(batch)) for batch in batches)
    read(frames, whole=False)
    frames += writer.stop() if stop else writer.end()
    said = read(frames)
    events = [event for batch in batches for event in batch]
    texts = "".join(e.text for e in events if isinstance(e, Text | Refusal) and e.choice == 0)
    assert said.joined("text", "text") == texts
    assert said.joined("thinking", "thinking") == "".join(e.text for e in events if isinstance(e, Reasoning))
    assert len(said.calls) == len({e.call for e in events if isinstance(e, ToolArguments)})


@given(
    st.lists(
        st.dictionaries(st.text(max_size=4), st.text('"{}[]\\a', max_size=6) | st.lists(st.integers(), max_size=2)),
        min_size=1,
        max_size=4,
    ),
    st.randoms(use_true_random=False),
)
def test_calls_in_any_mixture_arrive_whole(inputs, chance):
    pieces = {call: [] for call in range(len(inputs))}
    for call, value in enumerate(inputs):
        document = json.dumps(value)
        while document:
            size = chance.randint(1, len(document))
            pieces[call].append(document[:size])
            document = document[size:]
    events = [ToolArguments(call, f"id{call}", f"f{call}", pieces[call].pop(0)) for call in pieces]
    while left := [call for call in pieces if pieces[call]]:
        call = chance.choice(left)
        events.append(ToolArguments(call, arguments=pieces[call].pop(0)))
        if chance.random() < 0.1:
            events.append(Text("t"))
    said = written(*events)
    assert [(id, name, json.loads(value)) for id, name, value in said.calls] == [
        (f"id{call}", f"f{call}", value) for call, value in enumerate(inputs)
    ]


@given(
    st.recursive(
        st.text('"\\{}[]x', max_size=5) | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_a_document_is_whole_at_its_last_bracket_and_not_before(value, place):
    document = json.dumps({"a": value}, ensure_ascii=False)
    cut = int(place * len(document))
    for pieces in (document, (document[:cut], document[cut:])):
        balance = Balance()
        for piece in pieces[:-1]:
            balance.feed(piece)
            assert not balance.whole
        balance.feed(pieces[-1])
        assert balance.whole
