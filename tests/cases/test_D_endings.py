"""D. Endings: what is not whole says so, and what is whole is not doubted."""

import contextlib
import ssl
import time
from pathlib import Path
from typing import Any

import openai
import pytest
import trustme

from penstock.stream.attempt import Attempt
from penstock.testing import frames
from penstock.testing.client import Answer
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
    st,
    tok,
    tool,
    until_closed,
    usage,
    words,
)
from penstock.testing.upstream import Script, ScriptedUpstream, Step
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.openai_chat_client import ChatClient
from penstock.wire.openai_chat_fold import ChatFold

STREAM = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
ANSWER: Script = [hdr(), role(), tok(3), fin(), usage(9, 3), done()]
# A reset throws away what its receiver has not read yet: first it is let read.
BREAKS: dict[str, list[Step]] = {"cut": [cut()], "rst": [pause(0.05), rst()], "eof": [eof()]}
BREAK = pytest.mark.parametrize("breaks", BREAKS.values(), ids=BREAKS)


def no_success(answer: Answer, *, text: str | None = None) -> dict[str, Any]:
    """The error of an answer that carries no sign of success."""
    assert answer.ended == "clean"
    assert answer.error is not None
    if answer.headers["content-type"].startswith("text/event-stream"):
        assert (answer.finishes, answer.marks) == ([], 0)
        assert answer.body.endswith(b"\n\n")
        assert text is None or answer.text == text
    else:
        assert answer.status >= 400
        assert "choices" not in answer.json
    return answer.error


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


# -- D2 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("marked", [True, False], ids=["done", "no done"])
async def test_D2_error_after_tokens(rig: Rig, tokens: int, marked: bool) -> None:
    fails = [err("server_error", "boom", "x1"), *([done()] if marked else [])]
    upstream = await rig.upstream([hdr(), role(), tok(tokens), *fails])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    error = no_success(answer, text=words(tokens))
    assert (error["message"], error["type"], error["code"]) == ("boom", "server_error", "x1")
    assert "choices" not in answer.chunks[-1]
    record = await gateway.record()
    assert (record["outcome"], record["token_events"]) == ("upstream_error", tokens)


async def test_D2_error_after_the_finish(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(2), fin(), err("server_error", "boom"), done()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert answer.error is not None
    assert (answer.error["message"], answer.marks) == ("boom", 0)
    assert (await gateway.record())["outcome"] == "upstream_error"


BODIES: dict[str, bytes] = {
    "json": b'{"error":{"message":"no","type":"t","param":null,"code":"c"}}',
    "json with a newline": b'{"error": {"message": "no"}}\n',
    "another shape": b'{"detail":"no","x":[1,2.50]}',
}


@STREAM
@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503, 529])
async def test_D2_status_and_body_of_the_provider(rig: Rig, stream: bool, status: int) -> None:
    for body in BODIES.values():
        upstream = await rig.upstream([st(status, body)])
        gateway = await rig.gateway(upstream)
        answer = await gateway.ask(stream)
        assert (answer.status, answer.body, answer.ended) == (status, body, "clean")
        assert answer.headers["content-type"] == "application/json"
        assert (await gateway.record())["outcome"] == "upstream_error"


@STREAM
async def test_D2_status_with_a_page(rig: Rig, stream: bool) -> None:
    upstream = await rig.upstream([st(502, b"<html>Bad gateway</html>", kind="text/html")])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream)
    error = no_success(answer)
    assert (answer.status, error["code"]) == (502, "upstream_error")
    assert "Bad gateway" in error["message"]


# -- D3 -----------------------------------------------------------------------------------------------------------


class Bug(Exception):
    """Not one of Penstock's own errors."""


def break_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The decoder fails at frame ``number`` of the answer, from 0."""
    decode, count = ChatDecoder.decode, [0]

    def breaks(self: ChatDecoder, frame: bytes) -> Any:
        count[0] += 1
        if count[0] == number + 1:
            raise Bug("secret words of the client")
        return decode(self, frame)

    monkeypatch.setattr(ChatDecoder, "decode", breaks)


async def crashed(gateway: LiveGateway) -> None:
    """One stream has crashed, was counted and told of once, and the gateway serves on."""
    gateway.errors_expected = 1
    record = await gateway.record()
    assert record["outcome"] == "crashed"
    assert gateway.metric("penstock_streams_total", outcome="crashed") == 1
    told = [line["message"] for line in gateway.writer.parsed if "Traceback" in line.get("message", "")]
    assert len(told) == 1
    assert record["stream"] in told[0]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("gap", [0, 0.01], ids=["one read", "a read each"])
async def test_D3_exception_in_mid_stream(rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int, gap: float) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(5, gap=gap), fin(), done()], ANSWER)
    gateway = await rig.gateway(upstream)
    break_at(monkeypatch, number)
    answer = await gateway.ask()
    error = no_success(answer)
    assert (error["type"], error["code"]) == ("server_error", "crashed")
    assert b"secret" not in answer.body
    if number > 1:
        assert (answer.status, answer.text) == (200, words(number - 1))
    else:
        assert answer.status == 500
    await crashed(gateway)
    assert (await gateway.ask()).text == words(3)


@pytest.mark.parametrize("number", [0, 3, 6])
async def test_D3_exception_before_a_folded_answer(rig: Rig, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(5), fin(), done()], ANSWER)
    gateway = await rig.gateway(upstream)
    break_at(monkeypatch, number)
    answer = await gateway.ask(stream=False)
    assert (answer.status, no_success(answer)["code"]) == (500, "crashed")
    await crashed(gateway)
    assert (await gateway.ask(stream=False)).text == words(3)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(ChatFold, "answer"), (ChatFold, "feed"), (ChatDecoder, "incomplete"), (Attempt, "head"), (Attempt, "receive")],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_D3_wherever_it_breaks(rig: Rig, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise Bug

    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, breaks)
        answer = await gateway.ask(stream=False)
    assert (answer.status, no_success(answer)["code"]) == (500, "crashed")
    await crashed(gateway)
    assert (await gateway.ask(stream=False)).text == words(3)


async def test_D3_an_attempt_that_cannot_be_begun(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise Bug

    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(upstream)
    with monkeypatch.context() as patch:
        patch.setattr("penstock.server.routing.upstream_body", breaks)
        answer = await gateway.ask()
    assert (answer.status, no_success(answer)["code"]) == (500, "crashed")
    await crashed(gateway)
    assert (await gateway.ask()).text == words(3)


async def test_D3_a_deadline_that_breaks(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise Bug

    upstream = await rig.upstream([hdr(), tok(2), until_closed()])
    gateway = await rig.gateway(upstream, between_tokens=0.2)
    monkeypatch.setattr("penstock.stream.faults.stalled", breaks)
    assert no_success(await gateway.ask(), text=words(2))["code"] == "crashed"
    await upstream.requests[0].closed(within=1.0)
    await crashed(gateway)


async def test_D3_where_no_error_can_be_told_the_body_is_cut(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise Bug

    upstream = await rig.upstream([hdr(), role(), tok(5, gap=0.02), cut()])
    gateway = await rig.gateway(upstream)
    monkeypatch.setattr(ChatClient, "error_frame", breaks)
    answer = await gateway.ask()
    assert answer.ended in ("cut", "reset")
    assert (answer.finishes, answer.marks) == ([], 0)
    await crashed(gateway)


# -- D4, D5 -------------------------------------------------------------------------------------------------------

UNFRAMED = b'{\n "error": {\n  "code": 503,\n  "message": "The model is overloaded.",\n  "status": "UNAVAILABLE"\n }\n}'


@pytest.mark.parametrize("last", [eof(), cut()], ids=["eof", "cut"])
@pytest.mark.parametrize("tail", [b"", b"\n\n"], ids=["bare", "blank line"])
async def test_D4_unframed_error(rig: Rig, last: Step, tail: bytes) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(3), raw(UNFRAMED + tail), last])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    error = no_success(answer, text=words(3))
    assert (str(error["code"]), error["type"], error["status"]) == ("503", "UNAVAILABLE", 503)
    assert error["message"] == "The model is overloaded."
    assert (await gateway.record())["outcome"] == "upstream_error"


async def test_D4_unframed_error_instead_of_a_stream(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), raw(UNFRAMED), eof()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask()
    assert answer.status == 503
    assert no_success(answer)["message"] == "The model is overloaded."


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
        texts.append(chunk.choices[0].delta.content or "")


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


# -- D12 ----------------------------------------------------------------------------------------------------------

MALFORMED: dict[str, bytes] = {
    "bad JSON": b"data: {bad\n\n",
    "no object": b"data: 12\n\n",
    "cut UTF-8 in bad JSON": b'data: {"a": \xff\n\n',
}


@STREAM
@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
async def test_D12_one_bad_frame_kills_no_stream(rig: Rig, stream: bool, frame: bytes) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(10), raw(frame), tok(50), fin(), done()])
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(stream)
    assert (answer.text, answer.error, answer.ended) == (words(60), None, "clean")
    assert frame not in answer.body
    record = await gateway.record()
    assert (record["outcome"], record["warnings"]) == ("completed", ["malformed_frames=1"])
    assert gateway.metric("penstock_malformed_frames_total") == 1


@STREAM
@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
async def test_D12_unless_it_is_to_fail(rig: Rig, stream: bool, frame: bytes) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(10), raw(frame), tok(50), fin(), done()])
    gateway = await rig.gateway(upstream, malformed="fail")
    error = no_success(await gateway.ask(stream), text=words(10))
    assert error["code"] == "upstream_error"
    assert "malformed" in error["message"]
    assert (await gateway.record())["outcome"] == "upstream_error"


# -- D13, D14 -----------------------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[str, Any, int]] = {
    "rate limit": ("rate_limit_error", "rate_limit_exceeded", 429),
    "quota": ("insufficient_quota", "insufficient_quota", 429),
    "overloaded": ("overloaded_error", None, 503),
    "unavailable": ("UNAVAILABLE", 503, 503),
    "timeout": ("timeout_error", "request_timeout", 504),
    "authentication": ("authentication_error", "invalid_api_key", 401),
    "permission": ("permission_error", None, 403),
    "context": ("invalid_request_error", "context_length_exceeded", 400),
    "server": ("server_error", None, 502),
    "numeric": ("api_error", 529, 529),
}


@pytest.mark.parametrize(("kind", "code", "status"), ERRORS.values(), ids=ERRORS)
async def test_D13_an_error_keeps_its_type_and_status(rig: Rig, kind: str, code: Any, status: int) -> None:
    upstream = await rig.upstream([hdr(), role(), tok(2), err(kind, "words of the provider", code)])
    gateway = await rig.gateway(upstream)
    error = no_success(await gateway.ask(), text=words(2))
    assert (error["message"], error["type"], error["status"]) == ("words of the provider", kind, status)
    assert str(error["code"]) == ("upstream_error" if code is None else str(code))


@pytest.mark.parametrize("start", [[hdr()], [hdr(), role()]], ids=["first", "after role"])
@pytest.mark.parametrize("end", [[], [done()]], ids=["eof", "done"])
@pytest.mark.parametrize(("kind", "code", "status"), ERRORS.values(), ids=ERRORS)
async def test_D14_an_error_as_the_only_event(
    rig: Rig, kind: str, code: Any, status: int, start: list[Step], end: list[Step]
) -> None:
    upstream = await rig.upstream([*start, err(kind, "words of the provider", code), *end])
    gateway = await rig.gateway(upstream)
    for stream in (True, False):
        answer = await gateway.ask(stream)
        error = no_success(answer)
        assert (answer.status, error["message"], error["type"]) == (status, "words of the provider", kind)


async def test_D14_an_error_as_the_only_event_leads_to_the_next_target(rig: Rig) -> None:
    first: ScriptedUpstream = await rig.upstream([hdr(), err("overloaded_error", "busy"), done()])
    gateway = await rig.gateway(first, await rig.upstream(ANSWER))
    for stream in (True, False):
        answer = await gateway.ask(stream)
        assert (answer.status, answer.text, answer.error) == (200, words(3), None)
