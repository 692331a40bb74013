"""Whatever a provider of ollama-chat, cohere-chat, cohere-v1 or tgi sends: no decoder and no writer breaks on it, and
every client's stream stays legal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.framing.sse import SSEFramer, parse
from penstock.outcome import Outcome
from penstock.testing.messages import plan
from penstock.testing.run import run, script
from penstock.testing.wire_cases import lines

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 9), st.sampled_from(["", "x", "ERROR", "COMPLETE", "{}", "a\u2028"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["text", "x"]), inner, max_size=2),
)


def objects(names, **fixed):
    fields = {name: VALUES | fixed[name] if name in fixed else VALUES for name in names.split()}
    return st.fixed_dictionaries({}, optional=fields)


FUNCTION = objects("name arguments")
CALLS = st.lists(objects("id function", function=FUNCTION), max_size=2)
OLLAMA = objects(
    "model created_at message response thinking done done_reason error prompt_eval_count eval_count",
    message=objects("role content thinking tool_calls images", tool_calls=CALLS),
    done=st.booleans(),
)
V2_KINDS = [
    "message-start",
    "content-start",
    "content-delta",
    "content-end",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "tool-call-end",
    "citation-start",
    "citation-end",
    "message-end",
    "error",
]
V2 = objects(
    "type id index delta message error",
    type=st.sampled_from(V2_KINDS),
    delta=objects(
        "message finish_reason usage error",
        message=objects(
            "content tool_plan tool_calls citations",
            content=objects("text thinking"),
            tool_calls=objects("id function", function=FUNCTION),
            citations=objects("start end text sources"),
        ),
        usage=objects("tokens billed_units cached_tokens", tokens=objects("input_tokens output_tokens")),
    ),
)
V1_KINDS = [
    "stream-start",
    "text-generation",
    "tool-calls-chunk",
    "tool-calls-generation",
    "citation-generation",
    "stream-end",
]
V1 = objects(
    "event_type text tool_call_delta tool_calls citations response finish_reason message",
    event_type=st.sampled_from(V1_KINDS),
    tool_call_delta=objects("index name parameters"),
    tool_calls=st.lists(objects("name parameters"), max_size=2),
    response=objects("text meta token_count finish_reason"),
)
TGI = objects(
    "token generated_text details error error_type",
    token=objects("text special"),
    details=objects("finish_reason generated_tokens input_length"),
)


def told(wire, body):
    data = json.dumps(body, ensure_ascii=False).encode("utf-8")
    if wire in ("ollama-chat", "cohere-v1"):
        return data + b"\n"
    name = f"event: {body['type']}\n".encode() if wire == "cohere-chat" and isinstance(body.get("type"), str) else b""
    return name.replace("\u2028".encode(), b"") + b"data: " + data + b"\n\n"


STREAMS = st.one_of(
    *(
        st.tuples(st.just(wire), st.lists(bodies, max_size=6))
        for wire, bodies in (("ollama-chat", OLLAMA), ("cohere-chat", V2), ("cohere-v1", V1), ("tgi", TGI))
    )
)


@pytest.mark.parametrize("client", ["openai-chat", "ollama-chat", "anthropic-messages", "cohere-chat"])
@given(stream=STREAMS, whole=st.booleans(), clean=st.booleans())
def test_a_client_gets_a_legal_stream(client, stream, whole, clean):
    wire, bodies = stream
    if client == "cohere-chat" and wire != client:
        return
    data = b"".join(told(wire, body) for body in bodies)
    transcript = run(plan(client=client, upstream=wire, stream=not whole), [script(data, clean=clean)])
    assert transcript.outcome in {
        Outcome.COMPLETED, Outcome.UPSTREAM_ERROR, Outcome.UPSTREAM_CUT, Outcome.EMPTY, Outcome.STALLED,
    }  # fmt: skip
    if whole or transcript.head.status != 200:
        assert json.loads(transcript.body)
    elif client == "ollama-chat":
        last = lines(transcript.body)[-1]
        if transcript.outcome is not Outcome.COMPLETED:
            assert isinstance(last["error"], str)
        elif wire != client:
            assert last["done"] is True
    else:
        frames = SSEFramer().feed(transcript.body)
        for payload in (parse(frame).data for frame in frames):
            assert payload is None or payload == b"[DONE]" or isinstance(json.loads(payload), dict)
