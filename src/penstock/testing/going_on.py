"""Law 4, where an answer that broke off goes on with another attempt (``mid_stream: continue``)."""

from __future__ import annotations

from penstock.framing.sse import SSEFramer, parse
from penstock.stream.commands import Append, Open, Send
from penstock.testing.reading import readings
from penstock.testing.transcript import Transcript, short
from penstock.wire import json
from penstock.wire.continued import Prefix


def law_4_an_answer_goes_on_from_what_the_client_has(transcript: Transcript) -> None:
    """An attempt that goes on is given the text that was said, no more and no less (stages hold some of it back, and
    change it); there is one such, unless it had no chance to speak; the account names it. Nobody is asked anew after
    it."""
    given: Prefix | None = None
    said = ""
    streamed, read = transcript.plan.request.stream, readings(transcript)
    # Of a resumable stream whoever comes back has what is in the journal, also while nobody is there.
    told = Send if transcript.plan.resumable is None else Append
    for turn in transcript.turns:
        for command in turn.commands:
            if isinstance(command, told) and streamed:
                said += text_of(command.data)
            if not isinstance(command, Open):
                continue
            assert given is None or command.behind == given, f"{short(command)} after the answer went on"
            if command.behind is None:
                continue
            assert transcript.plan.ways[command.target].continues, f"target {command.target} cannot go on"
            earlier = [one for one in read[: command.attempt] if one.behind is not None]
            assert not any(one.tokens for one in earlier), "it goes on twice"
            plain = streamed and transcript.plan.stages is None
            assert not plain or command.behind.text == said.rstrip(), f"{said!r} was said, not {command.behind}"
            given = command.behind
    named = [number for number, attempt in enumerate(transcript.account.attempts) if attempt.continues]
    assert named == [one.number for one in read if one.behind is not None], "the account is silent of it"
    assert ("continued" in transcript.account.warnings) is bool(named), "the account does not warn"


def text_of(data: bytes) -> str:
    """The text of the chunks in whole frames."""
    found = ""
    for block in map(parse, SSEFramer().feed(data)):
        body = json.loads(block.data) if block.data and block.data.startswith(b"{") else {}
        for choice in body.get("choices") or ():
            content = (choice.get("delta") or {}).get("content") or ""
            parts = [content] if isinstance(content, str) else [part.get("text") or "" for part in content]
            found += "".join(part for part in parts if isinstance(part, str))
    return found
