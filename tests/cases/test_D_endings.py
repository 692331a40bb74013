"""D. Endings: what is not whole says so, and what is whole is not doubted."""

import contextlib
import ssl
import time
from pathlib import Path
from typing import Any

import openai
import pytest
import trustme
from endings import ANSWER, BREAK, BREAKS, STREAM, UNFRAMED, no_success

from penstock.testing import frames
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import (
    cut,
    done,
    eof,
    err,
    fin,
    hdr,
    pause,
    raw,
    role,
    rst,
    tok,
    tool,
    until_closed,
    usage,
    words,
)
from penstock.testing.upstream import Step

# -- D1, D9 -------------------------------------------------------------------------------------------------------


@STREAM
@BREAK
async def test_D1_truncated(rig: Rig, stream: bool, breaks: list[Step]) -> None:
    upstream, second = await rig.upstream([hdr(), role(), tok(40), *breaks]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, second)
    answer = await gateway.ask(stream)
    if not stream:
        # Nothing was released: the next target may answer.
        assert (answer.status, answer.text) == (200, words(3))
        return
    error = no_success(answer, text=words(40))
    assert (answer.status, error["type"], error["code"], error["status"]) == (200, "server_error", "upstream_cut", 502)
    record = await gateway.record()
    assert (record["outcome"], record["token_events"], record["committed"]) == ("upstream_cut", 40, True)
    assert second.requests == []


@BREAK
async def test_D1_truncated_and_folded_with_nobody_else(rig: Rig, breaks: list[Step]) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(40), *breaks])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream=False)
    assert (answer.status, no_success(answer)["code"]) == (502, "upstream_cut")
    assert (await gateway.record())["outcome"] == "upstream_cut"


@STREAM
@BREAK
@pytest.mark.parametrize("start", [[], [hdr()], [hdr(), role()]], ids=["nothing", "head", "role"])
async def test_D1_before_the_first_token(rig: Rig, stream: bool, breaks: list[Step], start: list[Step]) -> None:
    upstream, second = await rig.upstream([*start, *breaks]), await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream, second)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.text, answer.headers["x-penstock-target"]) == (200, words(3), "m2/model")
    outcome = (await gateway.record())["attempts"][0]["outcome"]
    assert outcome in ("upstream_cut", "empty")


@pytest.mark.parametrize(
    "last", [cut(), cut(notify=False), rst(), eof()], ids=["close_notify", "no close_notify", "rst", "eof"]
)
@STREAM
async def test_D1_over_tls(rig: Rig, tmp_path: Path, last: Step, stream: bool) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    upstream = await rig.upstream([hdr(), role(), tok(40), pause(0.05), last], ssl=context)
    gateway = await rig.gateway(upstream, provider={"ca": str(tmp_path / "ca.pem")})
    answer = await gateway.ask(stream)
    assert no_success(answer, text=words(40))["code"] == "upstream_cut"
    assert (await gateway.record())["outcome"] == "upstream_cut"


CALLS: dict[str, list[Step]] = {
    "name only": [raw(frames.tool(id="call_1", name="write_file"))],
    "half its arguments": [raw(frames.tool(id="call_1", name="write_file", arguments='{"path":"a'))],
    "whole": [tool('{"path":"a"}')],
    "two, the second open": [tool("{}"), raw(frames.tool(1, id="call_2", name="rm", arguments='{"pa'))],
}


@BREAK
@pytest.mark.parametrize("calls", CALLS.values(), ids=CALLS)
async def test_D9_no_finish_is_made_up(rig: Rig, breaks: list[Step], calls: list[Step]) -> None:
    upstream = await rig.upstream([hdr(), role(), *calls, *breaks])
    gateway = await rig.gateway(upstream)
    assert no_success(await gateway.ask())["code"] == "upstream_cut"


@STREAM
async def test_D9_one_choice_of_two_is_not_finished(rig: Rig, stream: bool) -> None:
    both = [raw(frames.chunk("a")), raw(frames.chunk("b", choice=1)), raw(frames.finish(choice=1))]
    upstream = await rig.upstream([hdr(), *both, eof()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream, n=2)
    assert answer.error is not None
    assert (answer.error["code"], answer.marks if stream else 0) == ("upstream_cut", 0)


# -- D5 -----------------------------------------------------------------------------------------------------------

HALVES: dict[str, bytes] = {
    "in its JSON": b'data: {"choices":[{"de',
    "in its field": b"dat",
    "before its blank line": b'data: {"choices":[{"delta":{"content":"x"}\n',
    "in an error": b'data: {"error":{"mess',
}


@BREAK
@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
async def test_D5_half_a_frame_is_not_handed_on(rig: Rig, breaks: list[Step], half: bytes) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(2), raw(half), *breaks])
    gateway = await rig.gateway(upstream)
    async with sdk(gateway) as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        texts: list[str] = []
        with pytest.raises(openai.APIError) as raised:
            await read(stream, texts)
    assert ("".join(texts), raised.value.code) == (words(2), "upstream_cut")


async def read(stream: Any, texts: list[str]) -> None:
    """Read an SDK's stream into ``texts``."""
    async for chunk in stream:
        texts += [chunk.choices[0].delta.content or ""]


def sdk(gateway: LiveGateway) -> openai.AsyncOpenAI:
    """The official client."""
    return openai.AsyncOpenAI(base_url=gateway.base_url, api_key="none", max_retries=0)


# -- D7 -----------------------------------------------------------------------------------------------------------

ENDINGS: dict[str, list[Step]] = {
    **BREAKS,
    "no end marker": [fin(), eof()],
    "in-band error": [err()],
    "error and done": [err(), done()],
    "unframed error": [raw(UNFRAMED), eof()],
    "half a frame": [raw(HALVES["in its JSON"]), cut()],
    "complete": [fin(), done()],
    "complete, and the connection stays": [fin(), done(), until_closed()],
    "error, and the connection stays": [err(), until_closed()],
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
async def test_D7_the_client_never_hangs(rig: Rig, ending: list[Step]) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(5), *ending])
    gateway = await rig.gateway(upstream, between_tokens=30, total=60)
    async with sdk(gateway) as client:
        stream = await client.chat.completions.create(model="m", messages=[], stream=True)
        texts: list[str] = []
        with contextlib.suppress(openai.APIError):
            await read(stream, texts)
        assert time.monotonic() - upstream.requests[0].writes[-1][0] < 0.5
    assert "".join(texts) == words(5)
    await gateway.record()


# -- D8 -----------------------------------------------------------------------------------------------------------

TERMINALS: dict[str, list[Step]] = {
    "finish and end marker": [fin(), done()],
    "finish only": [fin()],
    "finish and usage only": [fin(), usage(9, 3)],
    "end marker only": [done()],
    "finish on the last token": [raw(frames.chunk("!", choice=0)), raw(frames.delta({"content": "."}, finish="stop"))],
}


@STREAM
@pytest.mark.parametrize("terminal", TERMINALS.values(), ids=TERMINALS)
async def test_D8_any_terminal_and_a_clean_end_is_success(rig: Rig, stream: bool, terminal: list[Step]) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), *terminal, eof()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream)
    assert (answer.status, answer.error, answer.ended) == (200, None, "clean")
    assert answer.text.startswith(words(3))
    assert (await gateway.record())["outcome"] == "completed"


@pytest.mark.parametrize("last", [cut(), rst()], ids=["cut", "rst"])
async def test_D8_after_the_end_marker_a_broken_connection_is_nothing(rig: Rig, last: Step) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), fin(), done(), pause(0.05), last])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert (answer.text, answer.error, answer.marks) == (words(3), None, 1)
    assert (await gateway.record())["outcome"] == "completed"


@STREAM
@pytest.mark.parametrize("last", [cut(), rst()], ids=["cut", "rst"])
async def test_D8_a_finish_and_then_a_broken_connection_is_not(rig: Rig, stream: bool, last: Step) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), fin(), pause(0.05), last])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream)
    assert answer.error is not None
    assert (answer.error["code"], answer.ended) == ("upstream_cut", "clean")
    assert answer.status == (200 if stream else 502)
    assert (await gateway.record())["outcome"] == "upstream_cut"


async def test_D8_a_finish_and_then_silence(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), fin(), until_closed()])
    gateway = await rig.gateway(upstream, between_tokens=0.2)
    answer = await gateway.ask()
    assert (answer.text, answer.error, answer.finishes) == (words(3), None, ["stop"])
    record = await gateway.record()
    assert (record["outcome"], record["warnings"]) == ("completed", ["no_end_marker"])


# -- D10 ----------------------------------------------------------------------------------------------------------

REPEATS: dict[str, tuple[list[Step], list[str]]] = {
    "the same": ([fin(), fin()], ["stop"]),
    "another": ([fin("tool_calls"), fin("stop")], ["tool_calls"]),
    "three": ([fin(), fin("length"), fin()], ["stop"]),
    "after usage": ([fin(), usage(), fin()], ["stop"]),
}


@STREAM
@pytest.mark.parametrize(("ending", "finishes"), REPEATS.values(), ids=REPEATS)
async def test_D10_one_finish_one_end(rig: Rig, stream: bool, ending: list[Step], finishes: list[str]) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), *ending, done(), done()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream)
    if stream:
        assert (answer.finishes, answer.marks) == (finishes, 1)
    else:
        assert [choice["finish_reason"] for choice in answer.json["choices"]] == finishes
    assert (answer.text, answer.error, answer.ended) == (words(3), None, "clean")


async def test_D10_a_finish_for_each_choice(rig: Rig) -> None:
    choices = [raw(frames.chunk("a")), raw(frames.chunk("b", choice=1)), fin(), raw(frames.finish("length", choice=1))]
    upstream = await rig.upstream([hdr(), *choices, fin(), done()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(n=2)
    assert (answer.finishes, answer.marks) == (["stop", "length"], 1)


# -- D11 ----------------------------------------------------------------------------------------------------------


@STREAM
@pytest.mark.parametrize("last", [cut(), eof(), until_closed()], ids=["cut", "eof", "idle"])
async def test_D11_a_truncated_tool_call_is_no_call(rig: Rig, stream: bool, last: Step) -> None:
    call = [raw(frames.tool(id="call_1", name="write_file")), raw(frames.tool(arguments='{"path":"a'))]
    upstream = await rig.upstream([hdr(), role(), *call, last])
    gateway = await rig.gateway(upstream, between_tokens=0.2)
    answer = await gateway.ask(stream)
    assert no_success(answer)["code"] in ("upstream_cut", "stalled")
    assert answer.status == 200 if stream else answer.status in (502, 504)
