"""Keys that a program prints or a file holds."""

import asyncio
import base64
import json
import os
import sys
import time
from pathlib import Path

import pytest

from penstock.upstream import keys
from penstock.upstream.keys import from_command, from_file, read_printed
from penstock.upstream.renewing import CredentialError

NOW = 1_700_000_000.0
ISO = "2023-11-14T22:14:20+00:00"  # NOW + 60 s


def jwt(**claims: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{part}.c2ln"


@pytest.mark.parametrize(
    ("printed", "key", "good_for"),
    [
        (b"sk-1\n", "sk-1", 300.0),
        (b"  sk-1 \r\n", "sk-1", 300.0),
        (b'{"token":"sk-1"}', "sk-1", 300.0),
        (b'{"access_token":"sk-1","expires_in":90}', "sk-1", 60.0),
        (b'{"access_token":"sk-1","expires_in":"90"}', "sk-1", 60.0),
        (json.dumps({"accessToken": "t", "expiresOn": "local", "expires_on": NOW + 90}).encode(), "t", 60.0),
        (json.dumps({"token": "t", "expiry": ISO}).encode(), "t", 30.0),
        (json.dumps({"status": {"token": "t", "expirationTimestamp": ISO.replace("+00:00", "Z")}}).encode(), "t", 30.0),
        (json.dumps({"token": "t", "expires_at": "2023-11-14T22:14:20"}).encode(), "t", 300.0),
        (jwt(exp=NOW + 90).encode(), jwt(exp=NOW + 90), 60.0),
        (jwt(sub="x").encode(), jwt(sub="x"), 300.0),
        (b"eyJ.!.x", "eyJ.!.x", 300.0),
        (b'{"token":"t","expires_in":10}', "t", keys.FILE_TIME),
    ],
)
def test_what_is_printed(printed: bytes, key: str, good_for: float) -> None:
    fetched = read_printed(printed, None, "it", NOW)
    assert fetched.value == key and fetched.good_for == pytest.approx(good_for)
    assert fetched.renew_after <= fetched.good_for


def test_the_configured_time_is_the_longest() -> None:
    assert read_printed(b"sk-1", 7.0, "it", NOW).good_for == 7.0
    assert read_printed(b'{"token":"t","expires_in":90}', 600.0, "it", NOW).good_for == 60.0
    assert read_printed(b'{"token":"t","expires_in":90}', 7.0, "it", NOW).good_for == 7.0


@pytest.mark.parametrize(
    "printed", [b"", b" \n", b"two words", b"a\nb", b"{}", b"{bad", b'{"token":""}', b"\xff", b"x" * 70000]
)
def test_what_is_no_key(printed: bytes) -> None:
    with pytest.raises(CredentialError) as caught:
        read_printed(printed, None, "api_key_command of the provider p", NOW)
    assert "api_key_command of the provider p printed" in str(caught.value)
    assert not printed.strip() or printed.decode("latin-1") not in str(caught.value)


async def test_a_command() -> None:
    script = "import os, sys; print('sk-' + os.environ['PENSTOCK_TEST'] + sys.argv[1] + sys.stdin.read())"
    os.environ["PENSTOCK_TEST"] = "a"
    try:
        fetched = await from_command("p", (sys.executable, "-c", script, "b"), 9.0)
    finally:
        del os.environ["PENSTOCK_TEST"]
    assert (fetched.value, fetched.good_for) == ("sk-ab", 9.0)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("/nonexistent/program",), "cannot be run: no such file or directory"),
        (("/etc",), "cannot be run: permission denied"),
        ((sys.executable, "-c", "import sys; print('sk-secret'); sys.exit('bad sk-secret')"), "exit status 1"),
        ((sys.executable, "-c", "pass"), "printed no key"),
    ],
)
async def test_commands_that_fail(command: tuple[str, ...], words: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CredentialError, match=words) as caught:
        await from_command("p", command, None)
    assert "sk-secret" not in str(caught.value) and "api_key_command of the provider p" in str(caught.value)


async def test_a_command_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keys, "COMMAND_TIME", 0.3)
    sign = tmp_path / "pid"
    script = f"import os, time; open({str(sign)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(CredentialError, match="took longer than"):
        await from_command("p", (sys.executable, "-c", script), None)
    with pytest.raises(ProcessLookupError):
        os.kill(int(sign.read_text()), 0)


async def test_a_command_that_is_given_up_is_killed(tmp_path: Path) -> None:
    sign = tmp_path / "pid"
    script = f"import os, time; open({str(sign)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    task = asyncio.create_task(from_command("p", (sys.executable, "-c", script), None))
    began = time.monotonic()
    while not sign.exists() or not sign.read_text():
        assert time.monotonic() < began + 10
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(sign.read_text()), 0)


async def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(" sk-1\n")
    assert (await from_file("p", str(path))).value == "sk-1"
    path.write_text("two words")
    with pytest.raises(CredentialError, match="api_key_file of the provider p holds no key"):
        await from_file("p", str(path))
    path.unlink()
    with pytest.raises(CredentialError, match="cannot be read: no such file or directory"):
        await from_file("p", str(path))
