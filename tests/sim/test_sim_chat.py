"""The OpenAI chat wire over a socket: what every option puts on the wire."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from sim_client import Ask

from penstock.sim import Sim, words

FAST = "first=0&gap=0"


async def test_a_stream(ask: Ask, sim: Sim) -> None:
    model = f"sim?text=Hello+there&{FAST}"
    reply = await ask(model)
    assert (reply.status, reply.ended) == (200, "clean")
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["transfer-encoding"] == "chunked"
    assert reply.headers["x-request-id"].startswith("req_")
    *chunks, done = reply.events
    assert done == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "Hell"},
        {"content": "o th"},
        {"content": "ere"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["stop"]
    for chunk in chunks:
        assert set(chunk) == {"id", "object", "created", "model", "choices"}
        assert (chunk["object"], chunk["model"]) == ("chat.completion.chunk", model)
        assert chunk["id"] == chunks[0]["id"] and isinstance(chunk["created"], int)
    # One frame a chunk, each whole.
    assert len(reply.chunks) == 6 and all(chunk.endswith(b"\n\n") for chunk in reply.chunks)
    record = sim.requests[-1]
    assert (record.chunks_written, record.bytes_written, record.tokens_written) == (6, len(reply.body), 3)
    assert record.finished and record.peer_closed_at is None


async def test_the_default_paragraph(ask: Ask) -> None:
    assert (await ask(f"sim?{FAST}")).text == words.PARAGRAPH


async def test_tokens(ask: Ask) -> None:
    assert (await ask(f"sim?tokens=3&{FAST}")).text == "A river does"
    deltas = (await ask(f"sim?tokens=300&{FAST}")).deltas
    assert sum(1 for delta in deltas if delta.get("content")) == 300


async def test_text_of_any_kind_arrives_whole(ask: Ask) -> None:
    text = 'quotes " and \\ , lines\n\r\n, é, 漢字, 👩‍👩‍👧, \u2028 & = + %'
    reply = await ask(f"sim?text={quote(text)}&{FAST}")
    events = [json.loads(chunk[6:]) for chunk in reply.chunks[:-1]]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == text


async def test_seed(ask: Ask) -> None:
    one, same, other = [(await ask(f"sim?seed={seed}&tokens=20&{FAST}")).text for seed in (1, 1, 2)]
    assert one == same != other
    assert len(one.split()) == 20


async def test_ids_differ(ask: Ask) -> None:
    one, two = await ask(f"sim?tokens=1&{FAST}"), await ask(f"sim?tokens=1&{FAST}")
    assert one.events[0]["id"] != two.events[0]["id"]
    assert one.headers["x-request-id"] != two.headers["x-request-id"]


@pytest.mark.parametrize(
    ("option", "asked", "places"),
    [
        ("", False, []),
        ("", True, ["own"]),
        ("&usage=no", True, []),
        ("&usage=always", False, ["own"]),
        ("&usage=finish", False, ["finish"]),
        ("&late_usage=1ms", False, ["late"]),
        ("&late_usage=1ms&usage=no", False, []),
    ],
)
async def test_usage(ask: Ask, option: str, asked: bool, places: list[str]) -> None:
    reply = await ask(
        f"sim?tokens=3&reasoning=2&n=2&{FAST}{option}",
        messages=[{"role": "user", "content": "x" * 40}],
        **({"stream_options": {"include_usage": True}} if asked else {}),
    )
    found: list[str] = []
    usages: list[dict[str, Any]] = []
    done = False
    for event in reply.events:
        if event == "[DONE]":
            done = True
        elif event.get("usage"):
            usages.append(event["usage"])
            found.append("finish" if event["choices"] else "late" if done else "own")
    assert found == places * (2 if places == ["finish"] else 1)
    for usage in usages:
        assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (11, 10, 21)
        assert usage["completion_tokens_details"] == {"reasoning_tokens": 4}
    nulls = ["usage" in event for event in reply.events if event != "[DONE]"]
    assert all(nulls) if asked and not option else not all(nulls)


async def test_tool_calls(ask: Ask) -> None:
    offered = [{"type": "function", "function": {"name": "look_up"}}]
    reply = await ask(f"sim?tool=2&{FAST}", tools=offered)
    assert reply.deltas[0] == {"role": "assistant", "content": None}
    parts = [delta["tool_calls"][0] for delta in reply.deltas if "tool_calls" in delta]
    for index in (0, 1):
        opened, *rest = [part for part in parts if part["index"] == index]
        assert opened["type"] == "function" and opened["function"] == {"name": "look_up", "arguments": ""}
        assert all(set(part) == {"index", "function"} and set(part["function"]) == {"arguments"} for part in rest)
        assert len(rest) > 3
        assert json.loads("".join(part["function"]["arguments"] for part in rest))["city"] == "Paris"
    assert len({part["id"] for part in parts if "id" in part}) == 2
    assert reply.events[-2]["choices"][0]["finish_reason"] == "tool_calls"
    assert reply.text == ""


async def test_tool_calls_beside_text(ask: Ask) -> None:
    reply = await ask(f"sim?tool=1&text=Let+me+see&{FAST}")
    assert reply.text == "Let me see"
    names = [part["function"].get("name") for delta in reply.deltas for part in delta.get("tool_calls", ())]
    assert names[0] == "get_weather"


async def test_reasoning_comes_first(ask: Ask) -> None:
    deltas = (await ask(f"sim?reasoning=50&tokens=2&{FAST}")).deltas
    assert ["reasoning_content" in delta for delta in deltas] == [False] + [True] * 50 + [False] * 3


@pytest.mark.parametrize(("model", "body"), [("n=2&", {}), ("", {"n": 2}), ("n=2&", {"n": 3})])
async def test_choices(ask: Ask, model: str, body: dict[str, int]) -> None:
    reply = await ask(f"sim?tokens=3&{model}{FAST}", **body)
    choices = [event["choices"][0] for event in reply.events[:-1]]
    assert [choice["index"] for choice in choices] == [0, 1] * 5
    for index in (0, 1):
        mine = [choice for choice in choices if choice["index"] == index]
        assert "".join(choice["delta"].get("content", "") for choice in mine) == "A river does"
        assert mine[-1]["finish_reason"] == "stop"


@pytest.mark.parametrize(("option", "end"), [("&crlf=1", b"\r\n"), ("&cr=1", b"\r"), ("", b"\n")])
async def test_line_ends(ask: Ask, option: str, end: bytes) -> None:
    reply = await ask(f"sim?tokens=2&malformed_at=1&{FAST}{option}", stream_options={"include_usage": True})
    assert all(chunk.endswith(end * 2) for chunk in reply.chunks)
    bare = reply.body.replace(end, b"")
    assert b"\r" not in bare and b"\n" not in bare
    assert reply.body.count(end) == 2 * len(reply.chunks)


async def test_pad(ask: Ask) -> None:
    reply = await ask(f"sim?tokens=5&pad=320&{FAST}")
    assert [len(chunk) for chunk in reply.chunks[1:6]] == [320] * 5
    assert all(set(event["obfuscation"]) for event in reply.events[1:6])
    # A chunk that is longer already is left alone.
    assert "obfuscation" not in (await ask(f"sim?tokens=1&pad=20&{FAST}")).events[1]


async def test_role_finish_and_done_can_be_left_out(ask: Ask) -> None:
    reply = await ask(f"sim?text=Hi&role=no&finish=no&done=no&{FAST}")
    assert [event["choices"][0] for event in reply.events] == [
        {"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}
    ]
    assert reply.ended == "clean"


async def test_finish_reason(ask: Ask) -> None:
    assert (await ask(f"sim?tokens=1&finish=length&{FAST}")).events[-2]["choices"][0]["finish_reason"] == "length"


async def test_empty(ask: Ask) -> None:
    reply = await ask(f"sim?empty=1&{FAST}")
    assert reply.deltas == [{"role": "assistant", "content": ""}, {}]
    assert reply.events[-2]["choices"][0]["finish_reason"] == "stop" and reply.events[-1] == "[DONE]"


async def test_content_type(ask: Ask) -> None:
    assert (await ask(f"sim?content_type=text/plain&tokens=1&{FAST}")).headers["content-type"] == "text/plain"


async def test_a_whole_answer(ask: Ask, sim: Sim) -> None:
    model = f"sim?tokens=3&reasoning=2&n=2&{FAST}"
    for name, stream in ((model, False), (model, None), (model + "&json=1", True)):
        reply = await ask(name, stream=stream)
        assert reply.headers["content-type"] == "application/json"
        answer = json.loads(reply.body)
        assert answer["object"] == "chat.completion" and answer["model"] == name
        assert [choice["index"] for choice in answer["choices"]] == [0, 1]
        assert answer["choices"][0]["message"] == {
            "role": "assistant",
            "content": "A river does",
            "refusal": None,
            "reasoning_content": "First I",
        }
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] == 10
        assert sim.requests[-1].bytes_written == len(reply.body)


async def test_a_whole_answer_with_tools(ask: Ask) -> None:
    choice = json.loads((await ask(f"sim?tool=1&{FAST}", stream=False)).body)["choices"][0]
    assert choice["finish_reason"] == "tool_calls" and choice["message"]["content"] is None
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"])["days"] == 3


async def test_a_whole_answer_without_words_or_usage(ask: Ask) -> None:
    answer = json.loads((await ask(f"sim?empty=1&usage=no&{FAST}", stream=False)).body)
    assert answer["choices"][0]["message"]["content"] == "" and "usage" not in answer


async def test_split(ask: Ask, sim: Sim) -> None:
    whole = await ask(f"sim?text=Hello&{FAST}")
    split = await ask(f"sim?text=Hello&split=7&{FAST}")
    assert [len(chunk) for chunk in split.chunks[:-1]] == [7] * (len(split.body) // 7)
    assert 0 < len(split.chunks[-1]) <= 7
    assert [event if event == "[DONE]" else event["choices"] for event in split.events] == [
        event if event == "[DONE]" else event["choices"] for event in whole.events
    ]
    assert sim.requests[-1].tokens_written == 2


async def test_split_with_a_gap_keeps_frames_apart(ask: Ask) -> None:
    reply = await ask("sim?text=Hello+there&split=1000&first=1ms&gap=1ms")
    assert [chunk.count(b"data: ") for chunk in reply.chunks] == [1, 1, 1, 1, 2]
