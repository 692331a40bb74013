"""Plays about the client: the early head, keep-alives, slowness, and whose silence it is."""

from __future__ import annotations

from play_endings import failed_after, the_end, told

from penstock.testing.playbook import (
    ANY,
    DONE,
    SSE,
    ClientBlocked,
    ClientDrained,
    ClientLeft,
    Close,
    End,
    Head,
    Open,
    Outcome,
    Pause,
    Play,
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

KEEPALIVE = Send(b": keep-alive\n\n")


# -- the early head and keep-alives -----------------------------------------------------------------------------------


def test_after_a_while_without_a_token_the_head_goes_out_without_a_target():
    play = waiting(plan()).wait_until(10).expect(Head(200, ANY), KEEPALIVE).expect_account(committed=False)
    head = play.transcript.head
    assert head is not None
    assert not {b"x-penstock-target", b"x-penstock-attempts"} & dict(head.headers).keys()
    play.at(11).give(UpstreamBytes(0, role() + chunk("Hi"))).expect(Send(role() + chunk("Hi")))
    play.expect_account(committed=True)


def test_the_head_waits_for_a_token_where_that_is_wanted():
    waiting(plan(commit_after=None, first_token=60)).at(59).expect()


def test_a_failure_behind_an_early_head_is_a_frame():
    play = waiting(plan(targets=1)).wait_until(10).expect(Head(200, ANY), KEEPALIVE)
    play.wait_until(22.5).expect(*failed_after(Outcome.FIRST_TOKEN_TIMEOUT))


def test_keepalives_fill_the_silence_and_count_from_the_last_byte():
    play = streaming(plan()).at(8).give(UpstreamBytes(0, b": provider\n\n")).expect(Send(b": provider\n\n"))
    play.wait_until(23).expect(KEEPALIVE).expect_account(keepalives=1)
    play.expect_deadline(31)


def test_keepalives_can_be_switched_off():
    streaming(plan(keepalive=None)).expect_deadline(31)


def test_a_keepalive_does_not_push_the_providers_deadline_on():
    play = streaming(plan(keepalive=14)).wait_until(15).expect(KEEPALIVE).wait_until(29).expect(KEEPALIVE)
    play.wait_until(31).expect(*failed_after(Outcome.STALLED))


# -- a client that does not read --------------------------------------------------------------------------------------


def test_a_blocked_client_pauses_the_upstream_and_stops_its_clock():
    play = streaming(plan(keepalive=None, slow_client=None)).at(2).give(ClientBlocked()).expect(Pause(0))
    play.expect_deadline(600)
    play.at(100).give(ClientDrained()).expect(Resume(0)).expect_deadline(130).expect_account(blocked=98)
    play.wait_until(130).expect(*failed_after(Outcome.STALLED))


def test_silence_before_the_block_is_forgiven_too():
    play = streaming(plan(keepalive=None)).at(30.9).give(ClientBlocked()).expect(Pause(0))
    play.after(1).give(ClientDrained()).expect(Resume(0)).expect_deadline(61.9)


def test_no_keepalive_for_a_client_that_does_not_read():
    streaming(plan(slow_client=None)).give(ClientBlocked()).expect(Pause(0)).at(100).expect()


def test_what_arrives_in_spite_of_the_pause_is_sent():
    play = streaming(plan()).give(ClientBlocked()).expect(Pause(0))
    play.give(UpstreamBytes(0, chunk("!"))).expect(Send(chunk("!")))


def test_blocked_twice_is_blocked_once():
    play = streaming(plan()).give(ClientBlocked()).expect(Pause(0)).give(ClientBlocked()).expect()
    play.give(ClientDrained()).expect(Resume(0)).give(ClientDrained()).expect()


def test_slow_client_is_cut_off_and_told_nothing():
    play = streaming(plan()).at(2).give(ClientBlocked()).expect(Pause(0))
    play.wait_until(32).expect(Close(0), End(abort=True), *the_end(Outcome.SLOW_CLIENT)).expect_account(blocked=30)


def test_a_failure_while_blocked_cuts_the_client_off():
    play = streaming(plan()).give(ClientBlocked()).expect(Pause(0)).give(UpstreamEnded(0, clean=False))
    play.expect(Close(0), End(abort=True), *the_end(Outcome.UPSTREAM_CUT))


def test_max_duration_goes_on_while_the_client_is_blocked():
    play = streaming(plan(total=20, keepalive=None)).give(ClientBlocked()).expect(Pause(0))
    play.wait_until(20).expect(Close(0), End(abort=True), *the_end(Outcome.MAX_DURATION))


def test_a_blocked_client_that_leaves():
    play = streaming(plan()).give(ClientBlocked()).expect(Pause(0)).after(3).give(ClientLeft())
    play.expect(Close(0), *the_end(Outcome.CLIENT_CLOSED)).expect_account(blocked=3)


def test_a_blocked_client_gets_its_end_when_it_has_read():
    play = streaming(plan()).give(ClientBlocked()).expect(Pause(0))
    play.give(UpstreamBytes(0, finish() + DONE)).expect(Send(finish() + DONE))
    play.give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True))
    play.at(9).give(ClientDrained()).expect(End(), *the_end(Outcome.COMPLETED))


def test_a_client_that_never_reads_its_end_did_not_get_the_answer():
    play = streaming(plan()).give(ClientBlocked()).expect(Pause(0))
    play.give(UpstreamBytes(0, finish() + DONE), UpstreamEnded(0, clean=True)).expect(Send(ANY), Close(0, reuse=True))
    play.wait_until(31).expect(End(abort=True), *the_end(Outcome.SLOW_CLIENT))


def test_a_stop_reaches_a_blocked_client_when_it_has_read():
    play = (
        streaming(plan()).give(ClientBlocked()).expect(Pause(0)).give(Stop()).expect(Close(0), Send(containing(DONE)))
    )
    play.at(5).give(ClientDrained()).expect(End(), *the_end(Outcome.STOPPED))


def test_a_shutdown_cuts_a_blocked_client_off():
    play = streaming(plan()).give(ClientBlocked()).expect(Pause(0)).give(Shutdown())
    play.expect(Close(0), End(abort=True), *the_end(Outcome.SHUTDOWN))


# -- blocked before the first token -----------------------------------------------------------------------------------


def behind_the_head() -> Play:
    return waiting(plan(slow_client=None)).wait_until(10).expect(Head(200, ANY), KEEPALIVE)


def test_the_first_token_clock_stands_still_while_the_client_is_blocked():
    play = behind_the_head().at(12).give(ClientBlocked()).expect(Pause(0)).expect_deadline(600)
    play.at(40).give(ClientDrained()).expect(Resume(0))
    play.wait_until(43).expect(Close(0), Open(1, 1))


def test_an_attempt_that_begins_while_the_client_is_blocked_has_all_its_time():
    play = behind_the_head().at(12).give(ClientBlocked()).expect(Pause(0))
    play.at(20).give(UpstreamEnded(0, clean=False)).expect(Close(0), Open(1, 1))
    play.at(30).give(ClientDrained()).expect().expect_deadline(35)


def test_a_commit_while_the_client_is_blocked_pauses_the_upstream():
    play = behind_the_head().at(12).give(ClientBlocked()).expect(Pause(0))
    play.at(20).give(UpstreamEnded(0, clean=False)).expect(Close(0), Open(1, 1))
    play.give(UpstreamOpened(1), UpstreamHead(1, 200, SSE), UpstreamBytes(1, chunk("Hi")))
    play.expect(Pause(1), Send(chunk("Hi"))).at(30).give(ClientDrained()).expect(Resume(1))


# -- the end of the end -----------------------------------------------------------------------------------------------


def test_late_usage_is_waited_for_a_moment():
    play = streaming(plan(targets=1)).give(UpstreamBytes(0, finish() + DONE)).expect(Send(ANY), End())
    play.at(1.5).give(UpstreamBytes(0, usage(9, 2))).expect()
    play.wait_until(2.0).expect(Close(0), *the_end(Outcome.COMPLETED))
    assert play.account.usage is not None and play.account.usage.input == 9


def test_a_connection_that_ends_in_that_moment_serves_again():
    play = streaming(plan()).give(UpstreamBytes(0, finish() + DONE)).expect(Send(ANY), End())
    play.at(1.5).give(UpstreamEnded(0, clean=True)).expect(Close(0, reuse=True), *the_end(Outcome.COMPLETED))


def test_an_error_in_that_moment_is_too_late():
    play = streaming(plan()).give(UpstreamBytes(0, finish() + DONE)).expect(Send(ANY), End())
    play.give(UpstreamBytes(0, b'data: {"error":{"message":"late"}}\n\n')).expect()
    play.give(UpstreamEnded(0, clean=False)).expect(Close(0), *the_end(Outcome.COMPLETED))


def test_a_frame_over_the_limit_in_that_moment_is_not_collected():
    play = streaming(plan(max_frame=300)).give(UpstreamBytes(0, finish() + DONE)).expect(Send(ANY), End())
    play.give(UpstreamBytes(0, b"x" * 301)).expect(Close(0), *the_end(Outcome.COMPLETED))


def test_a_shutdown_in_that_moment_takes_nothing_back():
    play = streaming(plan()).give(UpstreamBytes(0, finish() + DONE)).expect(Send(ANY), End())
    play.give(Shutdown()).expect(Close(0), *the_end(Outcome.COMPLETED))


def test_a_marker_before_any_token_behind_an_early_head_is_a_frame():
    play = waiting(plan(targets=1)).wait_until(10).expect(Head(200, ANY), KEEPALIVE)
    play.give(UpstreamBytes(0, role() + finish() + DONE)).expect(
        Close(0), told(Outcome.EMPTY), End(), *the_end(Outcome.EMPTY)
    )
