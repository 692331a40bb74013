"""How wires are asked, and that counting marks counts frames: the provider's, and those that the gateway makes."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.bench.asking import ASKING, PACED, Counter, request
from penstock.bench.wires import CASES, Case
from penstock.sim.options import sim_options
from penstock.sim.plan import plan
from penstock.sim.wires import wire_named
from penstock.wire.base import View
from penstock.wire.registry import CLIENT_WIRES, UPSTREAM_WIRES
from penstock.wire.translated import Translated

TOKENS = 100
CLIENTS = {wire.name: wire for wire in CLIENT_WIRES}


def provided(wire: str) -> tuple[list[bytes], list[bytes]]:
    """What the simulated provider says before its second token, and a write a token from there on."""
    provider = wire_named(wire)
    head, _, body = request(wire, PACED, 1).partition(b"\r\n\r\n")
    path = head.split(b" ", 2)[1].decode()
    assert provider.matches(path.partition("?")[0])
    call = provider.read(path, msgspec.json.decode(body))
    assert call.stream and call.model == PACED
    answer = plan(call, sim_options(PACED.partition("?")[2]), 1, 1_700_000_000)
    voice, tokens = provider.voice(answer), answer.text()
    first = [voice.role(0), voice.text(0, next(tokens))]
    return first, [voice.text(0, token) for token in itertools.islice(tokens, TOKENS)]


@pytest.mark.parametrize("wire", ASKING)
def test_a_mark_stands_once_in_every_frame_of_a_provider(wire: str) -> None:
    first, later = provided(wire)
    framer = UPSTREAM_WIRES[wire].framer(1 << 20)
    frames = [frame for piece in first + later for frame in framer.feed(piece)]
    assert b"".join(frames) == b"".join(first + later)
    assert {frame.count(ASKING[wire].mark) for frame in frames} == {1}
    assert [piece.count(ASKING[wire].mark) for piece in later] == [1] * TOKENS


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.label)
def test_the_gateway_makes_one_frame_of_one_frame(case: Case) -> None:
    wire, client = UPSTREAM_WIRES[case.provider], CLIENTS[case.client]
    head, _, body = request(case.client, case.provider, 1).partition(b"\r\n\r\n")
    path, _, query = head.split(b" ", 2)[1].decode().partition("?")
    assert client.serves(path)
    asked = client.read(path, query, body)
    assert asked.model == case.provider and asked.stream
    session = client.session(asked, "st_1")
    same = case.client == case.provider
    decoder = wire.decoder(View(expose_usage=asked.include_usage), session if same else None)
    reading = decoder if same else Translated(decoder, session.writer())
    framer, mark = wire.framer(1 << 20), ASKING[case.client].mark
    first, later = provided(case.provider)
    for piece in first:
        for frame in framer.feed(piece):
            reading.decode(frame)
    for piece in later:
        written = b"".join(reading.decode(frame)[0] or b"" for frame in framer.feed(piece))
        assert written.count(mark) == 1 and written.endswith(mark)


@pytest.mark.parametrize("wire", ASKING)
@given(cuts=st.lists(st.integers(0, 10_000), max_size=60))
def test_marks_are_counted_however_the_body_is_cut(wire: str, cuts: list[int]) -> None:
    first, later = provided(wire)
    body = b"".join(first + later[:20])
    counter = Counter(ASKING[wire].mark)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    counted = sum(counter.feed(body[low:high]) for low, high in itertools.pairwise(places))
    assert counted == body.count(ASKING[wire].mark)


def test_a_mark_is_counted_when_its_last_byte_comes() -> None:
    counter = Counter(b"\r\n\r\n")
    pieces = (b"a\r", b"\n\r", b"\n", b"\r\n", b"b\r\n", b"\r\n\r\n\r", b"\n")
    assert [counter.feed(piece) for piece in pieces] == [0, 0, 1, 0, 0, 1, 1]


def test_every_wire_of_a_case_can_be_asked() -> None:
    assert len({case.label for case in CASES}) == len(CASES)
    for case in CASES:
        assert {case.client, case.provider} <= ASKING.keys()
        assert (
            case.limit
            == {True: 2.5, False: None if case.client == "ollama-chat" else 1.5}[case.client != case.provider]
        )
