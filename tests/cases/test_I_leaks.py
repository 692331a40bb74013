"""I. Leaks over real sockets; all splits of every detector are in tests/stages/test_leaks.py."""

from __future__ import annotations

import json

import pytest
from endings import STREAM

from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.frames import DONE, chunk, delta, finish, reasoning, role, tool
from penstock.testing.rig import Rig
from penstock.testing.steps import hdr, raw

MAIL = "jane.doe@example.com"
EMAIL = RedactPolicy(detectors=("email",), replace="[{kind}]")


@STREAM
async def test_I3_an_entity_split_across_deltas(rig: Rig, stream: bool) -> None:
    scripts = [
        [hdr(), raw(role()), raw(chunk(f"to {MAIL[:at]}")), raw(chunk(f"{MAIL[at:]}, now")), raw(finish() + DONE)]
        for at in range(1, len(MAIL))
    ]
    gateway = await rig.gateway(await rig.upstream(*scripts), stages=(EMAIL,))
    for _ in scripts:
        answer = await gateway.ask(stream)
        said = answer.text
        assert said == "to [email], now"
        assert b"jane" not in answer.body and b"example" not in answer.body


@STREAM
@pytest.mark.parametrize(
    "field",
    [
        pytest.param(chunk(f"to {MAIL} now"), id="text"),
        pytest.param(reasoning(f"to {MAIL} now") + chunk("x"), id="reasoning"),
        pytest.param(delta({"refusal": f"to {MAIL} now"}), id="refusal"),
        pytest.param(tool(id="c1", name="f", arguments=f'{{"a": "{MAIL}"}}'), id="arguments"),
        pytest.param(chunk("x") + chunk(f"to {MAIL} now", choice=1) + finish(choice=1), id="the second choice"),
    ],
)
async def test_I5_no_generated_field_is_a_blind_spot(rig: Rig, stream: bool, field: bytes) -> None:
    gateway = await rig.gateway(await rig.upstream([hdr(), raw(role() + field + finish() + DONE)]), stages=(EMAIL,))
    answer = await gateway.ask(stream)
    assert answer.status == 200
    assert b"[email]" in answer.body
    assert MAIL.encode() not in answer.body


@STREAM
async def test_I7_arguments_stay_json(rig: Rig, stream: bool) -> None:
    text = json.dumps({"to": [f'"{MAIL}"', "\n\\"], "n": 1.5})
    pieces = [tool(id="c1", name="f"), *(tool(arguments=letter) for letter in text)]
    script = [hdr(), raw(role() + b"".join(pieces) + finish("tool_calls") + DONE)]
    gateway = await rig.gateway(await rig.upstream(script), stages=(EMAIL,))
    answer = await gateway.ask(stream)
    if stream:
        calls = [call for each in answer.deltas for call in each.get("tool_calls", ())]
        got = "".join(call["function"].get("arguments") or "" for call in calls)
    else:
        got = answer.json["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(got) == {"to": ['"[email]"', "\n\\"], "n": 1.5}
