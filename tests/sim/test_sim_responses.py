"""The OpenAI Responses wire over a socket: what every option puts on the wire."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sim_client import Connect

from penstock.sim import Sim, words
from penstock.testing.responses import read

FAST = "first=0&gap=0"


async def ask(sim: Sim, connect: Connect, options: str, *, stream: bool = True, **body: Any) -> Any:
    line = await connect(sim)
    asked = {"model": f"sim?{options}&{FAST}", "input": "Hello", "stream": stream, **body}
    line.send("/v1/responses", json.dumps(asked).encode())
    return await line.reply()


async def test_a_stream(sim: Sim, connect: Connect) -> None:
    reply = await ask(sim, connect, "text=Hello+there&reasoning=3")
    assert (reply.status, reply.ended) == (200, "clean")
    got = read(reply.body)
    assert (got.text, got.reasoning) == ("Hello there", "".join(words.take(words.by_word(words.THOUGHT.lstrip()), 3)))
    assert [item["type"] for item in got.response["output"]] == ["reasoning", "message"]
    assert got.response["usage"]["output_tokens_details"] == {"reasoning_tokens": 3}
    assert sim.requests[-1].tokens_written == 6


async def test_tools(sim: Sim, connect: Connect) -> None:
    tools = [{"type": "function", "name": "level"}, {"type": "web_search"}]
    got = read((await ask(sim, connect, "tool=2", tools=tools)).body)
    assert got.calls == [("level", words.ARGUMENTS)] * 2


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_is_cut_short(sim: Sim, connect: Connect, finish: str, reason: str) -> None:
    response = read((await ask(sim, connect, f"tokens=3&finish={finish}")).body).response
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": reason})


async def test_the_whole_answer_is_that_of_the_stream(sim: Sim, connect: Connect) -> None:
    options = "tokens=5&reasoning=2&tool=1"
    streamed = read((await ask(sim, connect, options)).body).response
    whole = json.loads((await ask(sim, connect, options, stream=False)).body)
    for field in ("status", "usage", "object"):
        assert streamed[field] == whole[field]
    assert [item["type"] for item in whole["output"]] == ["reasoning", "message", "function_call"]
    assert whole["output"][1]["content"] == streamed["output"][1]["content"]


async def test_faults(sim: Sim, connect: Connect) -> None:
    error = (await ask(sim, connect, "tokens=9&error_at=3")).body
    assert error.count(b"response.output_text.delta\n") == 3
    assert b"event: error\n" in error and b"event: response.failed\n" in error and b"completed" not in error
    for options in ("tokens=9&cut_at=3", "tokens=3&finish=no&done=0", "tokens=3&done=0", "tokens=3&finish=no"):
        assert b"response.completed" not in (await ask(sim, connect, options)).body
    assert b'"usage":null' in (await ask(sim, connect, "tokens=3&usage=no")).body.rpartition(b"response.completed")[2]
    assert b"{bad" in (await ask(sim, connect, "tokens=3&malformed_at=1")).body
    late = await ask(sim, connect, "tokens=3&late_usage=1ms")
    assert late.ended == "clean" and late.body.count(b"event: response.completed") == 1
    crlf = (await ask(sim, connect, "tokens=3&crlf=1")).body
    assert read(crlf).text == "A river does" and b"\r\n\r\n" in crlf
    assert len((await ask(sim, connect, "tokens=3&pad=400")).body) > 1200


async def test_requests_that_cannot_be_read(sim: Sim, connect: Connect) -> None:
    line = await connect(sim)
    line.send("/v1/responses", b'{"model":"sim"}')
    reply = await line.reply()
    assert reply.status == 400 and "input" in json.loads(reply.body)["error"]["message"]
