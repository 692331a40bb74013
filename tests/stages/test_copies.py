"""Copies of answers, on every client wire."""

import json
from pathlib import Path
from typing import Any

import pytest
from answers import WIRES
from test_metadata import ask

from penstock.config.values import CaptureFiles, CaptureSinks
from penstock.policy.capture import Capture
from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.rig import until

KINDS = [
    pytest.param(wire, kind, id=f"{name}, {kind}")
    for name, wire in WIRES.items()
    for kind in ("texts", "thoughts", "calls")
    if getattr(wire, kind) is not None
]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
@pytest.mark.parametrize(("wire", "kind"), KINDS)
async def test_copies_on_every_wire(rig, tmp_path: Path, wire, kind, stream):
    if wire.name == "gemini" and not wire.query and not stream:
        pytest.skip("the array is a form of streams")
    pieces = ['{"a":"jane@exam', 'ple.com"}'] if kind == "calls" else ["mail jane@exam", "ple.com now"]
    frames = getattr(wire, kind)(pieces)
    options: dict[str, Any] = {
        "stages": (RedactPolicy(detectors=("email",)),),
        "route_fields": {"capture": Capture()},
        "capture": CaptureSinks(files=CaptureFiles(directory=str(tmp_path))),
    }
    answer, _ = await ask(rig, wire, frames, {}, stream=stream, **options)
    await until(lambda: list(tmp_path.glob("*.jsonl")), what="a copy is there")
    await until(lambda: next(tmp_path.glob("*.jsonl")).read_bytes().endswith(b"\n"), what="it is whole")
    copy = json.loads(next(tmp_path.glob("*.jsonl")).read_bytes())
    assert copy["text"] == ("mail [email] now" if kind == "texts" else "")
    assert b"jane" not in next(tmp_path.glob("*.jsonl")).read_bytes()
    assert "[email]" in json.dumps(copy["answer"])
    if stream:
        assert "".join(text for _, text in copy["events"]).encode() == answer.body
    else:
        assert copy["answer"] == json.loads(answer.body)
