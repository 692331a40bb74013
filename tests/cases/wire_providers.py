"""A provider of each wire, in its own raw frames, and the client that asks it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import wire_clients
from wire_clients import SPEAKERS

from penstock.framing.sse import SSEFramer, parse
from penstock.testing import bedrock, frames, gemini, messages, responses
from penstock.testing.steps import hdr, raw, word
from penstock.testing.upstream import Script, Step
from penstock.wire.bedrock_converse_whole import chunk_frame
from penstock.wire.cohere_chat import event_frame

SAID = "words of the provider"


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """The frames of one wire. An answer is ``start``, words, ``end``; ``end`` is what the wire asks of a whole one."""

    wire: str
    client: str
    kind: str
    start: bytes
    words: list[bytes]
    """Three words, a frame each."""
    end: bytes
    half: bytes
    """The start of a frame."""
    error: bytes
    status: int
    """What the error means as a status; each says `SAID`."""
    type: str
    marked: bool = True
    """The wire itself says where a stream is over, before its connection does."""
    call: bytes = b""
    """A tool call whose arguments are not whole, in place of words."""
    terminals: dict[str, bytes]
    """What else is a whole answer's end, where the body ends cleanly behind it."""
    repeats: dict[str, bytes]
    """Ends that say more than one."""
    unfinished: dict[str, bytes] = {}
    """What is no end."""

    @property
    def speaker(self) -> wire_clients.Speaker:
        """The client."""
        return SPEAKERS[self.client]

    def head(self) -> Step:
        """The head of a streamed answer."""
        return hdr(content_type=self.kind)

    def begin(self) -> list[Step]:
        """Head, start and three words."""
        return [self.head(), raw(self.start), *(raw(each) for each in self.words)]

    def answer(self) -> Script:
        """A whole answer of three words."""
        return [*self.begin(), raw(self.end)]


def three(frame: Any) -> list[bytes]:
    """Three words as frames."""
    return [frame(word(number)) for number in range(3)]


def envelope(stream: bytes) -> bytes:
    """Anthropic's events as Bedrock sends them."""
    return b"".join(chunk_frame(data) for each in SSEFramer().feed(stream) if (data := parse(each).data))


def line(message: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """A line of Ollama's."""
    told = {"model": "m", "created_at": "2026-01-01T00:00:00Z", "done": False, **fields}
    return json.dumps(told if message is None else {**told, "message": message}).encode() + b"\n"


def v1(kind: str, **fields: Any) -> bytes:
    """A line of Cohere's first version."""
    return json.dumps({"is_finished": kind == "stream-end", "event_type": kind, **fields}).encode() + b"\n"


def tgi(text: str, **fields: Any) -> bytes:
    """A frame of text-generation-inference."""
    token = {"id": 1, "text": text, "logprob": -0.1, "special": False}
    body = {"index": 1, "token": token, "generated_text": None, "details": None, **fields}
    return b"data:" + json.dumps(body).encode() + b"\n\n"


def cohere(kind: str, index: int | None = None, **message: Any) -> bytes:
    """An event of Cohere's."""
    place = {} if index is None else {"index": index}
    return event_frame({"type": kind, **place, "delta": {"message": message}})


def cohere_end(reason: str = "COMPLETE", **more: Any) -> bytes:
    """Cohere's last event."""
    usage = {"billed_units": {"input_tokens": 9, "output_tokens": 3}, "tokens": {"input_tokens": 9, "output_tokens": 3}}
    return event_frame({"type": "message-end", "delta": {"finish_reason": reason, "usage": usage, **more}})


GEMINI_USAGE = {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12}
GEMINI_WORDS = [gemini.chunk(gemini.text(word(number))) for number in range(3)]
GEMINI_END = gemini.chunk(gemini.text(""), reason="STOP", usageMetadata=GEMINI_USAGE)
GEMINI_ERROR = gemini.error(message=SAID)
DONE_LINE = {
    "done": True,
    "done_reason": "stop",
    "prompt_eval_count": 9,
    "eval_count": 3,
    "total_duration": 1,
    "load_duration": 1,
    "prompt_eval_duration": 1,
    "eval_duration": 1,
}
EVENT_STREAM = "application/vnd.amazon.eventstream"
CALL_MESSAGES = messages.start() + messages.opened(type="tool_use", id="t1", name="write_file", input={})
CALL_MESSAGES += messages.delta("input_json_delta", partial_json='{"path":"a')
MESSAGES_END = messages.closed() + messages.finish(output_tokens=3) + messages.STOP
MESSAGES_FINISH = messages.closed() + messages.finish(output_tokens=3)
MESSAGES_ERROR = messages.frame("error", error={"type": "overloaded_error", "message": SAID})
RESPONSES_ITEM = responses.message("w0 w1 w2 ")
RESPONSES_COPY = responses.frame("response.output_item.done", output_index=0, item=RESPONSES_ITEM)
RESPONSES_ENDED = responses.ended(output=[RESPONSES_ITEM])
COHERE_CALL = {"id": "c1", "type": "function", "function": {"name": "write_file", "arguments": ""}}


def _anthropic() -> Provider:
    return Provider(
        wire="anthropic-messages",
        client="anthropic-messages",
        kind="text/event-stream",
        start=messages.start() + messages.opened(),
        words=three(messages.text),
        end=MESSAGES_END,
        half=messages.text("x")[:40],
        error=MESSAGES_ERROR,
        status=529,
        type="overloaded_error",
        call=CALL_MESSAGES,
        terminals={"without message_stop": MESSAGES_FINISH},
        repeats={
            "two stops": MESSAGES_END + messages.STOP,
            "two finishes": MESSAGES_FINISH + messages.finish("tool_use", output_tokens=3) + messages.STOP,
        },
        unfinished={"a block is closed": messages.closed()},
    )


def _responses() -> Provider:
    call = responses.added(type="function_call", call_id="c1", name="write_file", arguments="")
    place = {"item_id": "i0", "output_index": 0}
    error = {"type": "server_error", "code": "rate_limit_exceeded", "message": SAID, "param": None}
    return Provider(
        wire="openai-responses",
        client="openai-responses",
        kind="text/event-stream",
        start=responses.created() + responses.added(),
        words=three(responses.text),
        end=RESPONSES_COPY + RESPONSES_ENDED,
        half=responses.text("x")[:40],
        error=responses.frame("error", **{**error, "type": "error"}, error=error),
        status=429,
        type="server_error",
        call=responses.created()
        + call
        + responses.frame("response.function_call_arguments.delta", **place, delta='{"path":"a'),
        terminals={
            "without copies": RESPONSES_ENDED,
            "incomplete": responses.ended("incomplete", output=[RESPONSES_ITEM]),
        },
        repeats={
            "two completed": RESPONSES_COPY + RESPONSES_ENDED + RESPONSES_ENDED,
            "completed, then incomplete": RESPONSES_COPY + RESPONSES_ENDED + responses.ended("incomplete"),
        },
        unfinished={"an item is done": RESPONSES_COPY},
    )


def _gemini() -> Provider:
    end = gemini.sse(GEMINI_END)
    return Provider(
        wire="gemini",
        client="gemini",
        kind="text/event-stream",
        start=b"",
        words=[gemini.sse(chunk) for chunk in GEMINI_WORDS],
        end=end,
        half=b'data: {"candidates": [{"content": {"par',
        error=gemini.sse(GEMINI_ERROR),
        status=503,
        type="UNAVAILABLE",
        terminals={"on the last word": gemini.sse(gemini.chunk(gemini.text("."), reason="STOP"))},
        repeats={"two finishes": end + end},
        marked=False,
    )


def _gemini_array() -> Provider:
    separator = b",\r\n"
    first, *others = [json.dumps(chunk).encode() for chunk in GEMINI_WORDS]
    last = json.dumps(GEMINI_END).encode()
    return Provider(
        wire="gemini",
        client="gemini array",
        kind="application/json; charset=UTF-8",
        start=b"",
        words=[b"[" + first, *(separator + each for each in others)],
        end=separator + last + b"\n]",
        half=separator + b'{"candidates": [{"content": {"par',
        error=separator + json.dumps(GEMINI_ERROR).encode() + b"\n]",
        status=503,
        type="UNAVAILABLE",
        terminals={},
        repeats={"two finishes": separator + last + separator + last + b"\n]"},
        marked=False,
        unfinished={"the list is closed": b"\n]"},
    )


def _cohere() -> Provider:
    def text(words: str) -> bytes:
        return cohere("content-delta", 0, content={"text": words})

    start = event_frame({"type": "message-start", "id": "m1", "delta": {"message": {"role": "assistant"}}})
    end = event_frame({"type": "content-end", "index": 0}) + cohere_end() + frames.DONE
    call = cohere("tool-call-start", 0, tool_calls=COHERE_CALL)
    return Provider(
        wire="cohere-chat",
        client="cohere-chat",
        kind="text/event-stream",
        start=start + cohere("content-start", 0, content={"type": "text", "text": ""}),
        words=three(text),
        end=end,
        half=text("x")[:40],
        error=cohere_end("ERROR", error=SAID),
        status=502,
        type="",
        call=start + call + cohere("tool-call-delta", 0, tool_calls={"function": {"arguments": '{"path":"a'}}),
        terminals={"without an end marker": end.removesuffix(frames.DONE), "the block stays open": cohere_end()},
        repeats={
            "two ends": cohere_end() + end,
            "two kinds": end.removesuffix(frames.DONE) + cohere_end("TOOL_CALL") + frames.DONE,
            "two markers": end + frames.DONE,
        },
        unfinished={"a block is closed": event_frame({"type": "content-end", "index": 0})},
    )


def _ollama() -> Provider:
    end = line({"role": "assistant", "content": ""}, **DONE_LINE)
    return Provider(
        wire="ollama-chat",
        client="ollama-chat",
        kind="application/x-ndjson",
        start=b"",
        words=three(lambda words: line({"role": "assistant", "content": words})),
        end=end,
        half=line({"role": "assistant", "content": "x"})[:40],
        error=json.dumps({"error": SAID}).encode() + b"\n",
        status=502,
        type="",
        terminals={"on the last word": line({"role": "assistant", "content": "."}, done=True, done_reason="stop")},
        repeats={"two ends": end + end},
        unfinished={"counters without done": line({"role": "assistant", "content": ""}, eval_count=3)},
    )


def _converse() -> Provider:
    stop = bedrock.closed() + bedrock.stop()
    return Provider(
        wire="bedrock-converse",
        client="openai-chat",
        kind=EVENT_STREAM,
        start=bedrock.START,
        words=three(bedrock.text),
        end=stop + bedrock.metadata(9, 3),
        half=bedrock.text("x")[:40],
        error=bedrock.exception("throttlingException", SAID),
        status=429,
        type="throttlingException",
        call=bedrock.START + bedrock.tool("write_file") + bedrock.arguments('{"path":"a'),
        terminals={"without metadata": stop},
        repeats={"two stops": stop + bedrock.stop("tool_use") + bedrock.metadata(9, 3)},
        unfinished={"a block is closed": bedrock.closed()},
    )


def _invoke() -> Provider:
    return Provider(
        wire="bedrock-invoke",
        client="openai-chat",
        kind=EVENT_STREAM,
        start=envelope(messages.start() + messages.opened()),
        words=three(lambda words: envelope(messages.text(words))),
        end=envelope(MESSAGES_END),
        half=envelope(messages.text("x"))[:40],
        error=bedrock.exception("throttlingException", SAID),
        status=429,
        type="throttlingException",
        call=envelope(CALL_MESSAGES),
        terminals={"without message_stop": envelope(MESSAGES_FINISH)},
        repeats={"two stops": envelope(MESSAGES_END + messages.STOP)},
        unfinished={"a block is closed": envelope(messages.closed())},
    )


def _cohere_v1() -> Provider:
    def end(reason: str, **more: Any) -> bytes:
        meta = {"billed_units": {"input_tokens": 9, "output_tokens": 3}}
        whole = {"text": "w0 w1 w2 ", "finish_reason": reason, "meta": meta}
        return v1("stream-end", finish_reason=reason, response=whole, **more)

    call = v1("tool-calls-chunk", tool_call_delta={"index": 0, "name": "write_file"})
    return Provider(
        wire="cohere-v1",
        client="openai-chat",
        kind="application/stream+json",
        start=v1("stream-start", generation_id="g"),
        words=three(lambda words: v1("text-generation", text=words)),
        end=end("COMPLETE"),
        half=v1("text-generation", text="x")[:30],
        error=json.dumps({"message": SAID}).encode() + b"\n",
        status=502,
        type="",
        call=v1("stream-start", generation_id="g")
        + call
        + v1("tool-calls-chunk", tool_call_delta={"index": 0, "parameters": '{"path":"a'}),
        terminals={"at its limit": end("MAX_TOKENS")},
        repeats={"two ends": end("COMPLETE") + end("COMPLETE")},
    )


def _tgi() -> Provider:
    details = {"finish_reason": "eos_token", "generated_tokens": 3, "input_length": 9}
    end = tgi("", generated_text="w0 w1 w2 ", details=details)
    return Provider(
        wire="tgi",
        client="openai-chat",
        kind="text/event-stream",
        start=b"",
        words=three(tgi),
        end=end,
        half=tgi("x")[:30],
        error=b"data:" + json.dumps({"error": SAID, "error_type": "overloaded"}).encode() + b"\n\n",
        status=429,
        type="overloaded",
        terminals={"without details": tgi("", generated_text="w0 w1 w2 "), "with an end marker": end + frames.DONE},
        repeats={"two ends": end + end},
    )


PROVIDERS: dict[str, Provider] = {
    provider.client if provider.client != "openai-chat" else provider.wire: provider
    for provider in (
        _anthropic(),
        _responses(),
        _gemini(),
        _gemini_array(),
        _cohere(),
        _ollama(),
        _converse(),
        _invoke(),
        _cohere_v1(),
        _tgi(),
    )
}

CHAT = msgspec.structs.replace(
    PROVIDERS["tgi"],
    wire="openai-chat",
    kind="text/event-stream",
    start=frames.role(),
    words=three(frames.chunk),
    end=frames.finish() + frames.DONE,
)
"""The one wire whose faults have cases of their own."""
ALL = {"openai-chat": CHAT, **PROVIDERS}
