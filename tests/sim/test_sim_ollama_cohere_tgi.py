"""The voices of ollama-chat, cohere-chat, cohere-v1 and tgi: every fault, judged by the gateway's own decoders."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.events import ErrorReport, Malformed
from penstock.sim.cohere_chat import CohereChat
from penstock.sim.cohere_v1 import CohereV1
from penstock.sim.ollama_chat import OllamaChat
from penstock.sim.options import sim_options
from penstock.sim.plan import plan
from penstock.sim.script import stream_script, whole_script
from penstock.sim.steps import DATA, DROP, END, HOLD, RESET
from penstock.sim.tgi import TGI
from penstock.testing.wire_cases import calls_of, read, text_of, thought_of, usage_of
from penstock.wire.registry import UPSTREAM_WIRES

WIRES: dict[str, Any] = {wire.name: wire for wire in (OllamaChat(), CohereChat(), CohereV1(), TGI())}
each = pytest.mark.parametrize("name", WIRES)
talking = pytest.mark.parametrize("name", ["ollama-chat", "cohere-chat", "cohere-v1"])


def steps(name: str, query: str, *, whole: bool = False) -> list[Any]:
    wire = WIRES[name]
    call = wire.read(wire.example_path, wire.example("sim"))
    answer = plan(call, sim_options(query), 1, 0)
    voice = wire.voice(answer)
    return list(whole_script(answer, voice, "application/json", "r") if whole else stream_script(answer, voice, b""))


def streamed(name: str, query: str) -> tuple[bytes, int]:
    """The body and the last act."""
    played = steps(name, query)
    return b"".join(data for _, data, act, _ in played if act == DATA), played[-1][2]


@each
@pytest.mark.parametrize("form", ["", "&crlf=1", "&pad=400"])
def test_an_answer_is_whole(name, form):
    data, act = streamed(name, f"tokens=5{form}")
    _, events, decoder = read(name, [data])
    assert text_of(events) == "A river does not hurry," and act == END
    assert decoder.incomplete(clean=True) is None and decoder.oddities() == []
    assert usage_of(events).output == 5 and usage_of(events).input >= 1
    assert (b"\r\n" in data) is ("crlf" in form)


@talking
def test_calls_and_reasoning(name):
    _, events, decoder = read(name, [streamed(name, "tool=2&n=2")[0]])
    calls = calls_of(events)
    assert [call for call, _ in calls] == ["get_weather"] * 2
    assert all(json.loads(arguments)["city"] for _, arguments in calls)
    assert decoder.incomplete(clean=True) is None
    _, events, _ = read(name, [streamed(name, "tokens=3&reasoning=2")[0]])
    assert thought_of(events) == "First I" and text_of(events) == "A river does"


@each
@pytest.mark.parametrize(
    ("fault", "act"), [("cut_at=3", END), ("drop_at=3", DROP), ("reset_at=3", RESET), ("stall_at=3", HOLD)]
)
def test_an_answer_that_ends_in_its_middle(name, fault, act):
    data, ended = streamed(name, f"tokens=5&{fault}")
    _, events, decoder = read(name, [data])
    assert text_of(events) == "A river does" and ended == act
    assert decoder.incomplete(clean=True) == "the stream ended before the answer was finished"


@each
@pytest.mark.parametrize("at", [0, 2])
def test_an_error_in_the_stream(name, at):
    _, events, decoder = read(name, [streamed(name, f"tokens=5&error_at={at}")[0]])
    assert isinstance(events[-1], ErrorReport) and decoder.failed
    assert text_of(events) == ("A river" if at else "")


@each
def test_other_faults(name):
    _, events, decoder = read(name, [streamed(name, "tokens=4&malformed_at=2")[0]])
    assert sum(isinstance(event, Malformed) for event in events) == 1 and text_of(events) == "A river does not"
    _, events, decoder = read(name, [streamed(name, "tokens=4&finish=no&done=0")[0]])
    assert decoder.incomplete(clean=True) is not None
    _, events, decoder = read(name, [streamed(name, "tokens=4&usage=no")[0]])
    assert decoder.incomplete(clean=True) is None and usage_of(events).output is None
    _, events, decoder = read(name, [streamed(name, "empty=1&usage=no")[0]])
    assert text_of(events) == "" and not decoder.empty_is_right
    _, events, decoder = read(name, [streamed(name, "tokens=2&finish=length")[0]])
    assert decoder.empty_is_right


@each
def test_a_whole_document(name):
    data = b"".join(piece for _, piece, act, _ in steps(name, "tokens=5&reasoning=2", whole=True) if act != 2)
    body = data[data.index(b"{") :]
    _, events, _ = read(name, UPSTREAM_WIRES[name].whole(body))
    assert text_of(events).endswith("A river does not hurry,")


@each
def test_what_it_serves(name):
    wire = WIRES[name]
    assert wire.matches(wire.example_path) and not wire.matches("/v1/chat/completions")
    with pytest.raises(ValueError):
        wire.read(wire.example_path, {})
    assert json.loads(wire.error_body("no", 429, None))
    assert wire.voice(plan(wire.read(wire.example_path, wire.example("sim")), sim_options(""), 1, 0)).ping() in (
        b"",
        b": ping\n\n",
    )


def test_ollama_streams_unless_it_is_told_not_to():
    wire = WIRES["ollama-chat"]
    assert [wire.read("", {"model": "sim", **said}).stream for said in ({}, {"stream": None}, {"stream": False})] == [
        True,
        True,
        False,
    ]
