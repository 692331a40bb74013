"""The commands, as processes of their own."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest


def argv(command: str, *args: str) -> list[str]:
    return [sys.executable, "-c", f"from penstock.sim.command import {command}_command as c; c()", *args]


@contextmanager
def running(command: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv(command, *args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(command: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv(command, *args), capture_output=True, text=True, timeout=20, check=False)


def post(line: str, path: str, body: dict[str, object]) -> tuple[int, bytes]:
    port = int(re.search(r":(\d+)", line)[1])  # type: ignore[index]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("POST", path, json.dumps(body))
    with closing(connection), connection.getresponse() as response:
        return response.status, response.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sim_serves_until_a_signal(tmp_path: Path, number: int) -> None:
    (tmp_path / "a.sse").write_bytes(b"data: 1\n\n")
    with running("sim", "--port", "0", "--folder", str(tmp_path)) as process:
        assert process.stdout is not None and process.stderr is not None
        address, example = process.stdout.readline(), process.stdout.readline()
        assert re.fullmatch(r"simulated provider on http://127\.0\.0\.1:\d+\n", address)
        assert re.match(r"try: curl -N http://127\.0\.0\.1:\d+/v1/chat/completions .*\"model\":\"sim\"", example)
        status, body = post(address, "/v1/chat/completions", {"model": "sim?first=0&gap=0", "stream": True})
        assert status == 200 and body.endswith(b"data: [DONE]\n\n")
        reset = {"model": "sim?reset_at=3&first=0&gap=0", "stream": True}
        with pytest.raises(ConnectionResetError):
            post(address, "/v1/chat/completions", reset)
        assert post(address, "/v1/chat/completions", {"model": "tape:a.sse"}) == (200, b"data: 1\n\n")
        process.send_signal(number)
        assert process.wait(10) == 0
        assert process.stdout.read() == process.stderr.read() == ""


def test_sim_quiet() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with running("sim", "--port", str(port), "--quiet") as process:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port), 0.05).close()
                break
            except OSError:
                signal.sigtimedwait([], 0.02)
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout is not None and process.stdout.read() == ""


def test_a_port_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = run("sim", "--port", port)
    assert done.returncode == 1 and done.stdout == ""
    assert re.fullmatch(
        rf"penstock: cannot listen on 127\.0\.0\.1:{port}: .*address already in use.*\n", done.stderr, re.I
    )


@pytest.mark.parametrize("args", [["--port", "70000"], ["--wire", "morse"], ["--folder", "/no/such/folder"]])
def test_bad_arguments(args: list[str]) -> None:
    done = run("sim", *args)
    assert done.returncode == 2 and args[0] in done.stderr and "Traceback" not in done.stderr


def test_replay(tmp_path: Path) -> None:
    tape = tmp_path / "a.sse"
    tape.write_bytes(b"data: 1\n\ndata: 2\n\n")
    with running("replay", str(tape), "--port", "0", "--speed", "2.0", "--gap", "1ms") as process:
        assert process.stdout is not None
        address = process.stdout.readline()
        assert address.startswith(f"replaying {tape} on http://127.0.0.1:")
        assert "curl -N" in process.stdout.readline()
        assert post(address, "/any/path", {}) == (200, b"data: 1\n\ndata: 2\n\n")
        process.terminate()
        assert process.wait(10) == 0


def test_replay_of_a_bad_tape_is_one_line(tmp_path: Path) -> None:
    tape = tmp_path / "a.tape"
    tape.write_text('{"tape":1}\nnonsense\n')
    done = run("replay", str(tape))
    assert done.returncode == 2 and done.stderr.startswith(f"penstock: {tape}, line 2: not JSON")
    assert done.stderr.count("\n") == 1
    bad = run("replay", str(tape), "--gap", "soon")
    assert bad.returncode == 2 and "must be a duration" in bad.stderr
