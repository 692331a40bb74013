"""D. Errors: the provider's are told with its own words, Penstock's own end one stream and no more."""

from typing import Any

import pytest
from endings import ANSWER, STREAM, UNFRAMED, no_success

from penstock.stream.attempt import Attempt
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import (
    cut,
    done,
    eof,
    err,
    fin,
    hdr,
    raw,
    role,
    st,
    tok,
    until_closed,
    words,
)
from penstock.testing.upstream import ScriptedUpstream, Step
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.openai_chat_client import ChatClient
from penstock.wire.openai_chat_fold import ChatFold

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
    """The decoder, which is asked of every frame, fails at frame ``number`` of the answer, from 0."""
    decode, count = ChatDecoder.decode, [0]

    def breaks(self: ChatDecoder, frame: bytes) -> Any:
        count[0] += 1
        if count[0] == number + 1:
            raise Bug("secret words of the client")
        return decode(self, frame)

    monkeypatch.setattr(ChatDecoder, "decode", breaks)
    monkeypatch.setattr(ChatDecoder, "alike", None)


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
        patch.setattr("penstock.wire.openai_chat_wire.upstream_body", breaks)
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


# -- D4 -----------------------------------------------------------------------------------------------------------


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
