"""How a provider of each wire says a word, a ping, an error, nothing at all, and something that is no frame."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from wire_providers import DONE_LINE, EVENT_STREAM, PROVIDERS, SAID, cohere_end, envelope, line, tgi, v1

from penstock.testing import bedrock, frames, gemini, messages, responses
from penstock.wire.cohere_chat import event_frame

WORDS = 12
"""Of an answer."""


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """A provider of one wire. An answer is ``start``, words, ``end``; everything is a list of frames."""

    wire: str
    kind: bytes = b"text/event-stream"
    start: bytes
    word: Callable[[str], bytes]
    ping: bytes
    """Alive, and without progress."""
    end: Callable[[str], list[bytes]]
    """The end of an answer of words with that letter: some wires repeat them."""
    empty: Sequence[bytes]
    """The end of an answer that had no word, and no tokens."""
    error: bytes
    """It says `SAID`."""
    status: int
    """What that means."""
    malformed: bytes = b"data: {no json\n\n"
    mends: bool = True
    """A malformed frame can be left out."""
    listed: bool = False
    """Frames are the elements of one list."""

    def said(self, parts: Sequence[bytes], *, closed: bool = False, before: int = 0) -> list[bytes]:
        """Frames as they come, ``before`` others; ``closed``: the last is the answer's last."""
        if not self.listed:
            return list(parts)
        pieces = [(b",\r\n" if place + before else b"[") + part for place, part in enumerate(parts)]
        return [*pieces[:-1], pieces[-1] + b"\n]"] if closed else pieces

    def words(self, letter: str, count: int = WORDS) -> list[bytes]:
        """So many words."""
        return [self.word(f"{letter}{number} ") for number in range(count)]

    def answer(self, letter: str) -> list[bytes]:
        """A whole answer, frame by frame."""
        return self.said([self.start, *self.words(letter), *self.end(letter)], closed=True)


def _from(name: str, **fields: Any) -> Talk:
    """What the provider of that name has in common with other cases."""
    known = PROVIDERS[name]
    common = {"wire": known.wire, "kind": known.kind.encode(), "start": known.start, "end": lambda _: [known.end]}
    return Talk(**{**common, "error": known.error, "status": known.status, **fields})


def _text(words: str) -> dict[str, Any]:
    return gemini.chunk(gemini.text(words))


_GEMINI_USAGE = {"promptTokenCount": 9, "candidatesTokenCount": WORDS, "totalTokenCount": 9 + WORDS}
_GEMINI_END = gemini.chunk(gemini.text(""), reason="STOP", usageMetadata=_GEMINI_USAGE)
_GEMINI_EMPTY = gemini.chunk(gemini.text(""), reason="STOP")
_MESSAGES_EMPTY = messages.closed() + messages.finish(output_tokens=0) + messages.STOP
_NOTHING = dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), 0)
_RESPONSES_EMPTY = responses.frame("response.completed", response=responses.response("completed", usage=_NOTHING))


def _responses_end(letter: str) -> list[bytes]:
    words = "".join(f"{letter}{number} " for number in range(WORDS))
    return [responses.ended(output=[responses.message(words)])]


def _v1_end(**response: Any) -> bytes:
    return v1("stream-end", finish_reason="COMPLETE", response={"finish_reason": "COMPLETE", **response})


TALKS: dict[str, Talk] = {
    "openai-chat": Talk(
        wire="openai-chat",
        start=frames.role(),
        word=frames.chunk,
        ping=frames.COMMENT,
        end=lambda _: [frames.finish(), frames.usage(9, WORDS), frames.DONE],
        empty=[frames.finish(), frames.DONE],
        error=frames.error(SAID),
        status=502,
    ),
    "openai-responses": _from(
        "openai-responses",
        word=responses.text,
        ping=frames.COMMENT,
        end=_responses_end,
        empty=[_RESPONSES_EMPTY],
    ),
    "anthropic-messages": _from("anthropic-messages", word=messages.text, ping=messages.PING, empty=[_MESSAGES_EMPTY]),
    "gemini": _from(
        "gemini",
        start=gemini.sse(_text("")),
        word=lambda words: gemini.sse(_text(words)),
        ping=frames.COMMENT,
        end=lambda _: [gemini.sse(_GEMINI_END)],
        empty=[gemini.sse(_GEMINI_EMPTY)],
    ),
    "gemini array": _from(
        "gemini array",
        start=json.dumps(_text("")).encode(),
        word=lambda words: json.dumps(_text(words)).encode(),
        ping=json.dumps(_text("")).encode(),
        end=lambda _: [json.dumps(_GEMINI_END).encode()],
        empty=[json.dumps(_GEMINI_EMPTY).encode()],
        error=json.dumps(gemini.error(message=SAID)).encode(),
        malformed=b"{no json}",
        listed=True,
    ),
    "cohere-chat": _from(
        "cohere-chat",
        word=lambda words: event_frame(
            {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": words}}}}
        ),
        ping=frames.COMMENT,
        empty=[cohere_end(usage={})],
    ),
    "ollama-chat": _from(
        "ollama-chat",
        start=line({"role": "assistant", "content": ""}),
        word=lambda words: line({"role": "assistant", "content": words}),
        ping=line({"role": "assistant", "content": ""}),
        empty=[line({"role": "assistant", "content": ""}, **{**DONE_LINE, "eval_count": 0})],
        malformed=b"{no json\n",
    ),
    "bedrock-converse": _from(
        "bedrock-converse",
        word=bedrock.text,
        ping=bedrock.START,
        empty=[bedrock.stop(), bedrock.metadata(9, 0)],
        malformed=b"\0\0\0\x20 no frame of any kind, and no crc",
        mends=False,
    ),
    "bedrock-invoke": _from(
        "bedrock-invoke",
        word=lambda words: envelope(messages.text(words)),
        ping=envelope(messages.PING),
        empty=[envelope(_MESSAGES_EMPTY)],
        malformed=b"\0\0\0\x20 no frame of any kind, and no crc",
        mends=False,
    ),
    "cohere-v1": _from(
        "cohere-v1",
        word=lambda words: v1("text-generation", text=words),
        ping=v1("stream-start", generation_id="g"),
        end=lambda _: [_v1_end(meta={"billed_units": {"input_tokens": 9, "output_tokens": WORDS}})],
        empty=[_v1_end(text="")],
        malformed=b"{no json\n",
    ),
    "tgi": _from(
        "tgi",
        start=frames.COMMENT,
        word=tgi,
        ping=frames.COMMENT,
        empty=[tgi("", generated_text="")],
    ),
}
"""By wire; Gemini's other form has a name of its own."""
assert all(EVENT_STREAM.encode() == talk.kind or talk.mends for talk in TALKS.values())
