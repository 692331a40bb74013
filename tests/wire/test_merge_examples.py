"""Every composed example, merged as if all of it had waited."""

from __future__ import annotations

import pytest
from test_merge import WIRES, merged, whole

from penstock.events import UsageReport
from penstock.testing.corpus import Example, examples
from penstock.testing.wire_cases import read
from penstock.wire.base import View
from penstock.wire.registry import UPSTREAM_WIRES

EXAMPLES = [example for wire in WIRES for example in examples(wire)]


def written(wire: str, body: bytes) -> list[bytes]:
    """A provider's answer as the frames that a client of its wire is written."""
    upstream = UPSTREAM_WIRES[wire]
    framer, decoder = upstream.framer(1 << 25), upstream.decoder(View(), None)
    handed_on = [decoder.decode(frame)[0] for frame in framer.feed(body)]
    return [frame for frame in (*handed_on, decoder.close(framer.close())[0]) if frame]


@pytest.mark.parametrize("joined", [1, 5], ids=["by_frame", "by_five"])
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.wire}-{example.file}")
def test_an_answer_that_waited_says_the_same(example: Example, joined: int) -> None:
    sent = written(example.wire, example.read())
    pieces = [b"".join(sent[place : place + joined]) for place in range(0, len(sent), joined)]
    if not pieces:
        return
    out, merger = merged(example.wire, pieces)
    assert len(written(example.wire, out)) == len(written(example.wire, b"".join(sent))) - merger.merged
    before, after = read(example.wire, [b"".join(sent)]), read(example.wire, [out])
    assert whole(after[1]) == whole(before[1])
    assert after[2].finished == before[2].finished
    assert len(out) <= len(b"".join(sent))
    reports = [[event for event in events if isinstance(event, UsageReport)][-1:] for _, events, _ in (before, after)]
    assert reports[0] == reports[1]
