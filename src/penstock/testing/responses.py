"""openai-responses for tests: frames that are short to write, a strict reader, and plans of streams on this wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from penstock.framing import sse
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.request import StreamRequest
from penstock.stream.plan import Plan, Way
from penstock.wire import json
from penstock.wire.base import Decoder, View
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES
from penstock.wire.translated import Translated

USAGE = {
    "input_tokens": 9,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 3,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 12,
}
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def frame(kind: str, **fields: Any) -> bytes:
    """A frame as the wire has it, without a number."""
    return b"event: " + kind.encode() + b"\ndata: " + json.dumps({"type": kind, **fields}) + b"\n\n"


def response(status: str = "in_progress", **fields: Any) -> dict[str, Any]:
    """The response's object."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 7,
        "model": "m",
        "status": status,
        "output": [],
    } | fields


def created() -> bytes:
    """The first frame."""
    return frame("response.created", sequence_number=0, response=response())


def added(index: int = 0, type: str = "message", **fields: Any) -> bytes:
    """An item is announced."""
    empty: dict[str, dict[str, Any]] = {
        "message": {"role": "assistant", "content": []},
        "reasoning": {"summary": []},
    }
    item = {"id": f"i{index}", "type": type, **empty.get(type, {}), **fields}
    return frame("response.output_item.added", output_index=index, item=item)


def text(words: str, index: int = 0, part: int = 0, **fields: Any) -> bytes:
    """Generated text."""
    place = {"item_id": f"i{index}", "output_index": index, "content_index": part}
    return frame("response.output_text.delta", **place, delta=words, **fields)


def item_done(index: int = 0, type: str = "message", **fields: Any) -> bytes:
    """An item is done."""
    return frame("response.output_item.done", output_index=index, item={"id": f"i{index}", "type": type} | fields)


def message(words: str) -> dict[str, Any]:
    """A message of one text."""
    content = [{"type": "output_text", "text": words, "annotations": []}]
    return {"id": "i0", "type": "message", "role": "assistant", "status": "completed", "content": content}


def ended(status: str = "completed", **fields: Any) -> bytes:
    """The terminal frame."""
    return frame(f"response.{status}", response=response(status, usage=USAGE, **fields))


def answer(*texts: str) -> bytes:
    """A whole answer with one message."""
    whole = message("".join(texts))
    deltas = b"".join(text(words) for words in texts)
    copies = frame("response.output_text.done", output_index=0, content_index=0, text="".join(texts))
    copies += frame("response.output_item.done", output_index=0, item=whole)
    return created() + added() + deltas + copies + ended(output=[whole])


class Read(msgspec.Struct):
    """What a strict client makes of a stream."""

    events: list[dict[str, Any]]
    response: dict[str, Any]
    error: dict[str, Any] | None
    text: str
    reasoning: str
    refusal: str
    calls: list[tuple[str, str]]
    """Names and arguments of the calls, by their deltas."""


def read(body: bytes) -> Read:
    """Read what a client was sent. Raises AssertionError where it breaks the wire's grammar: numbers from 0 without a
    gap, ``created`` first, parts inside announced items, copies that agree with their deltas, everything closed before
    a terminal event that tells the same once more. An error may come at any place."""
    framer = sse.SSEFramer()
    frames = [sse.parse(one) for one in framer.feed(body)]
    assert framer.close() == b""
    events: list[dict[str, Any]] = []
    for block in frames:
        if block.data is None:
            assert block.comment
            assert block.event is None
            continue
        event = json.loads(block.data)
        assert block.event is not None
        assert event["type"] == block.event.decode()
        assert event["sequence_number"] == len(events)
        events.append(event)
    return _Grammar(events).read()


class _Grammar:
    def __init__(self, events: list[dict[str, Any]]):
        self._events = events
        self._items: dict[int, dict[str, Any]] = {}
        self._done: dict[int, dict[str, Any]] = {}
        self._parts: dict[tuple[int, str, int], str] = {}
        self._closed: dict[tuple[int, str, int], str] = {}
        self._arguments: dict[int, str] = {}
        self._told: dict[str, str] = {"text": "", "reasoning": "", "refusal": ""}

    def read(self) -> Read:
        *before, last = self._events
        kinds = [event["type"] for event in before]
        error = None
        if kinds and kinds[-1] == "error":
            error = before.pop()
            kinds.pop()
            assert last["type"] == "response.failed"
            assert error["error"]["message"] == error["message"]
        assert last["type"] in TERMINAL
        if before:
            assert kinds[0] == "response.created"
        for event in before:
            self._event(event)
        response = last["response"]
        assert last["type"] == f"response.{response['status']}"
        if last["type"] != "response.failed":
            self._whole(response)
        calls = [
            (item["name"], self._arguments.get(index, ""))
            for index, item in sorted(self._items.items())
            if "name" in item
        ]
        return Read(self._events, response, error, calls=calls, **self._told)

    def _whole(self, response: dict[str, Any]) -> None:
        left = [item for index, item in self._items.items() if index not in self._done]
        # A call that was stopped in its middle may stay open: nobody is to carry it out.
        assert all(item["type"] == "function_call" for item in left)
        assert response["output"] == [item for _, item in sorted(self._done.items())]
        assert not self._parts
        assert (
            response["usage"]["total_tokens"] == response["usage"]["input_tokens"] + response["usage"]["output_tokens"]
        )

    def _event(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        assert kind not in TERMINAL
        assert kind != "error"
        if kind in ("response.created", "response.in_progress"):
            assert event["response"]["status"] == "in_progress"
            assert not self._items
        elif kind == "response.output_item.added":
            assert event["output_index"] == len(self._items)
            self._items[event["output_index"]] = event["item"]
        elif kind == "response.output_item.done":
            self._item_done(event["output_index"], event["item"])
        elif kind.startswith("response.function_call_arguments."):
            self._call(kind.rpartition(".")[2], event)
        else:
            self._part(kind, event)

    def _call(self, what: str, event: dict[str, Any]) -> None:
        index = self._open(event)
        if what == "delta":
            assert event["delta"]
            self._arguments[index] = self._arguments.get(index, "") + event["delta"]
        else:
            assert event["arguments"] == self._arguments.get(index, "")
            assert event["name"] == self._items[index]["name"]

    def _open(self, event: dict[str, Any]) -> int:
        index: int = event["output_index"]
        assert index in self._items
        assert index not in self._done
        assert event["item_id"] == self._items[index]["id"]
        return index

    def _part(self, kind: str, event: dict[str, Any]) -> None:
        index = self._open(event)
        summary = "summary_index" in event
        key = index, "summary" if summary else "content", event["summary_index" if summary else "content_index"]
        base, _, what = kind.rpartition(".")
        if base in ("response.content_part", "response.reasoning_summary_part"):
            words = event["part"].get("text", event["part"].get("refusal"))
            if what == "added":
                assert words == ""
                assert key not in self._parts
                assert key not in self._closed
                assert sum(1 for at, *_ in self._parts if at == index) == 0
                self._parts[key] = ""
            else:
                assert words == self._parts.pop(key)
                self._closed[key] = words
        elif what == "delta":
            assert event["delta"]
            self._parts[key] += event["delta"]
            channel = {"response.output_text": "text", "response.refusal": "refusal"}.get(base, "reasoning")
            self._told[channel] += event["delta"]
        elif what == "done":
            assert self._parts[key] == event.get("text", event.get("refusal"))
        else:
            assert kind == "response.output_text.annotation.added"
            assert key in self._parts

    def _item_done(self, index: int, item: dict[str, Any]) -> None:
        begun = self._items[index]
        assert index not in self._done
        assert (item["id"], item["type"]) == (begun["id"], begun["type"])
        assert not [key for key in self._parts if key[0] == index]
        for place, field in (("content", "content"), ("summary", "summary")):
            words = [part.get("text", part.get("refusal")) for part in item.get(field) or ()]
            closed = [told for key, told in sorted(self._closed.items()) if key[:2] == (index, place)]
            assert words == closed
        if item["type"] == "function_call":
            assert item["arguments"] == self._arguments.get(index, "")
        self._done[index] = item


def plan(
    *, client: str = "openai-responses", upstream: str = "openai-responses", targets: int = 1, **policies: Any
) -> Plan:
    """A plan as a route with the default policies makes it. ``policies``: fields of Deadlines and of Delivery, and
    ``stream``."""
    speaks = next(wire for wire in CLIENT_WIRES if wire.name == client)
    provider = UPSTREAM_WIRES[upstream]
    streamed = policies.pop("stream", True)
    body = {"model": msgspec.Raw(b'"gpt"'), "stream": msgspec.Raw(b"true" if streamed else b"false")}
    request = StreamRequest(model="gpt", stream=streamed, include_usage=True, body=body)
    session = speaks.session(request, "st_play")
    limits = {name: policies.pop(name) for name in Deadlines.__struct_fields__ if name in policies}

    def same() -> Decoder:
        return provider.decoder(View(), session)

    def translated() -> Decoder:
        return Translated(provider.decoder(View(), None), session.writer())

    decoder: Callable[[], Decoder] = same if client == upstream else translated
    return Plan(
        stream="st_play",
        route="gpt",
        request=request,
        ways=tuple(
            Way(name=f"p{n}/m", label=f"p{n}/m", wire=provider, same_wire=client == upstream, decoder=decoder)
            for n in range(targets)
        ),
        client=session,
        client_wire=client,
        deadlines=Deadlines(**limits),
        delivery=Delivery(**policies),
    )
