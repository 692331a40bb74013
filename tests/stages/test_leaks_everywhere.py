"""What a route redacts is nowhere: not in what any client gets, whichever way it asks, and in nothing that is kept."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from answers import WIRES, Wire
from test_leaks import KINDS, SECRETS, TYPES, leaked
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from penstock.config.values import CaptureFiles, CaptureSinks, Ledger
from penstock.policy.capture import Capture
from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.rig import MODEL, LiveGateway, Rig, config, until
from penstock.testing.steps import hdr, raw
from penstock.testing.upstream import ScriptedUpstream

STAGES = (RedactPolicy(detectors=tuple(SECRETS), prompt=True),)
PIECE = 5


def spoken(kind: str) -> list[str]:
    """All secrets, in pieces."""
    text = json.dumps(" and ".join(SECRETS.values()))[1:-1] if kind == "calls" else " and ".join(SECRETS.values())
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    return ['{"a":"', *pieces, ' "}'] if kind == "calls" else [*pieces, " end"]


async def gateway_of(rig: Rig, wire: Wire, kind: str, folder: Path, answers: int) -> tuple[LiveGateway, Any]:
    """A gateway that keeps all that it can keep, in files."""
    array = wire.name == "gemini" and not wire.query
    media = "application/json" if array else TYPES.get(wire.name, "text/event-stream")
    script = [hdr(content_type=media), *map(raw, getattr(wire, kind)(spoken(kind)))]
    upstream = await rig.upstream(*[script] * answers)
    settings = config(
        [upstream],
        wire=wire.name,
        stages=STAGES,
        journal={"url": f"sqlite:///{folder}/journal.db"},
        route_fields={"capture": Capture()},
        capture=CaptureSinks(files=CaptureFiles(directory=str(folder / "copies"))),
    )
    ledger = Ledger(url=f"sqlite:///{folder}/ledger.db", spool=f"{folder}/spool")
    return await rig.gateway(settings=msgspec.structs.replace(settings, ledger=ledger)), upstream


def asked(wire: Wire, stream: bool) -> tuple[str, dict[str, Any]]:
    """Where to, and a question that has all secrets in it."""
    secrets, body = " and ".join(SECRETS.values()), json.loads(wire.body)
    if wire.name == "gemini":
        path = wire.path if stream else wire.path.replace("streamGenerateContent", "generateContent")
        body["contents"] = [{"role": "user", "parts": [{"text": secrets}]}]
        return path + (f"?{wire.query}" if wire.query and stream else ""), body
    body |= {"model": MODEL, "stream": stream}
    body |= {"input": secrets} if "input" in body else {"messages": [{"role": "user", "content": secrets}]}
    return wire.path, body


async def over_socket(gateway: LiveGateway, path: str, body: dict[str, Any]) -> bytes:
    found: list[str] = []
    address = f"ws://127.0.0.1:{gateway.port}/v1/stream"
    async with connect(address, compression=None, ping_interval=None, proxy=None) as ws:
        await ws.send(json.dumps({"path": path, "body": body}))
        try:
            while True:
                found.append(str(await ws.recv()))
        except ConnectionClosed:
            return "".join(found).encode()


def clean(where: str, data: bytes) -> None:
    """No piece of a secret is in it, but their marks are."""
    text = data.decode(errors="replace")
    for name, secret in SECRETS.items():
        assert not leaked(text, secret) and not leaked(text, json.dumps(secret)[1:-1]), f"{name} in {where}"
        assert f"[{name}]" in text, f"{name} is not in {where} at all"


def unmentioned(where: str, data: bytes) -> None:
    text = data.decode(errors="replace")
    assert not [name for name, secret in SECRETS.items() if leaked(text, secret)], where


def kept(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.parent.glob(folder.name)) if file.is_file())


@pytest.mark.parametrize(("wire", "kind"), KINDS)
async def test_nothing_that_is_redacted_is_anywhere(rig: Rig, tmp_path: Path, wire: Wire, kind: str) -> None:
    array = wire is WIRES["gemini array"]
    gateway, upstream = await gateway_of(rig, wire, kind, tmp_path, 2 if array else 3)
    path, body = asked(wire, True)
    streamed = await gateway.post(path, body, {"x-penstock-resume": "on"})
    clean("what is streamed", streamed.body)
    stream, count = streamed.headers["x-penstock-stream"], 1
    for after in (0, 3):
        resumed = await gateway.post(path, body, {"Last-Event-ID": f"{stream}.{after}"})
        assert resumed.body and streamed.body.endswith(resumed.body)
        unmentioned("what is resumed", resumed.body)
        followed = await gateway.get(f"/v1/streams/{stream}/events?after={after}")
        assert followed.body
        unmentioned("what is followed", followed.body)
    clean("messages of a socket", await over_socket(gateway, path, body))
    count += 1
    if not array:
        whole = await gateway.post(*asked(wire, False))
        clean("what is folded", whole.body)
        count += 1
    await until(lambda: len(gateway.records) == count, what="all are recorded")
    for sent in upstream.requests:
        clean("what the provider is asked", sent.body)
    await keeps_nothing(gateway, upstream, tmp_path, count)


async def keeps_nothing(gateway: LiveGateway, upstream: ScriptedUpstream, folder: Path, count: int) -> None:
    """The journal, the copies, the ledger and the log."""
    await until(lambda: kept(folder / "copies" / "*.jsonl").count(b"\n") == count, what="all are copied")
    clean("the copies", kept(folder / "copies" / "*"))
    await until(lambda: b"[iban]" in kept(folder / "journal.db*"), what="the journal is written")
    clean("the journal", kept(folder / "journal.db*"))
    ledger = gateway.gateway.ledger
    assert ledger is not None
    await until(lambda: ledger.writer.written >= count, what="all rows are written")
    unmentioned("the ledger", kept(folder / "ledger.db*") + kept(folder / "spool" / "*"))
    assert all(record["redactions"] for record in gateway.records)
    unmentioned("the log", "\n".join(gateway.writer.lines).encode())
