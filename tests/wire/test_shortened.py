"""The length finish of every client wire, over what Penstock itself writes to stop an answer."""

from __future__ import annotations

import pytest

from penstock.events import Start, Text
from penstock.testing import gemini, messages
from penstock.wire.cohere_chat import last_frame
from penstock.wire.registry import CLIENT_WIRES
from penstock.wire.shortened import shortened

LENGTH = {
    "openai-chat": b'"finish_reason":"length"',
    "openai-responses": b'"incomplete_details":{"reason":"max_output_tokens"}',
    "anthropic-messages": b'"stop_reason":"max_tokens"',
    "cohere-chat": b'"finish_reason":"MAX_TOKENS"',
    "gemini": b'"finishReason":"MAX_TOKENS"',
    "ollama-chat": b'"done_reason":"length"',
}
STOP = (
    b'"finish_reason":"stop"',
    b'"end_turn"',
    b'"COMPLETE"',
    b'"STOP"',
    b'"done_reason":"stop"',
    b'"type":"response.completed"',
)


@pytest.mark.parametrize("wire", [wire.name for wire in CLIENT_WIRES])
@pytest.mark.parametrize("begun", [True, False])
def test_the_finish_says_that_it_was_too_long(wire: str, begun: bool) -> None:
    plan = gemini.plan(gemini.request("alt=sse")) if wire == "gemini" else messages.plan(client=wire)
    session = plan.client
    if begun and wire == "cohere-chat":
        before, frames = b"", last_frame("r1", None)
    elif begun and wire != "gemini":
        writer = session.writer()
        text = 'a "finish_reason":"stop" in the text, and event: response.completed\n'
        before, frames = writer.write((Start("r1", "m"), Text(text))), writer.stop()
    else:
        before, frames = b"", session.stop_frames("r1", "m", None)
    said = shortened(wire, frames)
    assert LENGTH[wire] in said
    assert not any(word in said for word in STOP)
    assert before + said != b""
