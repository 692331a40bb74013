"""Random scripts, aimed at where streams break: between frames and inside them, around deadlines, in every phase."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import strategies as st

from penstock.policy.leaving import Drain
from penstock.policy.rate import MinRate
from penstock.policy.silence import Silence, SilenceRules
from penstock.stream.inputs import ClientBlocked, ClientDrained, ClientLeft, Followed, Input, Shutdown, Stop
from penstock.stream.plan import Plan, Resumable
from penstock.testing import frames
from penstock.testing.playbook import plan
from penstock.testing.run import Ends, Fails, Meanwhile, Opens, Responds, Script, Sends, Step

TOKENS = [
    frames.chunk("Hi"),
    frames.chunk("grüße \u2028 東京 🎈"),
    frames.chunk("again", choice=1),
    frames.reasoning("hm"),
    frames.tool(0, id="t1", name="look", arguments=""),
    frames.tool(0, arguments='{"a":'),
    frames.delta({"refusal": "no"}),
    frames.delta({"content": [{"type": "text", "text": "part"}]}),
]
QUIET = [
    frames.role(),
    frames.role(choice=1),
    frames.COMMENT,
    b": OPENROUTER PROCESSING\n\n",
    b"\n",
    b"\n\n",
    frames.delta({}),
    frames.frame({"id": "", "choices": [], "prompt_filter_results": []}),
    frames.frame({"unknown": {"deep": [1, 2]}}),
]
ODD = [
    b"data: {no json\n\n",
    b"data: 7\n\n",
    b"data:\n\n",
    b"id: 7\n\n",
    b"event: ping\n\n",
    b"retry: 300\n\n",
    b"id: 8\n" + frames.chunk("with id"),
    b"\xef\xbb\xbf",
    b'error: {"message":"field","code":500}\n\n',
    frames.error(),
    frames.error("slow down", type="rate_limit_error", code="rate_limit_exceeded"),
    b'data: {"error":"text","error_type":"overloaded"}\n\n',
    frames.finish("error"),
]
ENDINGS = [
    frames.finish() + frames.DONE,
    frames.finish() + frames.usage() + frames.DONE,
    frames.finish("length") + frames.DONE,
    frames.finish() + frames.finish() + frames.usage() + frames.DONE,
    frames.finish() + frames.finish(choice=1) + frames.DONE + frames.usage(),
    frames.finish(),
    frames.finish()[:-2],
    frames.DONE,
    frames.DONE[:-2],
    frames.chunk("half")[:-9],
    b"",
]
GAPS = st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.3, 1.0, 4.9, 5.0, 9.9, 10.1, 15.0, 15.1, 29.9, 30.0, 31.0])
MEANWHILE = [
    ClientBlocked(), ClientDrained(), ClientBlocked(), ClientDrained(), ClientLeft(), Stop(), Shutdown(),
    Followed(1), Followed(0),
]  # fmt: skip
BODIES = st.sampled_from(
    [
        b'{"error":{"message":"no","type":"x","code":"y"}}',
        b'{"error":{"message":"unknown field stream_options"}}',
        b'{"id":"a","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant",'
        b'"content":"whole"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
        b"<html>bad gateway</html>",
        b"[]",
        b"",
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """The bytes of one answer, good or bad."""
    parts = draw(st.lists(st.sampled_from(QUIET), max_size=2))
    parts += draw(st.lists(st.sampled_from(TOKENS + TOKENS + QUIET + ODD), max_size=6))
    parts.append(draw(st.sampled_from(ENDINGS)))
    data = b"".join(parts)
    newline = draw(st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r"]))
    return data.replace(b"\n", newline)


@st.composite
def plain(draw: st.DrawFn) -> list[bytes]:
    """The frames of an answer of text, that may break off."""
    words = draw(
        st.lists(st.sampled_from(["One ", "two", " two ", "\n", "东京", "three, ", "One two two "]), min_size=1)
    )
    parts = [frames.role(), *(frames.chunk(word) for word in words)]
    said = frames.usage(draw(st.integers(1, 9)), len(words))
    return parts + draw(st.sampled_from([[], [frames.error()], [said], [frames.finish(), said, frames.DONE]]))


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """``data`` in pieces: at frame ends, one byte beside them, or anywhere."""
    ends = [place for place in range(1, len(data)) if data[place - 1] in b"\r\n"]
    near = [place + beside for place in ends for beside in (-1, 0, 1) if 0 < place + beside < len(data)]
    places = draw(st.lists(st.sampled_from(near), max_size=8)) if near else []
    places += draw(st.lists(st.integers(1, len(data) - 1), max_size=3)) if len(data) > 1 else []
    edges = [0, *sorted(set(places)), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@st.composite
def attempts(draw: st.DrawFn) -> Script:
    """What one target does."""
    gap = lambda: draw(GAPS)  # noqa: E731
    kind = draw(st.sampled_from(["stream"] * 6 + ["refused", "stale", "status", "document", "silent"]))
    if kind == "silent":
        return []
    if kind in ("refused", "stale"):
        return [(gap(), Fails(kind, stale=kind == "stale"))]
    steps: list[tuple[float, Step]] = [(gap(), Opens())]
    if kind == "stream":
        headers = draw(st.sampled_from([frames.SSE, ()]))
        steps.append((gap(), Responds(200, headers)))
        steps += [(gap(), Sends(piece)) for piece in draw(cut(draw(streams())))]
    else:
        status = 200 if kind == "document" else draw(st.sampled_from([400, 401, 422, 429, 500, 503, 302]))
        steps.append((gap(), Responds(status, (*frames.JSON, (b"retry-after", b"2")))))
        steps += [(gap(), Sends(piece)) for piece in draw(cut(draw(BODIES)))]
    for happened in draw(st.lists(st.sampled_from(MEANWHILE), max_size=3)):
        steps.insert(draw(st.integers(1, len(steps))), (gap(), Meanwhile(happened)))
    ending = draw(st.sampled_from([True, True, False, None]))
    return steps if ending is None else [*steps, (gap(), Ends(ending, "reset" if not ending else ""))]


@st.composite
def clients(draw: st.DrawFn) -> list[tuple[float, Input]]:
    """What the client's side does, and when."""
    kinds = st.sampled_from([ClientBlocked(), ClientDrained(), ClientBlocked(), ClientDrained(), ClientLeft()])
    late = st.sampled_from([ClientBlocked(), ClientDrained(), ClientLeft(), Stop(), Shutdown()])
    instants = st.one_of(st.floats(0, 3), st.floats(0, 60), st.sampled_from([5.0, 10.0, 15.0, 30.0, 600.0]))
    happened = draw(st.lists(st.tuples(instants, kinds), max_size=4)) + draw(
        st.lists(st.tuples(instants, late), max_size=1)
    )
    return sorted(happened, key=lambda pair: pair[0])


WINDOWS = st.sampled_from([0.05, 0.3, 1.0, 5.0, 31.0])


@st.composite
def plans(draw: st.DrawFn, *, stream: bool | None = None) -> Plan:
    """A request and its policies: mostly the defaults, some at their edges."""
    policies: dict[str, object] = {}
    if draw(st.booleans()):
        policies["commit_after"] = draw(st.sampled_from([None, 0.5, 10.0]))
        policies["heartbeat"] = draw(st.sampled_from([None, 0.7, 15.0]))
        policies["keepalive"] = draw(st.sampled_from([None, 0.7, 15.0]))
        policies["slow_client"] = draw(st.sampled_from([None, 1.0, 30.0]))
    if draw(st.booleans()):
        policies["total"] = draw(st.sampled_from([None, 3.0, 40.0]))
        policies["between_tokens"] = draw(st.sampled_from([None, 1.0, 30.0]))
        policies["first_token"] = draw(st.sampled_from([None, 2.0, 15.0]))
    if draw(st.booleans()):
        policies["malformed"] = draw(st.sampled_from(["skip", "fail"]))
        policies["done_after_error"] = draw(st.booleans())
        policies["max_frame"] = draw(st.sampled_from([150, 400, 1 << 20]))
    if draw(st.integers(0, 3)) == 0:
        policies["min_rate"] = MinRate(tokens=draw(st.sampled_from([1.0, 5.0, 40.0])), window=draw(WINDOWS))
    ceiling = policies.get("between_tokens", 30.0)
    rules = SilenceRules(floor=0.0, ceiling=ceiling) if isinstance(ceiling, float) else None
    silences = None if rules is None else tuple(Silence(f"p{number}/m", rules) for number in range(3))
    hedge_after = draw(st.sampled_from([None, None, 0.0, 0.3, 1.0, 4.9, 5.0, 15.0]))
    leaving = draw(st.sampled_from(["cancel", "cancel", "drain", "resumable", "ids"]))
    if leaving == "drain":
        policies["on_disconnect"] = "drain"
        policies["drain"] = Drain(seconds=draw(st.sampled_from([0.5, 30.0])), tokens=10**6)
    asked = plan(
        hedge_after=hedge_after,
        retries=draw(st.sampled_from([0, 0, 1, 2])),
        chance=draw(st.sampled_from([0.0, 0.5, 0.99])),
        stream=draw(st.booleans()) if stream is None else stream,
        targets=draw(st.integers(1 if hedge_after is None else 2, 3)),
        include_usage=False if stream is None else draw(st.booleans()) and stream,
        ask_usage=draw(st.booleans()),
        continues=draw(st.booleans()),
        silences=draw(st.sampled_from([None, silences])),
        **policies,
    )
    if leaving not in ("resumable", "ids"):
        return asked
    resumable = Resumable(ids=leaving == "ids", alone=draw(st.sampled_from([0.3, 5.0, 600.0])))
    return msgspec.structs.replace(asked, resumable=resumable)
