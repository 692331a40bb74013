"""Tapes: the file, and the server that plays it."""

import base64
import json
from pathlib import Path

import pytest
from sim_client import Connect

from penstock.sim import Replay, TapeError, load_tape
from penstock.sim.steps import DATA, DROP, END, HEAD, RESET

HEAD_LINE = '{"tape":1,"status":200,"headers":{"content-type":"text/event-stream","transfer-encoding":"x"}}'


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    coded = base64.b64encode(b"\xff\x00").decode()
    return write(
        tmp_path / "a.tape",
        HEAD_LINE,
        '{"t":0.5,"data":"é one"}',
        f'{{"t":0.5,"base64":"{coded}"}}',
        '{"t":1.5,"data":"two"}',
        '{"t":2,"end":"clean"}',
    )


def test_timing(recorded: Path) -> None:
    tape = load_tape(recorded)
    steps = list(tape.steps())
    assert [(wait, data, act) for wait, data, act, _ in steps[1:]] == [
        (0.5, "é one".encode(), DATA),
        (0.0, b"\xff\x00", DATA),
        (1.0, b"two", DATA),
        (0.5, b"", END),
    ]
    assert steps[0][2] == HEAD and b"transfer-encoding: chunked" in steps[0][1] and b": x" not in steps[0][1]
    assert [wait for wait, *_ in tape.steps(speed=2)] == [0, 0.25, 0, 0.5, 0.25]


@pytest.mark.parametrize(("end", "act"), [("cut", DROP), ("reset", RESET)])
def test_ends(tmp_path: Path, end: str, act: int) -> None:
    tape = load_tape(write(tmp_path / "a.tape", HEAD_LINE, f'{{"t":0,"end":"{end}"}}'))
    assert list(tape.steps())[-1] == (0.001, b"", act, 0)


def test_a_plain_recording(tmp_path: Path) -> None:
    path = tmp_path / "plain.sse"
    path.write_bytes(b"data: 1\n\ndata: 2\r\n\r\ndata: 3")
    steps = list(load_tape(path).steps())
    assert [data for _, data, act, _ in steps if act == DATA] == [b"data: 1\n\n", b"data: 2\r\n\r\n", b"data: 3"]
    assert [wait for wait, *_ in steps] == pytest.approx([0, 0, 0.02, 0.02, 0])
    assert [wait for wait, *_ in load_tape(path, gap=1).steps()] == [0, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([""], "line 1: the tape is empty"),
        (["{"], "line 1: not JSON: "),
        (["[]"], "line 1: must be a JSON object"),
        (['{"tape":2}'], 'line 1: the first line must be {"tape":1,'),
        (['{"t":0,"data":"x"}'], 'line 1: the first line must be {"tape":1,'),
        (['{"tape":1,"status":99}'], "line 1: status must be"),
        (['{"tape":1,"headers":{"a b":"c"}}'], "line 1: headers must be"),
        (['{"tape":1,"headers":{"a":"b\\r\\nc"}}'], "line 1: headers must be"),
        ([HEAD_LINE, "", '{"data":"x"}'], "line 3: t must be a number of seconds, not below 0"),
        ([HEAD_LINE, '{"t":2,"data":"x"}', '{"t":1,"data":"x"}'], "line 3: t must be a number of seconds, not below 2"),
        ([HEAD_LINE, '{"t":0}'], "line 2: must hold one of data (text), base64 (text) or end"),
        ([HEAD_LINE, '{"t":0,"data":"x","base64":"eA=="}'], "line 2: must hold one of"),
        ([HEAD_LINE, '{"t":0,"base64":"!"}'], "line 2: base64 is not valid"),
        ([HEAD_LINE, '{"t":0,"end":"badly"}'], "line 2: end must be one of clean, cut, reset"),
        ([HEAD_LINE, '{"t":0,"data":"x"}'], "line 2: the last line must say how it ended"),
        ([HEAD_LINE, '{"t":0,"end":"cut"}', '{"t":0,"data":"x"}'], "line 3: comes after the end of the tape"),
    ],
)
def test_a_bad_tape(tmp_path: Path, lines: list[str], says: str) -> None:
    path = write(tmp_path / "bad.tape", *lines)
    with pytest.raises(TapeError) as caught:
        load_tape(path)
    assert str(caught.value).startswith(f"{path}, {says}")
    assert "\n" not in str(caught.value)


def test_no_tape(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="cannot be read: No such file"):
        load_tape(tmp_path / "none.tape")


async def test_replay_answers_every_post(connect: Connect, recorded: Path) -> None:
    async with Replay(load_tape(recorded), speed=1000) as replay:
        line = await connect(replay)
        for path in ("/v1/chat/completions", "/anything?at=all"):
            line.send(path, b"not even JSON")
            reply = await line.reply()
            assert (reply.status, reply.ended) == (200, "clean")
            assert reply.headers["content-type"] == "text/event-stream"
            assert reply.chunks == ["é one".encode(), b"\xff\x00", b"two"]
        line.send("/", b"", "GET")
        refused = await line.reply()
        assert refused.status == 405 and json.loads(refused.body)["error"]["message"]
        assert [record.path for record in replay.requests] == ["/v1/chat/completions", "/anything?at=all", "/"]


@pytest.mark.parametrize("end", ["cut", "reset"])
async def test_replay_breaks_off(connect: Connect, tmp_path: Path, end: str) -> None:
    path = write(tmp_path / "a.tape", HEAD_LINE, '{"t":0,"data":"x"}', f'{{"t":0,"end":"{end}"}}')
    async with Replay(load_tape(path)) as replay:
        line = await connect(replay)
        line.send("/", b"")
        reply = await line.reply()
        assert (reply.body, reply.ended) == (b"x", end)
