"""The short way that nearly all events take through a writer, a delta of text alone, leads where the long one does."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.events import (
    Annotation,
    Event,
    Finish,
    Opaque,
    Reasoning,
    Refusal,
    Start,
    Text,
    ToolArguments,
    UsageReport,
)
from penstock.usage import Usage
from penstock.wire import json
from penstock.wire.base import Writer
from penstock.wire.ollama_chat_writer import OllamaWriter
from penstock.wire.openai_chat_writer import ChatWriter
from penstock.wire.openai_responses_writer import ResponsesWriter

WORDS = ("a", " b", "é", "\u2028x", '"\\', "\ud800")
EVENTS = st.lists(
    st.one_of(
        st.builds(Text, st.sampled_from(WORDS), st.sampled_from((0, 0, 0, 1))),
        st.builds(Start, st.sampled_from(("", 'i"1')), st.sampled_from(("", "m\u2028")), st.sampled_from((None, 7))),
        st.builds(Reasoning, st.just("hm")),
        st.builds(Refusal, st.just("no")),
        st.just(UsageReport(Usage(input=1, output=2))),
        st.just(ToolArguments(0, "c", "f", "{}")),
        st.builds(Finish, st.just("stop"), st.sampled_from((0, 1))),
    ),
    max_size=20,
)
WRITERS: dict[str, Callable[[], Writer]] = {
    "openai-chat": lambda: ChatWriter("m", "st", include_usage=True),
    "ollama-chat": lambda: OllamaWriter("m", "st"),
    "openai-responses": lambda: ResponsesWriter({"id": "r", "model": "m", "created_at": 0}, "st"),
}


@pytest.mark.parametrize("name", WRITERS)
@given(EVENTS)
def test_one_by_one_is_all_at_once(name: str, events: list[Event]) -> None:
    alone, beside = WRITERS[name](), WRITERS[name]()
    for event in events:
        # What means nothing turns an event away from the short way.
        assert alone.write((event,)) == beside.write((event, Opaque()))
    assert alone.end() == beside.end()


def test_a_chunk_has_the_name_that_was_said_last_and_a_finished_choice_has_none() -> None:
    writer = ChatWriter("m", "st", include_usage=False)

    def chunk(event: Event) -> dict[str, object]:
        written = writer.write((event,))
        return msgspec.json.decode(written[6:]) if written else {}

    assert chunk(Text("a")) == {
        "id": "chatcmpl-st",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}, "finish_reason": None}],
    }
    assert chunk(Text("b")) == {
        "id": "chatcmpl-st",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": None}],
    }
    assert chunk(Start("one", "n", 5)) == {}
    later = chunk(Text("c"))
    assert (later["id"], later["model"], later["created"]) == ("one", "n", 5)
    assert chunk(Text("d"))["id"] == "one"
    assert chunk(Text("e", 1))["choices"] == [
        {"index": 1, "delta": {"role": "assistant", "content": "e"}, "finish_reason": None}
    ]
    assert chunk(Finish("stop"))["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert chunk(Text("f")) == {}
    assert chunk(Text("g", 1))["choices"] == [{"index": 1, "delta": {"content": "g"}, "finish_reason": None}]


def test_a_line_has_the_model_that_was_said_last() -> None:
    writer = OllamaWriter("m", "st")
    assert writer.write((Text("a"),)) == (
        b'{"model":"m","created_at":"1970-01-01T00:00:00Z","message":{"role":"assistant","content":"a"},"done":false}\n'
    )
    assert writer.write((Start("", "n", 86400),)) == b""
    assert writer.write((Text("\u2028"),)) == (
        b'{"model":"n","created_at":"1970-01-02T00:00:00Z","message":{"role":"assistant","content":"\\u2028"},'
        b'"done":false}\n'
    )


def test_citations_in_a_chat_are_numbered_within_their_choice():
    """OpenAI's SDK puts the pieces of a list together by their index, and raises where there is none."""
    writer = ChatWriter("m", "st", include_usage=False)
    events = (Text("a"), Annotation(url="u0"), Annotation(url="u1"), Annotation(url="u2", choice=1))
    out = b"".join(writer.write((event,)) for event in events)
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in out.split(b"\n\n")[:-1]]
    notes = [note for chunk in chunks for note in chunk["choices"][0]["delta"].get("annotations", ())]
    assert [(note["index"], note["url_citation"]["url"]) for note in notes] == [(0, "u0"), (1, "u1"), (0, "u2")]
