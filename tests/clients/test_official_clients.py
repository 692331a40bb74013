"""Official clients through the gateway: answers arrive whole, errors are typed, and no truncated answer looks done."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from client_fleet import CLIENTS, Client, Report, run, seed_of
from client_scenarios import SCENARIOS, Scenario
from client_stage import KEY_START, Stage

from penstock.sim import words

Reports = Callable[[Client], dict[tuple[str, str], Report]]

CASES = [(client, mode, scenario) for client in CLIENTS for mode, scenario in client.jobs()]
FINISHED = ("stop", "tool_calls", "length", "content_filter")


def _id(case: tuple[Client, str, Scenario]) -> str:
    client, mode, scenario = case
    return f"{client.name}-{mode}-{scenario.name}"


def _where(test: Callable[[Scenario], bool]) -> pytest.MarkDecorator:
    cases = [case for case in CASES if test(case[2])]
    return pytest.mark.parametrize(("client", "mode", "scenario"), cases, ids=[_id(case) for case in cases])


@_where(lambda scenario: scenario.error is None and scenario.close_after is None)
def test_an_answer_arrives_whole(client: Client, mode: str, scenario: Scenario, reports: Reports) -> None:
    report = reports(client)[mode, scenario.name]
    seed = seed_of(client, mode, scenario)
    if client.lacks(mode, "filtered answers") and scenario.finish == "content_filter":
        assert report["error"]["kinds"][0] == "ContentFilterFinishReasonError"
        return
    assert report["error"] is None
    assert report["text"] == scenario.text(seed)
    assert _finish(report) == scenario.finish
    if not client.lacks(mode, "reasoning"):
        assert report["reasoning"] == "".join(words.take(words.by_word(words.THOUGHT.lstrip()), scenario.reasoning))
    tools = [(tool["name"], _arguments(tool)) for tool in report["tools"]]
    expected = json.loads(words.ARGUMENTS)
    assert tools == ([("get_weather", expected), ("get_time", expected)] if scenario.tools else [])
    assert len({tool["id"] for tool in report["tools"]}) == len(tools)


@_where(lambda scenario: scenario.name in ("plain", "usage", "whole", "tools", "no finish", "error"))
def test_usage_comes_when_it_was_asked_for(client: Client, mode: str, scenario: Scenario, reports: Reports) -> None:
    report = reports(client)[mode, scenario.name]
    if scenario.usage:
        usage = report["usage"]
        assert usage["output"] == scenario.tokens
        assert usage["total"] == usage["input"] + usage["output"]
    elif not client.lacks(mode, "choice of usage"):
        assert report["usage"] is None


@_where(lambda scenario: scenario.error is not None)
def test_an_error_is_typed(client: Client, mode: str, scenario: Scenario, reports: Reports) -> None:
    report, expected = reports(client)[mode, scenario.name], scenario.error
    assert expected is not None
    error = report["error"]
    assert error is not None, "the client ended in silence"
    assert _finish(report) not in FINISHED
    assert report["text"] == scenario.text(seed_of(client, mode, scenario))
    assert (error["type"], error["code"]) == (expected.type, expected.code)
    assert expected.message in error["message"]
    if expected.status is None and error["status"] is not None:
        # The AI SDK's OpenAI provider makes an HTTP error of an error frame that comes before any output.
        assert client.lacks(mode, "early error frames") and scenario.name == "late 429" and error["status"] == 429
        return
    assert error["status"] == expected.status
    assert error["retry_after"] == expected.retry_after
    kind = client.kinds.get(expected.kind)
    # Inside a stream the AI SDK hands on the error's own object.
    assert kind in error["kinds"] if kind else error["kinds"] == []


@pytest.mark.parametrize("client", [CLIENTS[0]], ids=lambda client: client.name)
def test_without_the_gateway_a_cut_answer_looks_done(client: Client, the_stage: Stage, tmp_path: Path) -> None:
    """What the tests above would see if the gateway did nothing."""
    for report in run(client, the_stage.sim_base_url, tmp_path, "cut").values():
        assert report["chunks"] == 6 and report["error"] is None


@_where(lambda scenario: scenario.outcome is not None)
def test_the_gateway_agrees(client: Client, mode: str, scenario: Scenario, reports: Reports, the_stage: Stage) -> None:
    reports(client)
    account = the_stage.gateway.account(scenario.model(seed_of(client, mode, scenario)))
    assert account is not None, "the gateway did not account for the stream"
    assert account["outcome"] == scenario.outcome
    assert account["streamed"] == scenario.stream


@_where(lambda scenario: scenario.close_after is not None)
def test_a_client_that_leaves_ends_the_generation(
    client: Client, mode: str, scenario: Scenario, reports: Reports, the_stage: Stage
) -> None:
    report = reports(client)[mode, scenario.name]
    seed = seed_of(client, mode, scenario)
    assert report["error"] is None
    assert report["chunks"] == scenario.close_after
    assert scenario.text(seed).startswith(report["text"])
    account = the_stage.gateway.account(scenario.model(seed))
    assert account is not None and account["outcome"] == "client_closed"
    request = the_stage.request(scenario.model(seed))
    assert request.peer_closed_at is not None and not request.finished
    assert request.tokens_written < scenario.tokens
    closed_at = request.peer_closed_at + time.time() - time.monotonic()
    assert closed_at - report["left_at"] < 1


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_every_job_was_done(client: Client, reports: Reports) -> None:
    assert set(reports(client)) == {(mode, scenario.name) for mode, scenario in client.jobs()}
    assert {scenario.name for _, scenario in client.jobs()} == {scenario.name for scenario in SCENARIOS}


def test_keep_alives_were_there_to_be_survived(reports: Reports, the_stage: Stage) -> None:
    for client in CLIENTS:
        reports(client)
    accounts = [account for account in the_stage.gateway.accounts() if account["route"] == "patient"]
    assert len(accounts) == sum(len(client.modes) for client in CLIENTS)
    assert all(account["outcome"] == "completed" and account["keepalives"] >= 5 for account in accounts)


def test_the_providers_key_is_nowhere(reports: Reports, the_stage: Stage) -> None:
    """Not in what clients see, though the provider repeats it, and not in the log."""
    everything: list[Any] = [reports(client) for client in CLIENTS]
    assert KEY_START not in repr(everything)
    assert "Incorrect API key provided: ***" in repr(everything)
    assert not [line for line in the_stage.gateway.lines() if KEY_START in line]


def test_the_gateway_had_nothing_to_complain_of(reports: Reports, the_stage: Stage) -> None:
    for client in CLIENTS:
        reports(client)
    assert the_stage.gateway.complaints() == []


def _finish(report: Report) -> str | None:
    finish = report["finish"]
    return finish.replace("-", "_") if finish else None  # the AI SDK writes its own words with dashes


def _arguments(tool: dict[str, Any]) -> Any:
    given = tool["arguments"]
    return json.loads(given) if isinstance(given, str) else given
