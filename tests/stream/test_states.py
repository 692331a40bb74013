"""The transition tables: every state can be left and reached, and nothing else can happen."""

from __future__ import annotations

import itertools

import pytest

from penstock.stream.states import (
    CLIENT,
    UPSTREAM,
    Client,
    ClientStep,
    ImpossibleStep,
    Upstream,
    UpstreamStep,
    diagram,
    step,
)

TABLES = [(UPSTREAM, Upstream, UpstreamStep), (CLIENT, Client, ClientStep)]


@pytest.mark.parametrize(("table", "states", "steps"), TABLES)
def test_a_step_is_in_the_table_or_impossible(table, states, steps):
    for state, happened in itertools.product(states, steps):
        if happened in table[state]:
            assert step(table, state, happened) is table[state][happened]
        else:
            with pytest.raises(ImpossibleStep, match=state.name):
                step(table, state, happened)


@pytest.mark.parametrize(("table", "states", "steps"), TABLES)
def test_every_state_is_reached_and_only_closed_is_final(table, states, steps):
    reached = {after for following in table.values() for after in following.values()}
    assert set(states) - reached == {next(iter(states))}
    assert {state for state, following in table.items() if not following} == {states.CLOSED}
    assert all(states.CLOSED in following.values() for state, following in table.items() if state is not states.CLOSED)


def test_the_diagram_has_every_step():
    drawn = diagram()
    assert drawn.startswith("stateDiagram-v2\n")
    assert drawn.count("-->") == sum(len(steps) for table in (UPSTREAM, CLIENT) for steps in table.values())
