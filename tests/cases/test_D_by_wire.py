"""D. Endings and errors, in every wire: in the provider's own frames, streamed and folded."""

import time
from typing import Any

import pytest
from endings import BREAK, STREAM
from wire_clients import Speaker, Told
from wire_providers import PROVIDERS, SAID, Provider

from penstock.testing.client import Answer
from penstock.testing.rig import LiveGateway, Rig
from penstock.testing.steps import cut, eof, pause, raw, rst, st, until_closed, words
from penstock.testing.upstream import Step

WIRE = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)


def each(field: str) -> pytest.MarkDecorator:
    """A case for each entry of a field of every provider."""
    cases = [
        pytest.param(provider, frames, id=f"{name}, {case}")
        for name, provider in PROVIDERS.items()
        for case, frames in getattr(provider, field).items()
    ]
    return pytest.mark.parametrize(("provider", "frames"), cases)


def failed(speaker: Speaker, answer: Answer, *, text: str | None = None) -> dict[str, Any]:
    """The error of an answer that carries no sign of success."""
    told = speaker.told(answer)
    assert told.error is not None
    assert told.successes == []
    assert text is None or told.text == text or answer.status >= 400
    assert answer.ended == ("cut" if speaker.cuts and answer.status == 200 else "clean")
    return told.error


def kept(speaker: Speaker, answer: Answer, *, text: str) -> Told:
    """What an answer says that is whole."""
    told = speaker.told(answer)
    assert (answer.status, answer.ended, told.error) == (200, "clean", None)
    assert told.text.startswith(text)
    assert told.successes
    return told


async def outcome(gateway: LiveGateway) -> str:
    """How the stream ended, by its record."""
    return str((await gateway.record())["outcome"])


# -- D1, D9 -------------------------------------------------------------------------------------------------------


@WIRE
@STREAM
async def test_D1_what_is_whole_is_told_whole(rig: Rig, provider: Provider, stream: bool) -> None:
    upstream = await rig.upstream(provider.answer())
    gateway = await rig.gateway(upstream, wire=provider.wire)
    kept(provider.speaker, await provider.speaker.ask(gateway, stream), text=words(3))
    record = await gateway.record()
    assert (record["outcome"], record["warnings"], record["token_events"]) == ("completed", [], 3)
    assert record["usage"]["output"] == (2 if provider.wire == "openai-responses" else 3)


@WIRE
@STREAM
@BREAK
async def test_D1_truncated_in_every_wire(rig: Rig, provider: Provider, stream: bool, breaks: list[Step]) -> None:
    upstream = await rig.upstream([*provider.begin(), *breaks])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    answer = await provider.speaker.ask(gateway, stream)
    failed(provider.speaker, answer, text=words(3))
    assert answer.status == (200 if stream else 502)
    record = await gateway.record()
    assert (record["outcome"], record["token_events"]) == ("upstream_cut", 3)


@WIRE
@STREAM
@BREAK
async def test_D1_truncated_before_the_first_word(
    rig: Rig, provider: Provider, stream: bool, breaks: list[Step]
) -> None:
    first = await rig.upstream([provider.head(), *([raw(provider.start)] if provider.start else []), *breaks])
    gateway = await rig.gateway(first, await rig.upstream(provider.answer()), wire=provider.wire)
    answer = await provider.speaker.ask(gateway, stream)
    kept(provider.speaker, answer, text=words(3))
    assert answer.headers["x-penstock-target"] == "m2/model"


@each("unfinished")
@STREAM
async def test_D9_what_is_no_end_makes_no_success(rig: Rig, provider: Provider, stream: bool, frames: bytes) -> None:
    upstream = await rig.upstream([*provider.begin(), raw(frames), eof()])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    failed(provider.speaker, await provider.speaker.ask(gateway, stream), text=words(3))
    assert await outcome(gateway) == "upstream_cut"


# -- D2, D13 ------------------------------------------------------------------------------------------------------


def told_of(provider: Provider, error: dict[str, Any]) -> None:
    """The error has the provider's words, type and status, each where the client's wire has its place."""
    assert error["message"] == SAID
    if provider.wire == "gemini":
        assert (error["code"], error["status"]) == (provider.status, provider.type)
        return
    assert error["status"] == provider.status
    kind = error["error_type"] if provider.wire == "cohere-chat" else error["type"]
    assert kind == (provider.type or "server_error")


@WIRE
@STREAM
@pytest.mark.parametrize("ending", [eof(), cut(), until_closed()], ids=["eof", "cut", "silence"])
async def test_D2_error_in_the_stream(rig: Rig, provider: Provider, stream: bool, ending: Step) -> None:
    upstream = await rig.upstream([*provider.begin(), raw(provider.error), ending])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    answer = await provider.speaker.ask(gateway, stream)
    failed(provider.speaker, answer, text=words(3))
    assert answer.status == (200 if stream else provider.status)
    assert await outcome(gateway) == "upstream_error"


@WIRE
@STREAM
async def test_D13_an_error_keeps_its_type_and_status_in_every_wire(rig: Rig, provider: Provider, stream: bool) -> None:
    upstream = await rig.upstream([*provider.begin(), raw(provider.error), eof()])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    told_of(provider, failed(provider.speaker, await provider.speaker.ask(gateway, stream)))


@WIRE
@STREAM
async def test_D13_an_error_as_the_only_event_has_its_status(rig: Rig, provider: Provider, stream: bool) -> None:
    # The list must be opened where the wire has one.
    error = provider.error if provider.client != "gemini array" else b"[" + provider.error.lstrip(b",\r\n")
    upstream = await rig.upstream([provider.head(), raw(error), eof()])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    answer = await provider.speaker.ask(gateway, stream)
    assert answer.status == provider.status
    told_of(provider, failed(provider.speaker, answer))
    assert await outcome(gateway) == "upstream_error"


@WIRE
@STREAM
@pytest.mark.parametrize("status", [401, 429, 500])
async def test_D2_a_status_before_the_stream(rig: Rig, provider: Provider, stream: bool, status: int) -> None:
    body = b'{"error":{"message":"no","type":"t"}}'
    upstream = await rig.upstream([st(status, body, [("retry-after", "7")])])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    answer = await provider.speaker.ask(gateway, stream)
    assert (answer.status, answer.headers["retry-after"], answer.ended) == (status, "7", "clean")
    if provider.client != "openai-chat":
        assert answer.body == body
    assert await outcome(gateway) == "upstream_error"


# -- D5 -----------------------------------------------------------------------------------------------------------


@WIRE
@STREAM
@BREAK
async def test_D5_half_a_frame_of_every_wire(rig: Rig, provider: Provider, stream: bool, breaks: list[Step]) -> None:
    upstream = await rig.upstream([*provider.begin(), raw(provider.half), *breaks])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    failed(provider.speaker, await provider.speaker.ask(gateway, stream), text=words(3))
    assert await outcome(gateway) == "upstream_cut"


# -- D7 -----------------------------------------------------------------------------------------------------------


@WIRE
@STREAM
@pytest.mark.parametrize("ending", ["end", "error", "cut", "half"])
async def test_D7_no_client_hangs(rig: Rig, provider: Provider, stream: bool, ending: str) -> None:
    last: dict[str, list[Step]] = {
        "end": [raw(provider.end), until_closed()],
        "error": [raw(provider.error), until_closed()],
        "cut": [cut()],
        "half": [raw(provider.half), cut()],
    }
    # Gemini says nowhere that no chunk is to come: there the limit between two of them is the client's patience.
    patience = 30 if provider.marked or ending != "end" else 0.2
    upstream = await rig.upstream([*provider.begin(), *last[ending]])
    gateway = await rig.gateway(upstream, wire=provider.wire, between_tokens=patience, total=60)
    await provider.speaker.ask(gateway, stream)
    assert time.monotonic() - upstream.requests[0].writes[-1][0] < (0.5 if provider.marked else 0.7)
    assert await outcome(gateway) == {"end": "completed", "error": "upstream_error"}.get(ending, "upstream_cut")


# -- D8 -----------------------------------------------------------------------------------------------------------


@each("terminals")
@STREAM
async def test_D8_any_terminal_of_the_wire_is_success(
    rig: Rig, provider: Provider, stream: bool, frames: bytes
) -> None:
    upstream = await rig.upstream([*provider.begin(), raw(frames), eof()])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    kept(provider.speaker, await provider.speaker.ask(gateway, stream), text=words(3))
    assert await outcome(gateway) == "completed"


CLOSED = {name: provider for name, provider in PROVIDERS.items() if provider.client != "gemini"}
"""Those whose last frame says that the answer is whole."""


@pytest.mark.parametrize("provider", CLOSED.values(), ids=CLOSED)
@STREAM
@pytest.mark.parametrize("last", [cut(), rst()], ids=["cut", "rst"])
async def test_D8_behind_the_end_a_broken_connection_is_nothing(
    rig: Rig, provider: Provider, stream: bool, last: Step
) -> None:
    upstream = await rig.upstream([*provider.answer(), pause(0.05), last])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    kept(provider.speaker, await provider.speaker.ask(gateway, stream), text=words(3))
    assert await outcome(gateway) == "completed"


# -- D10 ----------------------------------------------------------------------------------------------------------


@each("repeats")
@STREAM
async def test_D10_one_end_in_every_wire(rig: Rig, provider: Provider, stream: bool, frames: bytes) -> None:
    upstream = await rig.upstream([*provider.begin(), raw(frames), eof()])
    gateway = await rig.gateway(upstream, wire=provider.wire)
    told = kept(provider.speaker, await provider.speaker.ask(gateway, stream), text=words(3))
    assert told.text == words(3)
    # Gemini and Anthropic tell usage beside a finish: a second one that says the same goes on.
    signs = set(told.successes) if provider.wire in ("gemini", "anthropic-messages") else told.successes
    markers = {"[DONE]", "message_stop"}
    assert len([sign for sign in signs if sign not in markers]) == 1
    assert sum(sign in markers for sign in told.successes) <= 1
    assert await outcome(gateway) == "completed"


# -- D11 ----------------------------------------------------------------------------------------------------------

CALLING = {name: provider for name, provider in PROVIDERS.items() if provider.call}


@pytest.mark.parametrize("provider", CALLING.values(), ids=CALLING)
@STREAM
@pytest.mark.parametrize("last", [cut(), eof(), until_closed()], ids=["cut", "eof", "idle"])
async def test_D11_a_truncated_call_of_every_wire(rig: Rig, provider: Provider, stream: bool, last: Step) -> None:
    upstream = await rig.upstream([provider.head(), raw(provider.call), last])
    gateway = await rig.gateway(upstream, wire=provider.wire, between_tokens=0.2)
    answer = await provider.speaker.ask(gateway, stream)
    failed(provider.speaker, answer)
    assert b"content_block_stop" not in answer.body
    assert b"arguments.done" not in answer.body
    assert answer.status in ((200,) if stream else (502, 504))
    assert await outcome(gateway) in ("upstream_cut", "stalled")
