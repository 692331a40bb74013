"""Recorded streams of Bedrock: whole, byte by byte and at random cuts; and told to the clients of every other wire."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from penstock.events import EndMarker, ErrorReport, Text, UsageReport
from penstock.framing.eventstream import EventStreamFramer, open_frame, text
from penstock.framing.sse import SSEFramer, parse
from penstock.request import StreamRequest
from penstock.testing.bedrock import read
from penstock.testing.corpus import MISSING, Recording, corpus, recordings
from penstock.wire import json
from penstock.wire.anthropic_invoke import chunk_event, sse_frame
from penstock.wire.base import ClientWire, Decoder
from penstock.wire.bedrock_converse import ConverseDecoder
from penstock.wire.bedrock_invoke import InvokeDecoder
from penstock.wire.openai_chat import ChatDecoder
from penstock.wire.registry import CLIENT_WIRES
from penstock.wire.translated import Translated

pytestmark = pytest.mark.skipif(corpus() is None, reason=MISSING)


def of(wire: str) -> list[Any]:
    return [pytest.param(each, id=each.file) for each in recordings(lambda each: each.wire == wire)]


ALONE = ("gemini", "cohere-chat")
"""Client wires that are served by providers of their own only."""
CONVERSE, INVOKE = of("bedrock-converse-stream"), of("bedrock-invoke-stream")


def is_anthropic(body: bytes) -> bool:
    """Whether a recording of invoke holds Anthropic's Messages events."""
    return b"message_start" in b"".join(decoded_chunks(body))


def decoded_chunks(body: bytes) -> list[bytes]:
    opened = (open_frame(frame) for frame in EventStreamFramer().feed(body))
    return [chunk_event(payload) for headers, payload in opened if text(headers, ":event-type") == "chunk"]


def thrice(body: bytes, make: Callable[[], Decoder]) -> list[Any]:
    """The body whole, at 30 random cuts, and byte by byte where it is small."""
    dice = random.Random(len(body))
    seen = [read(body, make())]
    seen.append(read(body, make(), sorted(dice.randrange(len(body)) for _ in range(30))))
    if len(body) < 20_000:
        seen.append(read(body, make(), list(range(1, len(body)))))
    for other in seen[1:]:
        assert (other.events, other.bytes, other.missing) == (seen[0].events, seen[0].bytes, seen[0].missing)
    return seen


@pytest.mark.parametrize("recording", CONVERSE)
def test_converse(recording: Recording) -> None:
    body = recording.read()
    seen = thrice(body, ConverseDecoder)[0]
    assert seen.bytes == body
    if recording.has_error:
        assert isinstance(seen.events[-1], ErrorReport) and seen.missing == "the provider reported an error"
        assert seen.events[-1].status == 503
        return
    assert seen.missing is None and seen.decoder.marked and isinstance(seen.events[-1], EndMarker)
    usage = [event.usage for event in seen.events if isinstance(event, UsageReport)]
    assert len(usage) == (1 if recording.has_usage else 0)
    if usage:
        said = json.loads(body[body.rindex(b'{"metrics"') : -4])["usage"]
        parts = (usage[0].input, usage[0].output, usage[0].cache_read, usage[0].cache_write)
        assert sum(part or 0 for part in parts) == said["totalTokens"]


@pytest.mark.parametrize("recording", INVOKE)
def test_invoke(recording: Recording) -> None:
    body = recording.read()
    seen = thrice(body, InvokeDecoder)[0]
    if recording.has_error:
        assert isinstance(seen.events[-1], ErrorReport) and seen.events[-1].status == 400
    elif not is_anthropic(body):
        reports = [event for event in seen.events if isinstance(event, ErrorReport)]
        assert reports and "bedrock-converse" in reports[0].message and seen.missing and not seen.bytes
    else:
        assert seen.missing is None and seen.decoder.marked
        assert seen.bytes == b"".join(sse_frame(event) for event in decoded_chunks(body))
        assert recording.has_usage == any(isinstance(event, UsageReport) for event in seen.events)


def told(body: bytes, make: Callable[[], Decoder], client: ClientWire) -> tuple[bytes, str]:
    """The body as a client of another wire gets it, and the text of its events."""
    request = StreamRequest(model="m", stream=True, include_usage=True, body={})
    decoder = Translated(make(), client.session(request, "st_1").writer())
    seen = read(body, decoder)
    assert seen.missing is None
    return seen.bytes + decoder.ending(), "".join(event.text for event in seen.events if isinstance(event, Text))


def pairs() -> list[Any]:
    """Every complete answer with every client wire that it is translated for."""
    found = []
    for recording in recordings(lambda each: each.wire in ("bedrock-converse-stream", "bedrock-invoke-stream")):
        invoke = recording.wire == "bedrock-invoke-stream"
        if recording.has_error or (invoke and not is_anthropic(recording.read())):
            continue
        # Anthropic's clients get the bytes of invoke as they are.
        alone = (*ALONE, "anthropic-messages") if invoke else ALONE
        wires = [wire for wire in CLIENT_WIRES if wire.name not in alone]
        found += [pytest.param(recording, wire, id=f"{recording.file}-{wire.name}") for wire in wires]
    return found


@pytest.mark.parametrize(("recording", "client"), pairs())
def test_clients_of_other_wires(recording: Recording, client: ClientWire) -> None:
    body = recording.read()
    make: Callable[[], Decoder] = ConverseDecoder if "converse" in recording.wire else InvokeDecoder
    out, said = told(body, make, client)
    request = StreamRequest(model="m", stream=True, include_usage=True, body={})
    fold = client.session(request, "st_1").fold()
    fold.feed(out)
    answer = fold.answer().decode()
    assert json.dumps(said).decode().strip('"')[:200] in answer


@pytest.mark.parametrize("recording", [each for each in CONVERSE if not each.values[0].has_error])
def test_a_chat_client_reads_the_same_text(recording: Recording) -> None:
    chat = next(wire for wire in CLIENT_WIRES if wire.name == "openai-chat")
    out, said = told(recording.read(), ConverseDecoder, chat)
    decoder = ChatDecoder()
    events = [event for frame in SSEFramer().feed(out) for event in decoder.decode(frame)[1]]
    assert "".join(event.text for event in events if isinstance(event, Text)) == said
    assert decoder.marked and decoder.finished and decoder.incomplete(clean=True) is None
    first = parse(SSEFramer().feed(out)[0]).data
    assert json.loads(first or b"")["choices"][0]["delta"]["role"] == "assistant"
