"""Scripts as data: waits, splitting, words. No socket, no clock."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.sim import Record, Sim, words
from penstock.sim.steps import BODY, DATA, DONE, DROP, END, HEAD, HOLD, RESET, Step, split_steps


def steps(model: str, **body: object) -> list[Step]:
    request = {"model": model, "stream": True} | body
    record = Record(method="POST", path="/v1/chat/completions", body=json.dumps(request).encode())
    return list(Sim().answer(record).steps)


def shape(model: str, **body: object) -> list[tuple[float, int]]:
    return [(round(wait, 6), act) for wait, _, act, _ in steps(model, **body)]


def test_sim_says_its_paragraph_at_50_tokens_a_second() -> None:
    played = steps("sim")
    tokens = [step for step in played if step[3]]
    assert 80 <= len(tokens) <= 100
    assert [step[0] for step in tokens] == [0.2] + [0.02] * (len(tokens) - 1)


@pytest.mark.parametrize(
    ("model", "waits"),
    [
        # head, role, tokens, finish, [DONE], end
        ("sim?tokens=2&first=3s&gap=1s", [0, 0, 3, 1, 1, 0, 0]),
        ("sim?tokens=2&first=3s&gap=1s&headers=2s", [2, 0, 1, 1, 1, 0, 0]),
        ("sim?tokens=1&first=1s&gap=1s&headers=2s", [2, 0, 0, 1, 0, 0]),
        ("sim?tokens=0&first=3s&gap=1s", [0, 0, 3, 0, 0]),
        ("sim?empty=1&first=3s&gap=1s", [0, 0, 3, 0, 0]),
        ("sim?tokens=2&first=3s&gap=1s&n=2", [0, 0, 0, 3, 0, 1, 0, 1, 0, 0, 0]),
        ("sim?tokens=1&first=3s&gap=1s&linger=60s", [0, 0, 3, 1, 0, 60]),
        ("sim?tokens=1&first=3s&gap=1s&late_usage=200ms", [0, 0, 3, 1, 0, 0.2, 0]),
        ("sim?tokens=1&reasoning=1&first=3s&gap=1s", [0, 0, 3, 1, 1, 0, 0]),
        ("sim?tokens=1&first=3s&gap=1s&finish=no&done=no", [0, 0, 3, 1]),
        ("sim?tokens=1&first=3s&gap=1s&role=no", [0, 3, 1, 0, 0]),
        ("sim?error_at=0&first=3s&gap=1s", [0, 3, 0]),
        ("sim?error_at=1&first=3s&gap=1s", [0, 0, 3, 1, 0]),
        ("sim?tokens=2&malformed_at=1&first=3s&gap=1s", [0, 0, 3, 0, 1, 1, 0, 0]),
    ],
)
def test_waits_of_a_stream(model: str, waits: list[float]) -> None:
    assert [wait for wait, _ in shape(model)] == waits


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("sim?cut_at=1&gap=1s", (1, END)),
        ("sim?drop_at=1&gap=1s", (1, DROP)),
        ("sim?reset_at=1&gap=1s", (1, RESET)),
        ("sim?reset_at=1&gap=0", (0.001, RESET)),
        ("sim?stall_at=1&gap=1s", (0, HOLD)),
        ("sim?role_only=1", (0, HOLD)),
        ("sim?accept=never", (0, HOLD)),
        ("sim?tokens=1&cut_at=2&gap=1s", (0, END)),
    ],
)
def test_how_it_ends(model: str, end: tuple[float, int]) -> None:
    assert shape(model)[-1] == end


def test_the_first_of_several_faults_wins() -> None:
    assert shape("sim?stall_at=5&reset_at=2&cut_at=3")[-1][1] == RESET


def test_a_whole_answer_takes_the_time_of_the_stream() -> None:
    assert shape("sim?tokens=10&first=3s&gap=1s", stream=False) == [(13, HEAD), (0, BODY), (0, DONE)]


def test_an_http_error_waits_for_its_headers() -> None:
    assert shape("sim?status=503&headers=2s") == [(2, HEAD), (0, BODY), (0, DONE)]


def test_split_never_holds_bytes_over_a_wait() -> None:
    script: list[Step] = [(1.0, b"abc", DATA, 1), (0.0, b"de", DATA, 1), (2.0, b"f", DATA, 1), (0.0, b"", END, 0)]
    assert list(split_steps(script, 2)) == [
        (1.0, b"ab", DATA, 0),
        (0.0, b"cd", DATA, 0),
        (0.0, b"e", DATA, 2),
        (2.0, b"f", DATA, 1),
        (0.0, b"", END, 0),
    ]


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5]), st.binary(min_size=1, max_size=20)), max_size=12),
    st.integers(1, 25),
)
def test_split_keeps_bytes_time_and_tokens(frames: list[tuple[float, bytes]], size: int) -> None:
    script: list[Step] = [(0.25, b"head", HEAD, 0)]
    script += [(wait, data, DATA, 1) for wait, data in frames]
    script.append((0.125, b"", END, 0))
    pieces = list(split_steps(script, size))
    data = [step for step in pieces if step[2] == DATA]
    assert b"".join(step[1] for step in data) == b"".join(frame for _, frame in frames)
    assert all(1 <= len(step[1]) <= size for step in data)
    assert sum(step[0] for step in pieces) == sum(step[0] for step in script)
    assert sum(step[3] for step in pieces) == len(frames)
    assert pieces[0] == script[0] and pieces[-1] == script[-1]


@given(st.text(), st.integers(1, 9))
def test_tokens_joined_are_the_text(text: str, size: int) -> None:
    assert "".join(words.by_word(text)) == text
    assert "".join(words.by_size(text, size)) == text


def test_words_repeat_without_running_together() -> None:
    assert "".join(words.take(["A", " b."], 5)) == "A b. A b. A"
    assert list(words.take([], 3)) == []
