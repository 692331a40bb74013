"""Providers that fail and hang: the routes of the measures, and what is read of the kernel and of the gateway."""

import pytest

from penstock.bench import failover, hang
from penstock.bench.asking import ASKING
from penstock.bench.goals_of_failures import OF_FAILURES
from penstock.bench.proc import established
from penstock.sim.options import sim_options

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:9C40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 1 1 0 100 0 0 10 0
   1: 0100007F:A000 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 2 1 0 20 4 30 10 -1
   2: 0100007F:A002 0100007F:9C40 04 00000000:00000000 00:00000000 00000000  1000        0 3 1 0 20 4 30 10 -1
   3: 0100007F:9C40 0100007F:A000 01 00000000:00000000 00:00000000 00000000  1000        0 4 1 0 20 4 30 10 -1
"""


def test_only_connections_that_stand_and_lead_there_are_counted() -> None:
    assert established(TCP, 0x9C40) == established(TCP, 0xA000) == 1
    assert established(TCP, 1) == established(TCP.splitlines()[0], 0x9C40) == 0


@pytest.mark.parametrize("routes", [failover.routes(), hang.routes()], ids=["failover", "hang"])
def test_every_target_is_one_that_the_simulated_provider_knows(routes: dict[str, dict[str, list[str]]]) -> None:
    for route in routes.values():
        for target in route["targets"]:
            provider, _, model = target.partition("/")
            assert provider in ("healthy", "failing", "gone")
            sim_options(model.partition("?")[2])


def test_a_job_asks_for_a_route_and_counts_its_frames() -> None:
    assert ASKING["openai-chat"].named
    assert hang.hang_job(1, ramp=0, window=1).model in hang.routes()
    options = sim_options(failover.HEALTHY.partition("?")[2])
    # Beside its tokens a stream has a role, a finish and an end.
    assert options.tokens is not None and options.tokens + 3 == failover.FRAMES


def test_streams_under_way_are_read_of_the_metrics() -> None:
    text = b'# HELP penstock_streams_active x\npenstock_streams_active 41\npenstock_streams_total{a="b"} 7\n'
    assert hang.active(text) == 41
    assert hang.active(b"") == 0


def test_goals_are_about_rows_that_there_are() -> None:
    rows = {"failover": set(failover.FAILS), "hang": {hang.ALONE, hang.BESIDE}}
    for goal in OF_FAILURES:
        assert set(goal.rows) <= rows[goal.measure]
