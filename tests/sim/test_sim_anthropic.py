"""The simulated provider on anthropic-messages: every frame is legal, whatever its options."""

from __future__ import annotations

import json

import pytest

from penstock.sim import words
from penstock.sim.anthropic_messages import SIGNATURE, AnthropicMessages
from penstock.sim.options import sim_options
from penstock.sim.plan import plan
from penstock.sim.script import stream_script, whole_script
from penstock.sim.steps import BODY, DATA
from penstock.testing.messages import read

WIRE = AnthropicMessages()
REQUEST = {
    "max_tokens": 9,
    "stream": True,
    "system": "Be brief.",
    "messages": [{"role": "user", "content": "Hello"}],
    "tools": [{"name": "level", "input_schema": {}}],
}


def asked(options: str):
    return plan(WIRE.read("/v1/messages", {**REQUEST, "model": f"sim?{options}"}), sim_options(options), 1, 0)


def streamed(options: str) -> bytes:
    wanted = asked(options)
    return b"".join(data for _, data, act, _ in stream_script(wanted, WIRE.voice(wanted), b"") if act == DATA)


def whole(options: str) -> dict:
    wanted = asked(options)
    steps = whole_script(wanted, WIRE.voice(wanted), "application/json", "req")
    return json.loads(b"".join(data for _, data, act, _ in steps if act == BODY))


@pytest.mark.parametrize("options", ["", "tokens=5", "seed=3", "text=weir", "n=3&tokens=5", "pad=400"])
def test_text(options):
    said = read(streamed(options))
    assert said.blocks == [{"type": "text", "text": "".join(asked(options).text())}]
    assert said.delta["stop_reason"] == "end_turn"
    assert said.usage["input_tokens"] > 0


def test_late_usage_follows_the_end():
    *_, end, late, rest = streamed("late_usage=1ms").split(b"\n\n")
    assert end.startswith(b"event: message_stop")
    assert late.startswith(b"event: message_delta") and b"usage" in late and not rest


def test_reasoning_text_and_tools():
    said = read(streamed("reasoning=3&tokens=2&tool=2"))
    assert [block["type"] for block in said.blocks] == ["thinking", "text", "tool_use", "tool_use"]
    assert said.blocks[0] == {"type": "thinking", "thinking": "First I look", "signature": SIGNATURE}
    assert [(name, value) for _, name, value in said.calls] == [("level", words.ARGUMENTS)] * 2
    assert said.delta["stop_reason"] == "tool_use" and said.usage["output_tokens_details"] == {"thinking_tokens": 3}


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_tokens"), ("content_filter", "refusal"), ("x", "x")])
def test_finishes(finish, reason):
    assert read(streamed(f"tokens=1&finish={finish}")).delta["stop_reason"] == reason
    assert b"message_delta" in streamed("tokens=1&finish=no") and b'"stop_reason":null' in streamed(
        "tokens=1&finish=no"
    )


def test_usage_options():
    assert b'"usage"' not in streamed("tokens=2&usage=no")
    for option in ("asked", "always", "finish"):
        said = read(streamed(f"tokens=2&usage={option}"))
        assert said.usage["output_tokens"] == 2 and streamed(f"usage={option}").count(b"event: message_delta") == 1
    assert b"message_stop" not in streamed("done=no") and b'"end_turn"' in streamed("done=no")


@pytest.mark.parametrize("options", ["crlf=1", "cr=1"])
def test_line_ends(options):
    eol = b"\r\n" if "crlf" in options else b"\r"
    assert read(streamed(f"{options}&tokens=4").replace(eol, b"\n")).ended


def test_faults():
    said = read(streamed("error_at=2"), whole=False)
    assert said.error["error"]["type"] == "api_error" and said.blocks[0]["text"]
    assert read(streamed("error_at=0"), whole=False).error
    for fault in ("cut_at=2", "stall_at=2", "reset_at=2", "drop_at=2", "role_only=1"):
        assert not read(streamed(fault), whole=False).ended
    assert b"{bad" in streamed("malformed_at=2")
    assert not streamed("role=no&tokens=2").startswith(b"event: message_start")
    assert WIRE.voice(asked("")).ping() == b'event: ping\ndata: {"type": "ping"}\n\n'


def test_a_whole_answer():
    answer = whole("reasoning=3&tool=1&tokens=2")
    assert [block["type"] for block in answer["content"]] == ["thinking", "text", "tool_use"]
    assert answer["content"][2]["input"] == json.loads(words.ARGUMENTS)
    assert answer["stop_reason"] == "tool_use" and answer["usage"]["output_tokens"] > 5
    assert "usage" not in whole("usage=no") and whole("empty=1")["content"] == []


def test_what_it_does_not_take():
    with pytest.raises(ValueError, match="max_tokens"):
        WIRE.read("/v1/messages", {"model": "sim"})
    with pytest.raises(ValueError, match="model"):
        WIRE.read("/v1/messages", {"max_tokens": 1})
    assert json.loads(WIRE.error_body("no", 529, None)) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "no"},
        "request_id": "req_sim",
    }
