"""The simulated provider on Bedrock's wires: every frame is whole, whatever its options."""

from __future__ import annotations

import json

import pytest

from penstock.events import EndMarker, ErrorReport, Finish, Malformed, Reasoning, ReasoningSeal, Text, ToolArguments
from penstock.framing.eventstream import EventStreamFramer
from penstock.sim import words
from penstock.sim.bedrock_converse import SIGNATURE, BedrockConverse, model_in
from penstock.sim.bedrock_invoke import BedrockInvoke
from penstock.sim.options import sim_options
from penstock.sim.plan import plan
from penstock.sim.script import stream_script, whole_script
from penstock.sim.steps import BODY, DATA
from penstock.testing.bedrock import Read, read
from penstock.wire.bedrock_converse import ConverseDecoder
from penstock.wire.bedrock_invoke import InvokeDecoder

CONVERSE, INVOKE = BedrockConverse(), BedrockInvoke()
BODIES = {
    "bedrock-converse": {
        "messages": [{"role": "user", "content": [{"text": "Hello"}]}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "level", "inputSchema": {"json": {}}}}, {"cachePoint": {}}]},
    },
    "bedrock-invoke": {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "Hello"}],
        "tools": [{"name": "level", "input_schema": {}}],
    },
}
wires = pytest.mark.parametrize("wire", [CONVERSE, INVOKE], ids=lambda wire: wire.name)


def asked(wire, options: str, stream: bool = True):
    path = (
        wire.example_path if stream else wire.example_path.replace("-with-response-stream", "").replace("-stream", "")
    )
    call = wire.read(path.replace("/sim/", "/sim%3Fx/"), BODIES[wire.name])
    assert call.model == "sim?x" and call.stream is stream and call.tools == ("level",) and call.prompt_tokens >= 1
    return plan(call, sim_options(options), 1, 0)


def streamed(wire, options: str) -> bytes:
    wanted = asked(wire, options)
    return b"".join(data for _, data, act, _ in stream_script(wanted, wire.voice(wanted), b"") if act == DATA)


def seen(wire, options: str) -> Read:
    return read(streamed(wire, options), ConverseDecoder() if wire is CONVERSE else InvokeDecoder())


def of(found: Read, *kinds) -> list:
    return [event for event in found.events if isinstance(event, kinds)]


@wires
@pytest.mark.parametrize("options", ["", "tokens=5", "seed=3", "text=weir", "n=3&tokens=5", "pad=400", "usage=no"])
def test_text(wire, options):
    found = seen(wire, options)
    assert "".join(event.text for event in of(found, Text)) == "".join(asked(wire, options).text())
    assert found.missing is None and found.decoder.marked and not found.decoder.oddities()


@wires
def test_reasoning_text_and_tools(wire):
    found = seen(wire, "reasoning=3&tokens=2&tool=2")
    assert "".join(event.text for event in of(found, Reasoning)) == "First I look"
    assert of(found, ReasoningSeal) == [ReasoningSeal(SIGNATURE)]
    calls = {}
    for event in of(found, ToolArguments):
        calls[event.call] = calls.get(event.call, "") + event.name + event.arguments
    assert list(calls.values()) == ["level" + words.ARGUMENTS] * 2
    assert of(found, Finish)[0].kind == "tool_calls" and found.missing is None


@wires
def test_faults(wire):
    assert isinstance(seen(wire, "error_at=2").events[-1], ErrorReport)
    assert isinstance(seen(wire, "error_at=0").events[-1], ErrorReport)
    assert seen(wire, "cut_at=2").missing == "the stream ended before the answer was finished"
    assert sum(isinstance(event, Malformed) for event in seen(wire, "malformed_at=2").events) == 1
    assert not of(seen(wire, "empty=1"), Text)
    assert of(seen(wire, "finish=length"), Finish)[0].kind == "length"
    assert wire.voice(asked(wire, "")).ping() == b""


def test_late_usage_is_late():
    late = streamed(CONVERSE, "late_usage=1ms")
    assert late.count(b"metadata") == 1 and read(late).missing is None
    assert not of(read(streamed(CONVERSE, "finish=no")), Finish, EndMarker)


@wires
def test_padding_fills_frames(wire):
    if wire is CONVERSE:
        assert {len(frame) for frame in EventStreamFramer().feed(streamed(wire, "pad=400&tokens=3"))} == {400}


@wires
def test_whole_answers(wire):
    wanted = asked(wire, "reasoning=2&tokens=2&tool=1", stream=False)
    steps = whole_script(wanted, wire.voice(wanted), "application/json", "req")
    answer = json.loads(b"".join(data for _, data, act, _ in steps if act == BODY))
    content = answer["output"]["message"]["content"] if wire is CONVERSE else answer["content"]
    assert len(content) == 3 and (answer.get("stopReason") or answer["stop_reason"]) == "tool_use"


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/model/a%2Fb%3A0/converse", "a/b:0"),
        ("/model/sim%3Ftokens%3D5/converse-stream", "sim?tokens=5"),
        ("/model/a/b/converse", None),
        ("/model/a/invoke", None),
        ("/v1/model/a/converse", None),
    ],
)
def test_paths(path, model):
    assert model_in(path, "converse", "converse-stream") == model
    assert (CONVERSE.matches(path) is (model is not None) and not INVOKE.matches(path)) or "invoke" in path


@pytest.mark.parametrize(
    ("wire", "body", "words"),
    [
        (CONVERSE, {}, "at least one message"),
        (INVOKE, {}, "anthropic_version: Field required"),
        (INVOKE, {"anthropic_version": "x", "model": "m"}, "model: Extra inputs are not permitted"),
        (INVOKE, {"anthropic_version": "x", "stream": True}, "stream: Extra inputs are not permitted"),
        (INVOKE, {"anthropic_version": "x"}, "max_tokens: Field required"),
    ],
)
def test_requests_that_are_refused(wire, body, words):
    with pytest.raises(ValueError, match=words):
        wire.read(wire.example_path, body)


@wires
def test_errors_and_examples(wire):
    assert json.loads(wire.error_body("no", 429, None)) == {"message": "no", "__type": "ThrottlingException"}
    assert json.loads(wire.error_body("no", 500, None))["__type"] == "InternalServerException"
    assert wire.read(wire.example_path, wire.example("sim")).stream
