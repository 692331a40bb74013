"""What goes through the stages beside the answer's own frames: an error may quote the prompt, or what was generated,
and a frame may be read by some clients only."""

import msgspec
import pytest
from words import Word

from penstock.stages.pipeline import StagesPlan
from penstock.testing import messages
from penstock.testing.frames import DONE, finish
from penstock.testing.playbook import (
    Outcome,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    error,
    plan,
)
from penstock.testing.run import run, script
from penstock.testing.transcript import Transcript
from penstock.wire import json
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of

WORD = StagesPlan(stages=(Word(),))
BLOCK = StagesPlan(stages=(Word(block=True),))
JSON = ((b"content-type", b"application/json"),)
SSE = ((b"content-type", b"text/event-stream"),)
REFUSED = {
    "error": {"message": "cannot go on after: a SECRET", "type": "invalid_request_error", "code": "tool_use_failed"}
}
FAILED = {"error": {**REFUSED["error"], "failed_generation": {"parts": ["x", "the SECRET"]}}}


def given(stages: StagesPlan, *happened: object, client: str = "openai-chat") -> Transcript:
    """A provider of openai-chat answers a client of ``client``."""
    plain = messages.plan(client=client, upstream="openai-chat")
    asked = Asked(plain.request, "st_play", plain.client)
    transcript = Transcript(msgspec.structs.replace(plain, stages=stages, editor=editor_of(client, asked)))
    transcript.start(0.0)
    for one in (UpstreamOpened(0), *happened):
        transcript.give(one, 0.1)
    return transcript


def refused(body: bytes) -> tuple[object, ...]:
    return UpstreamHead(0, 400, JSON), UpstreamBytes(0, body), UpstreamEnded(0, clean=True)


def answered(stages: StagesPlan, body: bytes) -> dict[str, object]:
    """What a client of the same wire is told where the provider answers with a 400."""
    transcript = given(stages, *refused(body))
    assert transcript.outcome is Outcome.UPSTREAM_ERROR and transcript.head.status == 400
    assert b"SECRET" not in transcript.body
    return json.loads(transcript.body)["error"]


def test_the_body_that_goes_on_on_the_same_wire_is_redacted_in_every_text():
    told = answered(WORD, json.dumps(FAILED))
    assert told == {
        "message": "cannot go on after: a [x]",
        "type": "invalid_request_error",
        "code": "tool_use_failed",
        "failed_generation": {"parts": ["x", "the [x]"]},
    }


def test_a_body_with_nothing_in_it_keeps_its_very_bytes():
    body = b'{ "error" :  {"message":"too long", "type":"x"} }'
    assert given(WORD, *refused(body)).body == body


@pytest.mark.parametrize("body", [json.dumps(REFUSED), b"<html>a SECRET</html>"], ids=["an error", "a page"])
@pytest.mark.parametrize("client", ["anthropic-messages", "openai-responses", "ollama-chat"])
def test_words_that_are_told_in_another_wire_are_redacted(client, body):
    transcript = given(WORD, *refused(body), client=client)
    assert b"[x]" in transcript.body and b"SECRET" not in transcript.body


def test_words_that_are_blocked_are_withheld():
    told = answered(BLOCK, json.dumps(FAILED))
    assert (told["message"], told["code"]) == (
        "the provider reported an error, whose words are withheld",
        "tool_use_failed",
    )
    assert "failed_generation" not in told


@pytest.mark.parametrize("stages", [WORD, BLOCK], ids=["redact", "block"])
def test_an_error_in_mid_stream_is_redacted(stages):
    pieces = UpstreamBytes(0, chunk("Hi")), UpstreamBytes(0, error("it broke at SECRET"))
    transcript = given(stages, UpstreamHead(0, 200, SSE), *pieces)
    assert transcript.outcome is Outcome.UPSTREAM_ERROR
    assert b"SECRET" not in transcript.body and b'"error"' in transcript.body


@pytest.mark.parametrize("stream", [True, False])
def test_a_byte_order_mark_in_mid_stream_carries_nothing_past_the_stages(stream):
    """It would mean nothing to a client but at the very start: where what came before is held, that is where it is."""
    said = [chunk("SE"), b"\xef\xbb\xbf" + chunk("a SECRET", choice=1), chunk("CRET"), finish(), DONE]
    transcript = run(plan(stages=StagesPlan(stages=(Word(),)), targets=1, stream=stream), [script(*said)])
    assert b"SECRET" not in transcript.body and b"[x]" in transcript.body
