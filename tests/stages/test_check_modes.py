"""A moderation service that answers in 300 ms, in 5 s, never, or not well, in each mode, on every client wire, streamed
and folded, in virtual time."""

import json
from itertools import pairwise
from typing import Any

import pytest
from answers import WIRES, Wire

from penstock.outcome import Outcome
from penstock.policy.deadlines import Deadlines
from penstock.policy.delivery import Delivery
from penstock.request import StreamRequest
from penstock.stages.moderate.policy import CheckPolicy
from penstock.stages.pipeline import StagesPlan
from penstock.stream.commands import Ask, Send
from penstock.stream.plan import Plan, Way
from penstock.testing.laws import check_laws
from penstock.testing.moderation import answers
from penstock.testing.run import Ends, Opens, Responds, Script, Sends, run
from penstock.testing.transcript import Transcript
from penstock.wire.base import Decoder, View
from penstock.wire.edit import Asked
from penstock.wire.editors import editor_of
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES

WORDS = [f"word{number} " for number in range(40)]
BAD = [*WORDS[:30], "a very bad ", "thing ", *WORDS, *WORDS]
GAP = 0.05
FINISHES = {
    "openai-chat": b'"finish_reason":"content_filter"',
    "openai-responses": b"response.incomplete",
    "anthropic-messages": b'"stop_reason":"refusal"',
    "gemini": b'"finishReason":"SAFETY"',
}
MODE = pytest.mark.parametrize("mode", ["block", "window", "audit"])
# The array of Gemini's is a form of streams.
WAYS = [(name, stream) for name in WIRES for stream in (True, False) if stream or name != "gemini array"]
EACH = pytest.mark.parametrize(("name", "stream"), WAYS, ids=[f"{n}, {'streamed' * s or 'folded'}" for n, s in WAYS])
KINDS = {"ollama-chat": b"application/x-ndjson", "gemini array": b"application/json"}


def planned(wire: Wire, stream: bool, check: CheckPolicy) -> Plan:
    body = {**json.loads(wire.body), "stream": stream}
    path = wire.path
    if wire.name == "gemini":
        body.pop("stream")
        path = path if stream else path.replace("streamGenerateContent", "generateContent")
    client = next(each for each in CLIENT_WIRES if each.name == wire.name)
    request: StreamRequest = client.read(path, wire.query if stream else "", json.dumps(body).encode())
    session = client.session(request, "st_1")
    upstream = UPSTREAM_WIRES[wire.name]

    def decoder() -> Decoder:
        return upstream.decoder(View(not stream), session)

    return Plan(
        stream="st_1",
        route="m",
        request=request,
        ways=(Way(name="p/m", label="p/m", wire=upstream, same_wire=True, decoder=decoder),),
        client=session,
        client_wire=wire.name,
        deadlines=Deadlines(first_token=30.0, between_tokens=30.0),
        delivery=Delivery(commit_after=None, keepalive=None),
        stages=StagesPlan(check=check),
        editor=editor_of(wire.name, Asked(request, "st_1", session)),
    )


def answer(name: str, deltas: list[str]) -> Script:
    frames = WIRES[name].texts(deltas)
    head = Responds(200, ((b"content-type", KINDS.get(name, b"text/event-stream")),))
    return [(0.1, Opens()), (0.1, head), *((GAP, Sends(frame)) for frame in frames), (0.0, Ends())]


def told(name: str, deltas: list[str], stream: bool, service: Any, **policy: Any) -> Transcript:
    check = CheckPolicy(**{"characters": 240, "overlap": 20, "timeout": 2.0, **policy})
    transcript = run(planned(WIRES[name], stream, check), [answer(name, deltas)], service=service)
    check_laws(transcript)
    return transcript


@EACH
@MODE
def test_a_service_of_300_ms_lets_a_good_answer_pass_whole(name, mode, stream):
    done = told(name, WORDS, stream, answers(["bad"], delay=0.3), mode=mode)
    assert done.outcome is Outcome.COMPLETED
    for word in WORDS:
        assert word.strip() in done.body.decode()
    asks = [command for command in done.commands if isinstance(command, Ask)]
    assert len(asks) == 1 if not stream else 3 <= len(asks) <= 8
    if stream and mode == "window":
        sends = [at for at, command in done.said() if isinstance(command, Send)]
        # The last two are the window itself, when nothing more comes.
        assert len(sends) >= 5
        assert max(later - one for one, later in pairwise(sends[:-2])) <= GAP + 1e-6
    if stream and mode == "audit":
        sends = [at for at, command in done.said() if isinstance(command, Send)]
        assert max(later - one for one, later in pairwise(sends[:-1])) <= GAP + 1e-6


@EACH
@MODE
@pytest.mark.parametrize("delay", [0.3, 1.9])
def test_a_violation_ends_it_once_in_the_wires_own_way(name, mode, stream, delay):
    done = told(name, BAD, stream, answers(["very bad"], delay=delay), mode=mode)
    assert done.outcome is Outcome.BLOCKED
    assert done.account.checks["flagged"] == 1
    if not stream:
        assert done.head is not None and done.head.status == 400
        assert b"word" not in done.body
        return
    wire = WIRES[name].name
    assert done.head is not None and done.head.status == 200
    if wire in FINISHES:
        assert done.body.count(FINISHES[wire]) == 1 + (wire == "openai-responses")
        assert b"blocked" not in done.body
    else:
        assert b"blocked" in done.body
    assert ("very bad" in done.body.decode()) is (mode == "audit" or (mode == "window" and delay > 1))
    if mode == "block":
        assert "word29" not in done.body.decode()
    retracted = wire == "openai-chat" and "very bad" in done.body.decode()
    assert (b"content_filter_offsets" in done.body) is retracted


@EACH
@MODE
@pytest.mark.parametrize("service", ["5 s", "never", "500"])
@pytest.mark.parametrize("on_failure", ["block", "pass"])
def test_I9_a_service_that_fails_is_survived_or_not_as_the_route_says(name, mode, stream, service, on_failure):
    failing = answers(delay={"5 s": 5.0, "never": None, "500": 0.1}[service], failed="status 500" * (service == "500"))
    done = told(name, WORDS, stream, failing, mode=mode, on_failure=on_failure)
    if on_failure == "pass":
        assert done.outcome is Outcome.COMPLETED
        assert "word39" in done.body.decode()
        failures = 1 if not stream else 2
        assert done.account.checks == {"failed": failures}
        assert len(done.account.warnings) == failures
        # Two timeouts are all that it ever costs.
        assert done.account.duration <= 0.2 + GAP * 50 + 4.1
        return
    assert done.outcome is Outcome.BLOCKED
    assert done.account.checks == {"failed": 1}
    nothing = not stream or mode == "block" or (mode == "window" and service == "500")
    assert done.head is not None and done.head.status == (503 if nothing else 200)
    if mode == "block":
        assert b"word" not in done.body


@MODE
@pytest.mark.parametrize("name", ["openai-chat", "anthropic-messages"])
def test_arguments_of_tools_are_checked_too(name, mode):
    calls = WIRES[name].calls
    assert calls is not None
    frames = calls(['{"do":"a ve', 'ry bad thing"}'])
    script = [*answer(name, [])[:2], *((GAP, Sends(frame)) for frame in frames), (0.0, Ends())]
    check = CheckPolicy(mode=mode, characters=60)
    done = run(planned(WIRES[name], True, check), [script], service=answers(["very bad"], delay=0.3))
    assert done.outcome is Outcome.BLOCKED


@pytest.mark.parametrize("name", WIRES)
def test_I8_no_text_is_asked_about_twice_but_for_the_overlap(name):
    done = told(name, WORDS, True, answers(delay=0.0))
    asked = sum(len(text) for command in done.commands if isinstance(command, Ask) for text in command.texts)
    count = sum(isinstance(command, Ask) for command in done.commands)
    assert asked <= len("".join(WORDS)) + 20 * count
