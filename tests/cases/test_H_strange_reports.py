"""H10: whatever a provider reports, its stream has a row, and so has the next one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from penstock.config.values import Ledger, Metering
from penstock.testing.rig import LiveGateway, Rig, config
from penstock.testing.steps import done, fin, hdr, raw, role, st, tok, usage
from penstock.testing.upstream import Script
from penstock.wire import json

ANSWER = [hdr(), tok(3), fin(), usage(5, 3), done()]
LONE = rb"half \ud83d a character"


def reporting(number: str) -> Script:
    counts = f'"prompt_tokens":{number},"completion_tokens":{number},"total_tokens":{number},"cost":{number}'
    return [hdr(), tok(3), fin(), raw(f'data: {{"choices":[],"usage":{{{counts}}}}}\n\n'.encode()), done()]


async def kept(rig: Rig, folder: Path, *scripts: Script) -> LiveGateway:
    """A gateway with a ledger, at a provider that says this."""
    upstream = await rig.upstream(*scripts)
    ledger = Ledger(url=f"sqlite:///{folder}/ledger.db", spool=str(folder / "spool"))
    settings = msgspec.structs.replace(config([upstream]), ledger=ledger, metering=Metering())
    return await rig.gateway(upstream, settings=settings)


async def rows(gateway: LiveGateway) -> list[dict[str, object]]:
    return json.loads((await gateway.get("/v1/usage")).body)["data"]


@pytest.mark.parametrize("number", ["1" + "0" * 30, "9223372036854775808", "-7", "NaN", "Infinity", "1e400", '"5"'])
async def test_H10_a_number_that_counts_nothing_is_not_counted(rig: Rig, tmp_path: Path, number: str) -> None:
    gateway = await kept(rig, tmp_path, reporting(number), ANSWER)
    for _ in range(2):
        assert (await gateway.ask()).status == 200
        assert (await gateway.record())["outcome"] == "completed"
    good, strange = await rows(gateway)
    if strange["reported"]["input"] is not None:
        good, strange = strange, good
    assert strange["reported"]["input"] is strange["reported"]["output"] is None
    assert strange["counted"]["output"] > 0
    assert (good["reported"]["input"], good["reported"]["output"]) == (5, 3)


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param(
            [st(500, b'{"error":{"message":"%b","type":"%b","code":"%b"}}' % (LONE, LONE, LONE))], id="status"
        ),
        pytest.param(
            [hdr(), role(), tok(1), raw(b'data: {"error":{"message":"%b","code":"%b"}}\n\n' % (LONE, LONE))],
            id="in the stream",
        ),
        pytest.param(
            [hdr(), tok(1), raw(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"%b"}]}\n\n' % LONE), done()],
            id="finish",
        ),
    ],
)
async def test_H10_half_a_character_harms_no_row(rig: Rig, tmp_path: Path, failing: Script) -> None:
    gateway = await kept(rig, tmp_path, *[failing] * 6, ANSWER)
    for _ in range(6):  # over the failures after which the log says that a target is left out
        await gateway.ask()
        await gateway.record()
    assert (await gateway.ask()).status == 200
    assert (await gateway.record())["outcome"] == "completed"
    assert len(await rows(gateway)) == 7
