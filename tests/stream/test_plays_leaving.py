"""Plays about clients that leave: cancelled, drained, detached; and about what the journal gets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.policy.leaving import Drain, Drains
from penstock.stream.commands import Append, Seal
from penstock.stream.inputs import Followed
from penstock.stream.numbering import Frames
from penstock.stream.plan import Plan, Resumable
from penstock.testing.playbook import (
    ANY,
    DONE,
    SSE,
    ClientBlocked,
    ClientLeft,
    Close,
    Done,
    End,
    Open,
    Outcome,
    Pause,
    Play,
    Record,
    Resume,
    Send,
    Shutdown,
    Stop,
    UpstreamBytes,
    UpstreamEnded,
    UpstreamHead,
    UpstreamOpened,
    chunk,
    containing,
    finish,
    plan,
    role,
    streaming,
    usage,
    waiting,
)

GONE = (Record(ANY), Done(Outcome.CLIENT_CLOSED))


def resumable(*, ids: bool = False, alone: float = 600.0, **fields: Any) -> Plan:
    return msgspec.structs.replace(plan(**fields), resumable=Resumable(ids=ids, alone=alone))


def draining(how: str = "drain", stops: bool | None = None, drains: Drains | None = None, **fields: Any) -> Plan:
    base = plan(on_disconnect=how, drain=Drain(seconds=5, tokens=3), **fields)
    ways = tuple(msgspec.structs.replace(way, stops_when_left=stops) for way in base.ways)
    return msgspec.structs.replace(base, ways=ways, drains=drains)


def told(play: Play) -> list[bytes]:
    """The frames that the journal got."""
    frames = Frames(b"text/event-stream")
    appended = [command.data for command in play.transcript.commands if isinstance(command, Append)]
    return [frame for data in appended for frame in frames.take(data)]


def seals(play: Play) -> list[Seal]:
    return [command for command in play.transcript.commands if isinstance(command, Seal)]


# -- drain --------------------------------------------------------------------------------------------------------


def test_a_drain_reads_on_to_the_provider_s_usage_and_tells_nobody():
    play = streaming(draining(), "One").at(2).give(ClientLeft()).expect()
    play.at(3).give(UpstreamBytes(0, chunk("two") + finish() + usage(9, 2) + DONE)).expect()
    play.at(3.1).give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True), *GONE)
    play.expect_account(left=2.0, leaving="drain", token_events=2, committed=True)
    assert play.account.usage is not None
    assert play.account.usage.output == 2


def test_a_drain_ends_after_its_seconds():
    play = streaming(draining(keepalive=None)).at(2).give(ClientLeft()).expect()
    play.wait_until(7).expect(Close(0), *GONE)


def test_a_drain_ends_after_its_tokens():
    play = streaming(draining()).at(2).give(ClientLeft()).expect()
    play.at(3).give(UpstreamBytes(0, chunk("a") + chunk("b"))).expect()
    play.at(4).give(UpstreamBytes(0, chunk("c"))).expect(Close(0), *GONE)


def test_drains_beyond_their_number_are_cancelled():
    drains = Drains(1)
    first = streaming(draining(drains=drains)).at(2).give(ClientLeft()).expect()
    streaming(draining(drains=drains)).at(2).give(ClientLeft()).expect(Close(0), *GONE)
    assert drains.active == 1
    first.wait_until(7).expect(Close(0), *GONE)
    assert drains.active == 0


@pytest.mark.parametrize(("stops", "drained"), [(True, False), (None, False), (False, True)])
def test_auto_drains_only_where_closing_saves_nothing(stops: bool | None, drained: bool):
    play = streaming(draining("auto", stops)).at(2).give(ClientLeft())
    play.expect(*(() if drained else (Close(0), *GONE)))


def test_a_drain_asks_no_other_target():
    play = waiting(draining(retries=1)).at(1).give(ClientLeft()).expect()
    play.at(2).give(UpstreamEnded(0, clean=False)).expect(Close(0), *GONE)


def test_a_drain_ends_by_a_stop_and_by_a_shutdown():
    for happened in (Stop(), Shutdown()):
        streaming(draining()).at(2).give(ClientLeft()).expect().give(happened).expect(Close(0), *GONE)


def test_a_folded_request_is_drained_too():
    play = streaming(draining(stream=False)).at(2).give(ClientLeft()).expect()
    play.at(3).give(UpstreamBytes(0, finish() + usage(9, 1) + DONE)).expect()
    play.at(3.1).give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True), *GONE)


def test_a_blocked_client_that_leaves_lets_the_provider_go_on():
    play = streaming(draining()).at(2).give(ClientBlocked()).expect(Pause(0))
    play.at(3).give(ClientLeft()).expect(Resume(0)).expect_account(blocked=1.0)
    play.wait_until(8).expect(Close(0), *GONE)


# -- detach -------------------------------------------------------------------------------------------------------


def test_every_data_frame_is_in_the_journal_before_it_is_sent():
    play = waiting(resumable()).at(1).give(UpstreamBytes(0, role() + b": hm\n\n" + chunk("Hi")))
    frames = [role(), chunk("Hi")]
    play.passing_over()
    assert told(play) == frames
    assert play.body == role() + b": hm\n\n" + chunk("Hi")
    play.at(2).give(UpstreamBytes(0, finish() + DONE))
    play.expect(Append(finish() + DONE), Send(finish() + DONE), Seal(), End())


def test_a_stream_goes_on_without_its_client():
    play = streaming_resumable().at(2).give(ClientLeft()).expect()
    play.at(3).give(UpstreamBytes(0, chunk("you"))).expect(Append(chunk("you")))
    play.at(4).give(UpstreamBytes(0, finish() + DONE)).expect(Append(finish() + DONE), Seal())
    play.at(4).give(UpstreamEnded(0, clean=True))
    play.expect(Close(0, reuse=True), Record(ANY), Done(Outcome.COMPLETED)).expect_account(leaving="detach")


def test_another_target_is_asked_for_a_client_that_may_come_back():
    play = waiting(resumable()).at(1).give(ClientLeft()).expect()
    play.at(2).give(UpstreamEnded(0, clean=False)).expect(Close(0), Open(1, 1))
    play.at(3).give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("Hi"))).expect(
        Append(chunk("Hi"))
    )


def test_nobody_comes_back():
    play = streaming_resumable(alone=20).at(2).give(ClientLeft()).expect()
    play.wait_until(22).expect(Close(0), Append(containing(b"nobody followed")), Seal(), *GONE)


def test_a_reader_keeps_it_alive():
    play = streaming_resumable(alone=20).at(2).give(ClientLeft()).expect()
    play.at(3).give(Followed(1)).expect().at(20).give(UpstreamBytes(0, chunk("a"))).passing_over()
    play.at(30).give(Followed(0)).expect().at(45).give(UpstreamBytes(0, chunk("b"))).passing_over()
    play.wait_until(50).expect(Close(0), ANY, Seal(), *GONE)


def test_stopped_while_nobody_is_there():
    play = streaming_resumable().at(2).give(ClientLeft()).expect()
    play.give(Stop()).expect(Close(0), Append(containing(b'"stop"')), Seal(), Record(ANY), Done(Outcome.STOPPED))


@pytest.mark.parametrize("stream", [True, False])
def test_a_failure_nobody_was_there_for_is_in_the_journal(stream: bool):
    play = streaming_resumable(stream=stream, targets=1).at(2).give(ClientLeft()).expect()
    play.at(3).give(UpstreamEnded(0, clean=False)).passing_over()
    (seal,) = seals(play)
    if stream:
        assert b"upstream_cut" in told(play)[-1]
        assert seal == Seal()
    else:
        assert seal.status == 502
        assert b"upstream_cut" in (seal.body or b"")


def test_a_folded_answer_that_nobody_waited_for():
    play = streaming_resumable(stream=False).at(2).give(ClientLeft()).expect()
    play.at(3).give(UpstreamBytes(0, finish() + DONE)).expect(Seal(200, containing(b'"Hi"')))


def test_a_client_that_is_too_slow_is_dropped_and_may_come_back():
    play = streaming_resumable(slow_client=3).at(2).give(ClientBlocked()).expect(Pause(0))
    play.wait_until(5).expect(End(abort=True), Resume(0))
    play.at(6).give(UpstreamBytes(0, finish() + DONE)).expect(Append(finish() + DONE), Seal())


def test_ids_are_the_last_line_of_their_event_and_comments_stay_safe_beside_them():
    play = waiting(resumable(ids=True)).at(1).give(UpstreamBytes(0, b": a\n\n" + chunk("Hi"))).passing_over()
    assert play.body == b": a\n" + chunk("Hi")[:-1] + b"id: st_play.1\n\n"
    assert told(play) == [chunk("Hi")]


def streaming_resumable(**fields: Any) -> Play:
    """Up to the first token, at 1 s."""
    return waiting(resumable(**fields)).at(1.0).give(UpstreamBytes(0, chunk("Hi"))).passing_over()
