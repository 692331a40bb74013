"""An answer of every client wire with given deltas, and what a client of it makes of the whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from penstock.framing.jsonarray import JSONArrayFramer
from penstock.framing.sse import SSEFramer, parse
from penstock.request import StreamRequest
from penstock.stages.pipeline import Pipeline, StagesPlan
from penstock.testing import frames, gemini, messages, responses
from penstock.wire.base import ClientSession
from penstock.wire.cohere_chat import event_frame
from penstock.wire.edit import Asked, Editor
from penstock.wire.editors import editor_of
from penstock.wire.openai_responses import ResponsesDecoder
from penstock.wire.registry import CLIENT_WIRES

Deltas = Sequence[str]


class Wire(NamedTuple):
    """``texts``, ``thoughts`` and ``calls`` make the frames of a whole answer with these deltas; None where the wire
    has no such thing in deltas."""

    name: str
    path: str
    body: bytes
    texts: Callable[[Deltas], list[bytes]]
    thoughts: Callable[[Deltas], list[bytes]] | None = None
    calls: Callable[[Deltas], list[bytes]] | None = None
    query: str = ""

    def session(self) -> tuple[StreamRequest, ClientSession]:
        wire = next(wire for wire in CLIENT_WIRES if wire.name == self.name)
        request = wire.read(self.path, self.query, self.body)
        return request, wire.session(request, "st_1")

    def editor(self, plan: StagesPlan) -> tuple[Editor, Pipeline]:
        request, session = self.session()
        texts = plan.open()
        make = editor_of(self.name, Asked(request, "st_1", session, plan.drop_signed))
        assert make is not None
        return make(texts), texts

    def edited(self, plan: StagesPlan, given: list[bytes]) -> bytes:
        """The frames as a client gets them."""
        editor, _ = self.editor(plan)
        return b"".join([editor.edit(frame) for frame in given]) + editor.flush()

    def whole(self, body: bytes) -> Any:
        """What the client's fold makes of them."""
        if body.startswith(b"["):
            framer = JSONArrayFramer()
            body = b"".join(gemini.sse(chunk) for chunk in json.loads(body))
            assert framer
        fold = self.session()[1].fold()
        fold.feed(body)
        return json.loads(fold.answer())


def _chat(kind: str) -> Callable[[Deltas], list[bytes]]:
    def made(deltas: Deltas) -> list[bytes]:
        each = {"text": frames.chunk, "thought": frames.reasoning, "call": lambda text: frames.tool(arguments=text)}
        first = [frames.tool(id="c1", name="f")] if kind == "call" else []
        reason = "tool_calls" if kind == "call" else "stop"
        return [frames.role(), *first, *map(each[kind], deltas), frames.finish(reason), frames.usage(), frames.DONE]

    return made


def _messages(kind: str) -> Callable[[Deltas], list[bytes]]:
    def made(deltas: Deltas) -> list[bytes]:
        if kind == "call":
            start = messages.opened(type="tool_use", id="t1", name="f", input={})
            some = [messages.delta("input_json_delta", partial_json=text) for text in deltas]
        else:
            start, some = messages.opened(), [messages.text(text) for text in deltas]
        return [messages.start(), start, *some, messages.closed(), messages.finish(), messages.STOP]

    return made


def _responses(kind: str) -> Callable[[Deltas], list[bytes]]:
    def made(deltas: Deltas) -> list[bytes]:
        whole, place = "".join(deltas), {"item_id": "i0", "output_index": 0}
        if kind == "call":
            item = {"id": "i0", "type": "function_call", "call_id": "c", "name": "f", "arguments": whole}
            events = [responses.added(type="function_call", call_id="c", name="f", arguments="")]
            stem, events_of = "response.function_call_arguments", {"arguments": whole}
        elif kind == "thought":
            item = {"id": "i0", "type": "reasoning", "summary": [{"type": "summary_text", "text": whole}]}
            events, place = [responses.added(type="reasoning")], {**place, "summary_index": 0}
            stem, events_of = "response.reasoning_summary_text", {"text": whole}
        else:
            item, events, place = responses.message(whole), [responses.added()], {**place, "content_index": 0}
            stem, events_of = "response.output_text", {"text": whole}
        events += [responses.frame(f"{stem}.delta", **place, delta=text) for text in deltas]
        events.append(responses.frame(f"{stem}.done", **place, **events_of))
        if kind == "text":
            part = {"type": "output_text", "text": whole, "annotations": []}
            events.append(responses.frame("response.content_part.done", **place, part=part))
        events.append(responses.frame("response.output_item.done", output_index=0, item=item))
        return numbered([responses.created(), *events, responses.ended(output=[item])])

    return made


def numbered(given: list[bytes]) -> list[bytes]:
    """Responses frames with the numbers that they have on the wire."""
    bodies = [json.loads(parse(frame).data or b"") for frame in given]
    return [
        responses.frame(body.pop("type"), **{**body, "sequence_number": number}) for number, body in enumerate(bodies)
    ]


def _gemini(kind: str, *, array: bool = False) -> Callable[[Deltas], list[bytes]]:
    def made(deltas: Deltas) -> list[bytes]:
        some = [gemini.chunk(gemini.thought(text) if kind == "thought" else gemini.text(text)) for text in deltas]
        chunks = [*some, gemini.chunk(gemini.text(""), reason="STOP")]
        if array:
            return JSONArrayFramer().feed(gemini.array(*chunks))
        return [gemini.sse(chunk) for chunk in chunks]

    return made


def _cohere(kind: str) -> Callable[[Deltas], list[bytes]]:
    def event(name: str, **message: Any) -> bytes:
        return event_frame({"type": name, "index": 0, "delta": {"message": message}})

    def made(deltas: Deltas) -> list[bytes]:
        start = event_frame({"type": "message-start", "id": "m1", "delta": {"message": {"role": "assistant"}}})
        end = event_frame({"type": "message-end", "id": "m1", "delta": {"finish_reason": "COMPLETE"}})
        if kind == "call":
            call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
            some = [event("tool-call-delta", tool_calls={"function": {"arguments": text}}) for text in deltas]
            return [start, event("tool-call-start", tool_calls=call), *some, event("tool-call-end"), end, frames.DONE]
        field = "thinking" if kind == "thought" else "text"
        opened = event("content-start", content={"type": field, field: ""})
        some = [event("content-delta", content={field: text}) for text in deltas]
        return [start, opened, *some, event("content-end"), end, frames.DONE]

    return made


def _ollama(kind: str) -> Callable[[Deltas], list[bytes]]:
    def line(**fields: Any) -> bytes:
        message = {"role": "assistant", "content": "", **fields.pop("message", {})}
        return (
            json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": message, **fields}).encode()
            + b"\n"
        )

    def made(deltas: Deltas) -> list[bytes]:
        field = "thinking" if kind == "thought" else "content"
        some = [line(message={field: text}, done=False) for text in deltas]
        return [*some, line(done=True, done_reason="stop")]

    return made


HELLO = '"model":"m","stream":true,"messages":[{"role":"user","content":"Hello"}]'
_PATH = "/v1beta/models/m:streamGenerateContent"
WIRES = {
    wire[0]: wire[1]
    for wire in [
        (
            "openai-chat",
            Wire(
                "openai-chat",
                "/v1/chat/completions",
                f"{{{HELLO}}}".encode(),
                _chat("text"),
                _chat("thought"),
                _chat("call"),
            ),
        ),
        (
            "openai-responses",
            Wire(
                "openai-responses",
                "/v1/responses",
                b'{"model":"m","stream":true,"input":"Hello"}',
                _responses("text"),
                _responses("thought"),
                _responses("call"),
            ),
        ),
        (
            "anthropic-messages",
            Wire(
                "anthropic-messages",
                "/v1/messages",
                f'{{{HELLO},"max_tokens":9}}'.encode(),
                _messages("text"),
                None,
                _messages("call"),
            ),
        ),
        ("gemini", Wire("gemini", _PATH, b'{"contents":[]}', _gemini("text"), _gemini("thought"), query="alt=sse")),
        ("gemini array", Wire("gemini", _PATH, b'{"contents":[]}', _gemini("text", array=True))),
        (
            "cohere-chat",
            Wire(
                "cohere-chat", "/v2/chat", f"{{{HELLO}}}".encode(), _cohere("text"), _cohere("thought"), _cohere("call")
            ),
        ),
        ("ollama-chat", Wire("ollama-chat", "/api/chat", f"{{{HELLO}}}".encode(), _ollama("text"), _ollama("thought"))),
    ]
}


def follow(session: ClientSession, given: list[bytes]) -> None:
    """Let the session of a Responses client know the provider's frames, as its decoder does."""
    decoder = ResponsesDecoder(session)  # type: ignore[arg-type]
    for frame in given:
        decoder.decode(frame)


def events(body: bytes) -> list[dict[str, Any]]:
    """The objects of a stream's events."""
    datas = [parse(frame).data for frame in SSEFramer().feed(body)]
    return [json.loads(data) for data in datas if data and data.startswith(b"{")]
