"""Metadata inside the answer, on every client wire: in its place, and no byte of anything else changed."""

import hashlib
import itertools
import json
from typing import Any

import pytest
from answers import WIRES, Wire
from test_leaks import TYPES

from penstock.framing.sse import SSEFramer, parse
from penstock.policy.metadata import Metadata
from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.rig import MODEL, Rig
from penstock.testing.steps import hdr, raw

EACH = pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
FINAL, LIVE = Metadata(mode="final"), Metadata(mode="live", every=3)
TAGS = (("policy", "eu-1"),)


async def ask(rig: Rig, wire: Wire, frames: list[bytes], headers: dict[str, str], **options: Any) -> Any:
    array = wire.name == "gemini" and not wire.query
    kind = "application/json" if array else TYPES.get(wire.name, "text/event-stream")
    upstream = await rig.upstream([hdr(content_type=kind), *map(raw, frames)])
    stream = options.pop("stream", True)
    gateway = await rig.gateway(upstream, wire=wire.name, **options)
    path, body = wire.path, {**json.loads(wire.body), "model": MODEL, "stream": stream}
    if wire.name == "gemini":
        path = path if stream else path.replace("streamGenerateContent", "generateContent")
        path += f"?{wire.query}" if wire.query and stream else ""
        body = json.loads(wire.body)
    answer = await gateway.post(path, body, headers)
    return answer, await gateway.record()


def objects(wire: Wire, body: bytes) -> list[Any]:
    """The JSON of each frame, as bytes and as values; what the receipt is over."""
    if wire.name == "ollama-chat":
        return body.splitlines()
    if wire.name == "gemini" and not wire.query:
        return [json.dumps(one).encode() for one in json.loads(body)]
    datas = [parse(frame) for frame in SSEFramer().feed(body)]
    return [block.data for block in datas if block.data is not None and block.event != b"ping"]


def noted(said: list[bytes]) -> list[tuple[int, dict[str, Any]]]:
    found = [(place, json.loads(one)) for place, one in enumerate(said) if one.startswith(b"{")]
    return [(place, one["penstock"]) for place, one in found if "penstock" in one]


@EACH
async def test_the_last_note_stands_in_its_place_and_its_receipt_is_right(rig, wire):
    frames = wire.texts(["Hello", " wor", "ld"])
    answer, record = await ask(rig, wire, frames, {"x-penstock-metadata": "final"}, route_fields={"tags": TAGS})
    assert answer.status == 200
    assert record["outcome"] == "completed"
    assert record["tags"] == {"policy": "eu-1"}
    said = objects(wire, answer.body)
    [(place, told)] = noted(said)
    assert told["stream"] == record["stream"]
    assert (told["target"], told["attempts"], told["tags"]) == ("m1/model", 1, {"policy": "eu-1"})
    assert told["frames"] == place
    if wire.query or wire.name != "gemini":
        digest = hashlib.sha256(b"".join(one + b"\n" for one in said[:place])).hexdigest()
        assert told["receipt"] == f"sha256:{digest}"
    # Nothing else has changed.
    assert content(wire, answer.body) == content(wire, b"".join(frames))


def content(wire: Wire, body: bytes) -> dict[str, Any]:
    """What the client's fold makes of an answer, but for the note and for usage that was not asked for."""
    whole = wire.whole(body)
    return {name: value for name, value in whole.items() if name not in ("penstock", "usage")}


@EACH
async def test_live_notes_on_every_wire(rig, wire):
    frames = wire.texts([f"w{number} " for number in range(12)])
    fields = {"metadata": LIVE}
    answer, record = await ask(rig, wire, frames, {}, route_fields=fields)
    assert record["outcome"] == "completed"
    told = noted(objects(wire, answer.body))
    assert len(told) >= 4
    assert [one["final"] for _, one in told] == [False] * (len(told) - 1) + [True]
    counts = [one["token_events"] for _, one in told]
    assert counts == sorted(counts)
    assert counts[-1] == 12
    assert all(after - before >= 3 for (before, _), (after, one) in itertools.pairwise(told) if not one["final"])


@EACH
async def test_a_whole_answer_has_the_note_as_its_last_field(rig, wire):
    if wire.name == "gemini" and not wire.query:
        pytest.skip("the array is a form of streams")
    frames = wire.texts(["mail jane@exam", "ple.com now"])
    options: dict[str, Any] = {"stages": (RedactPolicy(detectors=("email",)),)}
    answer, _ = await ask(rig, wire, frames, {"x-penstock-metadata": "live"}, stream=False, **options)
    assert answer.status == 200
    whole = json.loads(answer.body)
    assert list(whole)[-1] == "penstock"
    told = whole["penstock"]
    assert told["final"] is True
    assert told["redactions"] == {"email": 1}
    plain = answer.body[: answer.body.rindex(b',"penstock":')] + b"}"
    assert told["receipt"] == f"sha256:{hashlib.sha256(plain).hexdigest()}"


@EACH
async def test_who_has_not_asked_gets_the_very_bytes_of_the_provider(rig, wire):
    frames = wire.texts(["Hello", " world"])
    for headers, fields in (({}, {}), ({"x-penstock-metadata": "off"}, {"metadata": FINAL})):
        answer, _ = await ask(rig, wire, frames, headers, route_fields=fields)
        assert b"penstock" not in answer.body
        if wire.name not in ("openai-chat", "cohere-chat"):
            assert answer.body == b"".join(frames)


async def test_an_unknown_word_is_refused(rig):
    upstream = await rig.upstream()
    gateway = await rig.gateway(upstream)
    answer = await gateway.ask(headers={"x-penstock-metadata": "loud"})
    assert answer.status == 400
    assert b"x-penstock-metadata is 'loud'; allowed: off or final or live" in answer.body
