"""The folded answer: one chat.completion from the frames that a streaming client would have got, and the way back."""

from __future__ import annotations

from penstock.framing.sse import parse
from penstock.testing import frames
from penstock.testing.frames import DONE, chunk, delta, finish, frame, role, tool, usage
from penstock.wire import json
from penstock.wire.openai_chat_fold import ChatFold, frames_of_answer


def folded(*several: bytes):
    fold = ChatFold()
    for one in several:
        fold.feed(one)
    return json.loads(fold.answer())


def message(*several: bytes):
    (choice,) = folded(*several)["choices"]
    return choice["message"]


def test_a_plain_answer():
    assert folded(role(), chunk("Hel"), chunk("lo"), finish(), usage(9, 2), DONE) == {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }


def test_reasoning_and_refusal_are_joined():
    said = message(frames.reasoning("a"), frames.reasoning("b"), delta({"refusal": "n"}), delta({"refusal": "o"}))
    assert said["reasoning_content"] == "ab"
    assert said["refusal"] == "no"


def test_tool_calls_are_joined_by_index_and_lose_it():
    said = message(
        tool(0, id="a", name="f"),
        tool(1, id="b", name="g"),
        tool(0, arguments="{"),
        tool(1, arguments="[]"),
        tool(0, arguments="}"),
    )
    assert said["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[]"}},
    ]


def test_tool_calls_without_an_index_are_joined_by_id_or_by_order():
    def fragment(**fields: object) -> bytes:
        return delta({"tool_calls": [fields]})

    said = message(
        fragment(id="a", function={"name": "f", "arguments": "{"}),
        fragment(function={"arguments": "}"}),
        fragment(id="b", function={"name": "g", "arguments": {"x": 1}}),
    )
    assert [(c["id"], c["function"]["arguments"]) for c in said["tool_calls"]] == [("a", "{}"), ("b", '{"x":1}')]


def test_later_fragments_do_not_blank_a_name():
    said = message(tool(0, id="a", name="f"), tool(0, id="", name="", arguments="{}"))
    assert said["tool_calls"][0] == {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_arguments_that_are_null_add_nothing():
    fragment = {"index": 0, "function": {"name": "f", "arguments": None}}
    said = message(delta({"tool_calls": [fragment]}), tool(0, arguments="{}"))
    assert said["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_parts_grow():
    thinking = [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]
    more = [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}], "closed": True}]
    said = message(
        role(), delta({"content": thinking}), delta({"content": more}), chunk("a"), chunk("b"), delta({"content": ""})
    )
    assert said["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
        {"type": "text", "text": "ab"},
    ]


def test_text_before_parts_becomes_a_part():
    said = message(chunk("a"), delta({"content": [{"type": "text", "text": "b"}]}))
    assert said["content"] == [{"type": "text", "text": "ab"}]


def test_reasoning_details_grow_by_index():
    def details(text: str, index: int) -> bytes:
        return delta({"reasoning_details": [{"type": "reasoning.text", "text": text, "index": index}]})

    said = message(details("a", 0), details("b", 0), details("c", 1))
    assert [part["text"] for part in said["reasoning_details"]] == ["ab", "c"]


def test_audio_is_joined():
    said = message(
        *(
            delta({"audio": part})
            for part in ({"id": "a"}, {"transcript": "x"}, {"data": "AA"}, {"data": "BB"}, {"expires_at": 5})
        )
    )
    assert said["audio"] == {"id": "a", "transcript": "x", "data": "AABB", "expires_at": 5}


def test_log_probabilities_grow():
    def scored(token: str) -> bytes:
        choice = {"index": 0, "delta": {"content": token}, "logprobs": {"content": [{"token": token}], "refusal": None}}
        return frame({"choices": [choice]})

    (choice,) = folded(scored("a"), scored("b"))["choices"]
    assert choice["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}], "refusal": None}


def test_choices_come_in_order_with_their_own_finish():
    both = folded(chunk("b", choice=1), chunk("a"), finish("length", choice=1), finish())["choices"]
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in both] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]


def test_the_first_finish_stays():
    (choice,) = folded(chunk("a"), finish("tool_calls"), finish("stop"))["choices"]
    assert choice["finish_reason"] == "tool_calls"


def test_fields_that_nobody_knows_survive():
    answer = folded(
        frame({"id": "", "choices": [], "prompt_filter_results": [1]}),
        chunk("a", system_fingerprint="fp", x_new={"deep": 1}),
        frame({"choices": [{"index": 0, "content_filter_results": {"hate": 0}}]}),
        delta({"annotations": [1]}),
        delta({"annotations": [2]}),
        chunk("", citations=["u"]),
    )
    assert (answer["prompt_filter_results"], answer["system_fingerprint"], answer["x_new"]) == ([1], "fp", {"deep": 1})
    assert answer["citations"] == ["u"]
    (choice,) = answer["choices"]
    assert choice["content_filter_results"] == {"hate": 0}
    assert choice["message"]["annotations"] == [1, 2]


def test_what_is_for_the_stream_alone_is_left_out():
    assert {"obfuscation", "error"}.isdisjoint(folded(chunk("a", obfuscation="zz", error=None)))


def test_cumulative_usage_is_replaced():
    answer = folded(
        chunk("a", usage={"prompt_tokens": 1}), chunk("b", usage={"prompt_tokens": 2}), chunk("c", usage=None)
    )
    assert answer["usage"] == {"prompt_tokens": 2}


def test_comments_and_the_end_marker_add_nothing():
    assert folded(b": x\n\n", b"\n", b"data: 7\n\n", b"data: {no\n\n", DONE)["choices"] == []


def test_there_and_back_again():
    stream = (role(), chunk("Hi"), tool(0, id="a", name="f", arguments="{}"), finish("tool_calls"), usage(9, 2), DONE)
    answer = folded(*stream)
    again = frames_of_answer(answer)
    assert folded(*again) == answer
    assert again[-1] == DONE
    assert all(parse(one).data for one in again)


def test_a_document_of_the_legacy_wire_becomes_a_stream():
    again = frames_of_answer({"id": "a", "choices": [{"index": 0, "text": "Hi", "finish_reason": "length"}]})
    assert message(*again)["content"] == "Hi"
