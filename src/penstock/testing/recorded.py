"""A recording through its own wire, at random cuts, and the verdict: bytes, outcome, usage and text.

A verdict has ``problems`` (nothing may) or is right; where it is right and yet not the same bytes, or ends with
anything but a complete answer, ``remark`` says why.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import msgspec

from penstock.errors import CorruptFrame, FrameTooLarge
from penstock.outcome import Outcome
from penstock.stream.inputs import UpstreamBytes, UpstreamEnded, UpstreamHead, UpstreamOpened
from penstock.stream.plan import Plan
from penstock.testing import gemini, messages, plainly
from penstock.testing.corpus import Recording
from penstock.testing.transcript import Transcript
from penstock.testing.wire_cases import cut, read, text_of
from penstock.usage import Usage
from penstock.wire.registry import UPSTREAM_WIRES

WIRES = {
    "chat": "openai-chat",
    "completions": "openai-chat",
    "responses": "openai-responses",
    "messages": "anthropic-messages",
    "converse": "bedrock-converse",
    "invoke": "bedrock-invoke",
    "gemini": "gemini",
    "cohere-v2": "cohere-chat",
    "cohere-v1": "cohere-v1",
    "ollama": "ollama-chat",
    "tgi": "tgi",
}
"""The wire of an ``api`` of the index. The old text completions are openai-chat's frames with other fields."""
STRANGERS = {
    "anthropic-complete": "Anthropic's text API before Messages",
    "assistants": "OpenAI's Assistants API, which is shut down",
    "gemini-interactions": "Google's Interactions API",
    "other-text": "Watsonx's text generation",
    "transcript": "OpenAI's transcription of speech",
    "unknown": "Replicate's streams of plain text",
}
"""APIs that are no wire of Penstock's; their recordings are read as openai-chat, which must stand it."""
FILES_OF_STRANGERS = {
    "other/078-writer-completions-async-streaming-completions-legacy.sse": "Writer's text API before chat",
}
READ_BY = {
    "cohere-v1": "openai-chat",
    "tgi": "openai-chat",
    "bedrock-converse": "openai-chat",
    "bedrock-invoke": "anthropic-messages",
}
"""The clients of wires that no client speaks. Any other is read by a client of its own wire."""
ENDINGS = {
    "done": Outcome.COMPLETED,
    "stop": Outcome.COMPLETED,
    "error": Outcome.UPSTREAM_ERROR,
    "truncated": Outcome.UPSTREAM_CUT,
}
FOREIGN_MODEL = "no Messages events through Bedrock's invoke: refused, with an error that names bedrock-converse"
ELIDED = frozenset({"openai-responses/057-openai-phase-1.sse"})
"""Its source left most deltas out; the whole at its end has the text."""
CUTS = (1, 7, 30, 200)
"""How often a recording is cut, each time at other places; it goes through whole, too."""


class Verdict(msgspec.Struct):
    """What became of a recording. ``wire`` is None for an API that is no wire of Penstock's."""

    recording: Recording
    wire: str | None
    outcome: Outcome | None = None
    identical: bool = False
    remark: str = ""
    problems: list[str] = []


def wire_of(recording: Recording) -> str | None:
    """The wire of a recording."""
    if recording.file in FILES_OF_STRANGERS:
        return None
    if recording.wire == "huggingface-tgi" and recording.api == "unknown":
        return "tgi"
    return WIRES.get(recording.api or "")


def judged(recording: Recording, seed: int = 0) -> Verdict:
    """Play a recording through its wire, whole and at random cuts, and judge what the client got."""
    wire, data = wire_of(recording), recording.read()
    verdict = Verdict(recording, wire)
    asked = wire or "openai-chat"
    told = [played(plan_of(asked, recording), pieces) for pieces in _ways(recording, asked, data, seed)]
    whole = told[0]
    verdict.outcome = whole.outcome
    for other in told[1:]:
        if _seen(other) != _seen(whole):
            verdict.problems.append("cut elsewhere, it is another stream")
    if wire is None:
        what = FILES_OF_STRANGERS.get(recording.file) or STRANGERS[recording.api or ""]
        verdict.remark = f"no wire of Penstock's: {what}"
        verdict.identical = whole.body == data
    elif wire == "bedrock-invoke" and _foreign(data):
        _judge_foreign(verdict, whole)
    else:
        _judge(verdict, wire, whole, data)
    return verdict


def plan_of(wire: str, recording: Recording) -> Plan:
    """The plan of a client that asks for a recording."""
    if wire == "gemini":
        return gemini.plan(gemini.request("" if recording.framing == "json-array" else "alt=sse"))
    return messages.plan(client=READ_BY.get(wire, wire), upstream=wire)


def _ways(recording: Recording, wire: str, data: bytes, seed: int) -> Iterator[list[bytes]]:
    yield [data]
    framer = UPSTREAM_WIRES[wire].framer(1 << 25)
    try:
        frames = framer.feed(data)
    except (CorruptFrame, FrameTooLarge):
        pass
    else:
        # A frame a read, which is how nearly all of them come.
        yield [*frames, framer.close()]
    for places in CUTS:
        yield cut(data, places, f"{recording.file} {places} {seed}")


def played(plan: Plan, pieces: Sequence[bytes]) -> Transcript:
    """A recording in pieces, at one instant."""
    transcript = Transcript(plan)
    transcript.start(0.0)
    for happened in (UpstreamOpened(0), UpstreamHead(0, 200, ())):
        transcript.give(happened, 0.0)
    for piece in pieces:
        if not transcript.over:
            transcript.give(UpstreamBytes(0, piece), 0.0)
    if not transcript.over:
        transcript.give(UpstreamEnded(0, clean=True), 0.0)
    return transcript


def _seen(transcript: Transcript) -> tuple[object, ...]:
    account = transcript.account
    counted = account.token_events, account.malformed, account.bytes_out
    return transcript.outcome, transcript.head, transcript.body, account.usage, account.finish, counted


# -- judging ----------------------------------------------------------------------------------------------------------


def _judge(verdict: Verdict, wire: str, whole: Transcript, data: bytes) -> None:
    recording, problems = verdict.recording, verdict.problems
    expected = ENDINGS["error" if recording.has_error else recording.ends_with or ""]
    if whole.outcome is not expected:
        problems.append(f"the outcome is {whole.outcome}, not {expected}")
    elif expected is Outcome.COMPLETED:
        handed_on, events, _ = read(wire, [data])
        _judge_bytes(verdict, wire, whole.body if _is_own(wire) else handed_on, data)
        _judge_words(verdict, wire, whole, text_of(events), data)
    elif expected is Outcome.UPSTREAM_CUT:
        verdict.remark = _cut_remark(wire, whole, data)
        if not verdict.remark:
            problems.append("before the cut stand other bytes than the provider's")
    else:
        _judge_error(verdict, whole, data)


def _is_own(wire: str) -> bool:
    """A client gets the provider's bytes (of invoke: what is in its chunks)."""
    return READ_BY.get(wire) != "openai-chat"


def _judge_bytes(verdict: Verdict, wire: str, body: bytes, data: bytes) -> None:
    if wire == "bedrock-invoke":
        data = plainly.unwrapped(data)
    verdict.identical = body == data
    if verdict.identical:
        return
    shared = body.rstrip(b"\r\n")
    rest = data[len(shared) :].strip(b"\r\n")
    if not data.startswith(shared) or rest not in (b"", b"data: [DONE]", b"event: data\ndata: [DONE]"):
        verdict.problems.append("other bytes than the provider's")
    elif rest:
        verdict.remark = "what follows the wire's own end is left out: [DONE]"
    else:
        verdict.remark = "the blank line behind its last event is missing, and is added"


def _judge_words(verdict: Verdict, wire: str, whole: Transcript, text: str, data: bytes) -> None:
    recording, problems = verdict.recording, verdict.problems
    said = plainly.READERS[wire](data)
    # The old text completions have no deltas; their text is in the bytes, and those are the provider's.
    if text != said.text and recording.api != "completions" and recording.file not in ELIDED:
        problems.append(f"the text is {text[:80]!r}, not {said.text[:80]!r}")
    if not _is_own(wire) and (told := plainly.chat(whole.body).text) != said.text:
        problems.append(f"the client reads {told[:80]!r}, not {said.text[:80]!r}")
    usage = whole.account.usage
    if usage is None and recording.has_usage:
        problems.append("the usage is lost")
    if said.contradiction:
        verdict.remark = said.contradiction
    elif (got := totals(usage or Usage())) != (said.input, said.output):
        problems.append(f"tokens: {got}, not {(said.input, said.output)}")


def totals(usage: Usage) -> tuple[int | None, int | None]:
    """All tokens of the input, all tokens of the output."""
    parts = (usage.input, usage.cache_read, usage.cache_write), (usage.output, usage.reasoning)
    asked, answered = ([part for part in kinds if part is not None] for kinds in parts)
    return sum(asked) if asked else None, sum(answered) if answered else None


def _cut_remark(wire: str, whole: Transcript, data: bytes) -> str:
    last = data.rstrip(b"\r\n")
    last = last[: max(last.rfind(b"\n\n") + 2, last.rfind(b"\r\n\r\n") + 4)]
    if whole.body.startswith(data.rstrip(b"\r\n")):
        return "it ends without a finish: told as a cut"
    return "it ends inside its last event: told as a cut" if whole.body.startswith(last) else ""


def _judge_error(verdict: Verdict, whole: Transcript, data: bytes) -> None:
    if whole.head is None:
        verdict.problems.append("an error, and no answer")
        return
    if verdict.recording.framing == "aws-eventstream":
        headers, payload = list(plainly.messages(data))[-1]
        begins, message = 0, str(msgspec.json.decode(payload)["message"])
        assert headers[":message-type"] == "exception"
    else:
        begins, message = plainly.error_at(data)
    place = "a status" if whole.head.status != 200 else "a frame"
    verdict.remark = f"the provider's error, told with {place}"
    if whole.head.status == 200 and not whole.body.startswith(data[:begins]):
        verdict.problems.append("before the error stand other bytes than the provider's")
    if msgspec.json.encode(message)[1:-1] not in whole.body:
        verdict.problems.append(f"the client is not told what the provider said: {message[:80]}")


def _foreign(data: bytes) -> bool:
    events = plainly.invoked(data)
    return bool(events) and b'"message_start"' not in events[0]


def _judge_foreign(verdict: Verdict, whole: Transcript) -> None:
    verdict.remark = FOREIGN_MODEL
    if whole.outcome is not Outcome.UPSTREAM_ERROR or b"bedrock-converse" not in whole.body:
        verdict.problems.append(f"it is not refused as a foreign model: {whole.outcome}")


def fresh_seed() -> int:
    """Another set of cuts."""
    return random.SystemRandom().randrange(1 << 32)
