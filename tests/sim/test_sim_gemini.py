"""The Gemini voice of the simulated provider: both forms, and every fault in either."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.sim.gemini import Gemini
from penstock.sim.options import sim_options
from penstock.sim.plan import plan
from penstock.sim.script import stream_script, whole_script
from penstock.sim.steps import DATA, DROP, END, HOLD, RESET
from penstock.testing.gemini import fed, said, session
from penstock.wire.gemini import GeminiDecoder

WIRE = Gemini()
BODY = {"contents": [{"parts": [{"text": "Hello there"}]}]}
PATH = "/v1beta/models/sim:streamGenerateContent"
FORMS = pytest.mark.parametrize("form", ["sse", "array"])


def steps(query: str, form: str = "sse", **body: Any) -> list[Any]:
    call = WIRE.read(PATH + ("?alt=sse" if form == "sse" else ""), BODY | body)
    answer = plan(call, sim_options(query), 1, 0)
    return list(stream_script(answer, WIRE.voice(answer), b""))


def streamed(query: str, form: str = "sse", **body: Any) -> tuple[bytes, int]:
    """The body and the last act."""
    played = steps(query, form, **body)
    return b"".join(data for _, data, act, _ in played if act == DATA), played[-1][2]


def read(data: bytes) -> tuple[GeminiDecoder, list[Any]]:
    decoder = GeminiDecoder(session("" if data[:1] == b"[" else "alt=sse"))
    return decoder, fed(decoder, [data])[1]


@FORMS
def test_an_answer_is_whole(form):
    data, act = streamed("tokens=5&reasoning=3", form)
    decoder, events = read(data)
    words, thoughts, calls, usage = said(events)
    assert decoder.incomplete(clean=True) is None and act == END
    assert words == "A river does not hurry," and thoughts == "First I look" and calls == []
    assert (usage.input, usage.output, usage.reasoning) == (2, 5, 3)
    if form == "sse":
        assert data.endswith(b"\r\n\r\n")
    else:
        assert len(json.loads(data)) == 9


@FORMS
def test_calls_come_whole(form):
    decoder, events = read(streamed("tool=2&n=2", form)[0])
    calls = said(events)[2]
    assert len(calls) == 4 and {json.loads(arguments)["city"] for _, _, arguments in calls} == {"Paris"}
    assert decoder.incomplete(clean=True) is None


def test_tools_on_offer_are_called_by_name():
    call = WIRE.read(PATH, BODY | {"tools": [{"functionDeclarations": [{"name": "flow"}]}, {"googleSearch": {}}]})
    assert call.tools == ("flow",)


FAULTS = {
    "cut_at=3": (END, "the stream ended before the answer was finished"),
    "drop_at=3": (DROP, "the stream ended before the answer was finished"),
    "reset_at=3": (RESET, "the stream ended before the answer was finished"),
    "stall_at=3": (HOLD, "the stream ended before the answer was finished"),
    "error_at=3": (END, "the provider reported an error"),
    "error_at=0": (END, "the provider reported an error"),
    "finish=no": (END, "the stream ended before the answer was finished"),
    "finish=other": (END, "the provider reported an error"),
    "finish=length": (END, None),
    "malformed_at=3": (END, None),
}


@FORMS
@pytest.mark.parametrize(("query", "ending"), FAULTS.items(), ids=FAULTS)
def test_every_fault_is_what_the_decoder_sees(form, query, ending):
    data, act = streamed(f"tokens=6&{query}", form)
    decoder, _ = read(data)
    assert (act, decoder.incomplete(clean=True)) == ending


def test_usage():
    assert b"usageMetadata" not in streamed("tokens=2&usage=no")[0]
    late = streamed("tokens=2&late_usage=1s")[0].split(b"\r\n\r\n")
    assert [b"usageMetadata" in frame for frame in late if frame] == [False, False, False, True]
    assert streamed("tokens=2")[0].count(b"usageMetadata") == 3


def test_an_array_without_its_bracket():
    assert read(streamed("tokens=2&done=0", "array")[0])[0].incomplete(clean=True) is not None


@pytest.mark.parametrize("options", ["cr=0", "cr=1", "crlf=1"])
def test_line_ends(options):
    data = streamed(f"tokens=1&{options}")[0]
    assert data.endswith(b"\r\r" if options == "cr=1" else b"\r\n\r\n")
    assert said(read(data)[1])[0] == "A"


def test_a_whole_answer():
    call = WIRE.read("/v1/models/sim:generateContent", BODY)
    assert not call.stream
    answer = plan(call, sim_options("tokens=3&reasoning=2&tool=1"), 1, 0)
    played = whole_script(answer, WIRE.voice(answer), "application/json", "r")
    body = json.loads(next(data for _, data, act, _ in played if data.startswith(b"{")))
    parts = body["candidates"][0]["content"]["parts"]
    assert [list(part) for part in parts] == [["text", "thought"], ["text"], ["functionCall"]]
    assert body["usageMetadata"]["totalTokenCount"] > 0


def test_models_in_paths_are_decoded():
    assert WIRE.matches("/v1beta/models/sim%3Ftokens%3D5:streamGenerateContent")
    call = WIRE.read("/v1beta/models/sim%3Ftokens%3D5:streamGenerateContent?alt=sse", BODY)
    assert (call.model, call.stream, call.content_type) == ("sim?tokens=5", True, None)
    assert not WIRE.matches("/v1beta/models/sim:countTokens")


@pytest.mark.parametrize(
    "body", [{}, {"contents": []}, {"contents": 7}, {**BODY, "generationConfig": {"candidateCount": 9}}]
)
def test_what_cannot_be_read_is_said(body):
    with pytest.raises(ValueError):
        WIRE.read(PATH, body)


def test_errors_are_google_s():
    body = json.loads(WIRE.error_body("no", 429, None))
    assert body["error"] == {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}
