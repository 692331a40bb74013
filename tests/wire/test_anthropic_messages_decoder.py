"""The decoder of anthropic-messages: events, mendings, endings, usage, errors (wire-formats.md §4)."""

from __future__ import annotations

import pytest

from penstock.events import (
    Annotation,
    EndMarker,
    ErrorReport,
    Finish,
    Heartbeat,
    Internal,
    Malformed,
    Opaque,
    Reasoning,
    ReasoningSeal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.framing.sse import SSEFramer
from penstock.testing.messages import PING, STOP, answer, closed, delta, finish, frame, opened, read, start, text
from penstock.usage import Usage
from penstock.wire.anthropic_messages import MessagesDecoder


def decoded(data: bytes, decoder: MessagesDecoder | None = None):
    decoder = decoder or MessagesDecoder()
    framer = SSEFramer()
    pairs = [decoder.decode(piece) for piece in framer.feed(data)]
    pairs.append(decoder.close(framer.close()))
    return decoder, b"".join(handed or b"" for handed, _ in pairs), [event for _, events in pairs for event in events]


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def last_usage(events) -> Usage:
    total = Usage()
    for report in of(UsageReport, events):
        total = total.overwritten_by(report.usage)
    return total


# -- events -----------------------------------------------------------------------------------------------------------


def test_a_plain_answer():
    decoder, out, events = decoded(answer("Hel", "lo"))
    assert out == answer("Hel", "lo")
    assert events[0] == Start("msg_1", "claude")
    assert of(Text, events) == [Text("Hel"), Text("lo")]
    assert of(Finish, events) == [Finish("end_turn", kind="stop")]
    assert isinstance(events[-1], EndMarker)
    assert decoder.marked and decoder.finished and decoder.incomplete(clean=False) is None
    assert decoder.oddities() == [] and decoder.ending() == b""


def test_thinking_its_signature_and_what_is_redacted():
    _, out, events = decoded(
        data := start()
        + opened(0, "thinking")
        + delta("thinking_delta", thinking="Let me")
        + delta("signature_delta", signature="EqQB")
        + closed()
        + opened(1, "redacted_thinking", data="EmwK")
        + closed(1)
        + opened(2)
        + text("4", 2)
        + closed(2)
        + finish()
        + STOP
    )
    assert out == data
    assert of(Reasoning, events) == [Reasoning("Let me")]
    assert of(ReasoningSeal, events) == [ReasoningSeal("EqQB"), ReasoningSeal("EmwK", redacted=True)]
    assert not ReasoningSeal.token


def test_a_block_may_hold_its_text_or_thinking_at_its_start():
    _, _, events = decoded(start() + opened(0, "thinking", thinking="Hm", signature="s") + opened(1, text="Hi"))
    assert of(Reasoning, events) == [Reasoning("Hm")]
    assert of(ReasoningSeal, events) == [ReasoningSeal("s")]
    assert of(Text, events) == [Text("Hi")]


def test_tool_calls_are_counted_apart_from_blocks():
    _, out, events = decoded(
        data := start()
        + opened()
        + text("I look.")
        + closed()
        + opened(1, "tool_use", id="toolu_1", name="level", input={})
        + delta("input_json_delta", 1, partial_json="")
        + delta("input_json_delta", 1, partial_json='{"gate"')
        + delta("input_json_delta", 1, partial_json=":1}")
        + closed(1)
        + opened(2, "tool_use", id="toolu_2", name="flow", input={})
        + delta("input_json_delta", 2, partial_json='{"gate":2}')
        + closed(2)
        + finish("tool_use")
        + STOP
    )
    assert out == data
    assert of(ToolArguments, events) == [
        ToolArguments(0, "toolu_1", "level"),
        ToolArguments(0, arguments='{"gate"'),
        ToolArguments(0, arguments=":1}"),
        ToolArguments(1, "toolu_2", "flow"),
        ToolArguments(1, arguments='{"gate":2}'),
    ]
    assert of(Finish, events)[0].kind == "tool_calls"


@pytest.mark.parametrize("pieces", [[], [""], ["", ""]])
@pytest.mark.parametrize(("whole", "wanted"), [({}, "{}"), ({"gate": 1}, '{"gate":1}')])
def test_a_call_without_deltas_has_an_input_by_its_end(pieces, whole, wanted):
    deltas = b"".join(delta("input_json_delta", partial_json=piece) for piece in pieces)
    _, _, events = decoded(start() + opened(0, "tool_use", id="t", name="f", input=whole) + deltas + closed())
    assert "".join(event.arguments for event in of(ToolArguments, events)) == wanted


def test_deltas_replace_the_input_of_the_start():
    _, _, events = decoded(
        start() + opened(0, "tool_use", id="t", name="f", input={"a": 0}) + delta("input_json_delta", partial_json="{}")
    )
    assert "".join(event.arguments for event in of(ToolArguments, events)) == "{}"


@pytest.mark.parametrize("kind", ["server_tool_use", "mcp_tool_use"])
def test_tools_that_the_provider_runs_are_output_but_no_calls(kind):
    _, out, events = decoded(
        data := start()
        + opened(0, kind, id="srvtoolu_1", name="web_search", input={})
        + delta("input_json_delta", partial_json="")
        + delta("input_json_delta", partial_json='{"query":"weir"}')
        + closed()
        + opened(1, "web_search_tool_result", tool_use_id="srvtoolu_1", content=[{"encrypted_content": "x"}])
        + closed(1)
    )
    assert out == data
    assert of(ToolArguments, events) == []
    assert of(Internal, events) == [Internal('{"query":"weir"}')]
    assert [event.token for event in events].count(True) == 1


def test_a_compaction_is_output_but_no_text():
    _, out, events = decoded(
        data := start()
        + opened(0, "compaction", content=None)
        + delta("compaction_delta", content="So far: a mill.", encrypted_content="x")
        + closed()
        + finish("compaction")
        + STOP
    )
    assert out == data
    assert of(Internal, events) == [Internal("So far: a mill.")]
    assert of(Text, events) == []
    assert of(Finish, events)[0].kind == "pause"


def test_a_citation():
    citation = {"type": "web_search_result_location", "url": "https://e.org", "title": "E", "cited_text": "a weir"}
    _, out, events = decoded(data := start() + opened(0, citations=[]) + delta("citations_delta", citation=citation))
    assert out == data
    assert of(Annotation, events) == [Annotation("https://e.org", "E", "a weir", native=citation)]
    document = {"type": "char_location", "document_title": "D", "cited_text": "b", "start_char_index": 3}
    _, _, events = decoded(start() + opened() + delta("citations_delta", citation=document))
    assert of(Annotation, events) == [Annotation("", "D", "b", native=document)]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "content_filter"),
        ("model_context_window_exceeded", "length"),
        ("compaction", "pause"),
        ("something_new", "stop"),
    ],
)
def test_stop_reasons(reason, kind):
    _, _, events = decoded(start() + opened() + text("a") + closed() + finish(reason, "END") + STOP)
    assert of(Finish, events) == [Finish(reason, kind=kind, stop_sequence="END")]


@pytest.mark.parametrize(
    ("piece", "event"),
    [
        (PING, Heartbeat()),
        (b": comment\n\n", Heartbeat()),
        (text(""), Opaque()),
        (delta("thinking_delta", thinking=""), Opaque()),
        (delta("something_new", x=1), Opaque()),
        (frame("session.status", session={"x": 1}), Opaque()),
        (frame("content_block_stop", index=99), Opaque()),
        (b"unknown: field\n\n", Opaque()),
    ],
)
def test_frames_without_output_go_on_untouched(piece, event):
    assert MessagesDecoder().decode(piece) == (piece, (event,))
    assert not event.token


def test_unknown_fields_survive_everywhere():
    data = (
        start(service_tier="standard", x={"y": 1})
        + frame("content_block_start", index=0, content_block={"type": "text", "text": "", "x": 1}, x=2)
        + frame("content_block_delta", index=0, delta={"type": "text_delta", "text": "a", "x": 1}, x=3)
        + frame("content_block_stop", index=0, x=4)
        + frame("message_delta", delta={"stop_reason": "end_turn", "x": 1}, usage={"output_tokens": 2, "x": 1}, x=5)
        + frame("message_stop", **{"amazon-bedrock-invocationMetrics": {"outputTokenCount": 2}})
    )
    assert decoded(data)[1] == data


def test_odd_framings_are_read_all_the_same():
    spread = b'event:content_block_delta\r\ndata: {"type":"content_block_delta","index":0,\r\n'
    spread += b'data:"delta":{"type":"text_delta","text":"a"}}\r\n\r\n'
    assert MessagesDecoder().decode(spread) == (spread, (Text("a"),))
    padded = text("a")[:-2] + b"      \n\n"
    assert MessagesDecoder().decode(padded) == (padded, (Text("a"),))
    lone = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    lone += b'"delta":{"type":"text_delta","text":"\\ud83d"}}\n\n'
    assert MessagesDecoder().decode(lone) == (lone, (Text("\ud83d"),))


# -- mendings ---------------------------------------------------------------------------------------------------------


def test_a_missing_or_wrong_event_name_is_put_right():
    for name in (b"", b"event: message\n", b"event: ping\n"):
        nameless = b"".join(name + b"data: " + piece.split(b"\ndata: ")[1] for piece in SSEFramer().feed(answer("Hi")))
        _, out, events = decoded(nameless)
        assert out == answer("Hi")
        assert of(Text, events) == [Text("Hi")]
    assert decoded(b"event: message_stop\ndata: {}\n\n")[1] == b"event: message_stop\ndata: {}\n\n"


def test_the_same_message_start_again_is_dropped():
    _, out, events = decoded(start() + start() + opened() + start() + text("a"))
    assert out == start() + opened() + text("a")
    assert len(of(Start, events)) == 1
    assert of(ErrorReport, events) == []


def test_another_message_start_is_a_protocol_error():
    decoder, _, events = decoded(start("msg_1") + opened() + text("a") + start("msg_2") + finish() + STOP)
    (report,) = of(ErrorReport, events)
    assert "two answers" in report.message and report.status == 502
    assert decoder.incomplete(clean=True)


@pytest.mark.parametrize("later", ["tool_use", None])
def test_a_later_stop_reason_does_not_undo_the_first(later):
    _, out, events = decoded(start() + finish("end_turn") + finish(later, output_tokens=7) + STOP)
    said = read(out)
    assert said.delta["stop_reason"] == "end_turn"
    assert said.usage["output_tokens"] == 7
    assert [event.reason for event in of(Finish, events) if not event.again] == ["end_turn"]
    assert [event.again for event in of(Finish, events)] == [False, True]


def test_the_same_finish_again_goes_on_untouched():
    data = start() + finish("end_turn") + finish("end_turn", output_tokens=7) + STOP
    _, out, events = decoded(data)
    assert out == data and len(of(Finish, events)) == 1


def test_usage_that_is_missing_is_put_in():
    nothing = frame("message_start", message={"id": "m", "type": "message", "model": "c", "content": [], "x": 1})
    bare = frame("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None})
    _, out, events = decoded(nothing + opened() + text("a") + closed() + bare + STOP)
    said = read(out)
    assert said.message["usage"] == {"input_tokens": 0, "output_tokens": 0} and said.message["x"] == 1
    assert said.usage == {"output_tokens": 0}
    assert of(UsageReport, events) == []
    _, out, _ = decoded(start() + finish(None, output_tokens=5) + bare + STOP)
    assert read(out).usage == {"output_tokens": 5}


@pytest.mark.parametrize(
    "piece",
    [b"event: ping\n\n", b"event: content_block_delta\n\n", b"id: 7\n\n", b"retry: 5\n\n", b"event: x\ndata:\n\n"],
)
def test_blocks_without_data_are_dropped(piece):
    handed, (event,) = MessagesDecoder().decode(piece)
    assert handed is None
    assert isinstance(event, Heartbeat | Opaque)


def test_done_is_the_word_of_another_wire():
    decoder, out, events = decoded(answer("a")[: -len(STOP)] + b"event: data\ndata: [DONE]\n\n")
    assert b"[DONE]" not in out and not decoder.marked
    assert of(Malformed, events) == []


@pytest.mark.parametrize(
    "piece",
    [
        b"event: content_block_delta\ndata: {bad\n\n",
        b"event: content_block_delta\ndata: [1]\n\n",
        frame("message_start"),
        frame("content_block_start", index=0),
        frame("content_block_start", content_block={"type": "text"}),
        frame("content_block_delta", index=0),
        frame("message_delta", usage={}),
    ],
)
def test_what_the_grammar_does_not_allow_is_malformed(piece):
    handed, (event,) = MessagesDecoder().decode(piece)
    assert handed is None and isinstance(event, Malformed)
