"""The frames that a journal counts, however they come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.stream.numbering import Frames

PIECES = st.lists(
    st.sampled_from(
        [
            b"data: a\n\n",
            b"data: a\n",
            b"\n",
            b"\n\n",
            b": alive\n\n",
            b"event: e\ndata: b\n\n",
            b"data: c\r\n\r\n",
            b"da",
        ]
    ),
    max_size=8,
)


@given(st.lists(PIECES, max_size=4))
def test_many_pieces_at_once_are_the_same_frames(batches: list[list[bytes]]) -> None:
    one, all_ = Frames(b"text/event-stream"), Frames(b"text/event-stream")
    for batch in batches:
        found = [frame for piece in batch for frame in one.take(piece)]
        # A blank line too many means nothing, and goes with either of its neighbours.
        assert [frame.strip() for frame in all_.take_all(batch)] == [frame.strip() for frame in found]
