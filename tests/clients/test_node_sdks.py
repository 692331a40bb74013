"""The official Node SDKs of every wire through the gateway: answers arrive whole, errors are the SDK's own, and no
truncated answer looks done. Each is driven once, by one process; see node_fleet.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gateway_process import GatewayProcess
from node_fleet import NODE_CLIENTS, WIRES, NodeClient, drive_all
from sdk_scenarios import BROKEN, DEFAULTS, MODELS, WHOLE, routes, text
from sim_thread import sim_thread

from penstock.sim import words

Reports = Callable[[NodeClient, str, bool], list[dict[str, Any]]]
SAID = {"upstream_error": "The simulated provider had an error", "upstream_cut": "the stream ended before"}
SAID["stalled"] = "sent no token for 0.5 s"

each = pytest.mark.parametrize("client", NODE_CLIENTS, ids=lambda client: client.name)
ways = pytest.mark.parametrize("streams", [True, False], ids=["streamed", "in one piece"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with sim_thread() as sim:
        base = {name: sim.base_url if wire.startswith("openai") else sim.origin for name, wire in WIRES.items()}
        settings = {
            "providers": {name: {"wire": wire, "base_url": base[name]} for name, wire in WIRES.items()},
            "defaults": DEFAULTS,
            "routes": routes(WIRES),
        }
        with GatewayProcess(json.dumps(settings), tmp_path_factory.mktemp("gateway")) as process:
            yield process


@pytest.fixture(scope="module")
def reports(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What a client reports of a scenario, for each of its ways of streaming or of not streaming."""
    known = drive_all(gateway.origin, tmp_path_factory.mktemp("node"))

    def of(client: NodeClient, scenario: str, streams: bool) -> list[dict[str, Any]]:
        found = known[client.driver]
        if isinstance(found, Exception):
            pytest.fail(str(found), pytrace=False)
        return [found[way, scenario] for way in client.ways(streams)]

    return of


@each
@ways
@pytest.mark.parametrize(("scenario", "tokens"), WHOLE.items(), ids=WHOLE)
def test_an_answer_arrives_whole_with_its_usage(
    client: NodeClient, streams: bool, scenario: str, tokens: int, reports: Reports
) -> None:
    for report in reports(client, scenario, streams):
        assert report["error"] is None
        assert report["text"] == text(tokens)
        assert report["finish"] == client.finishes[0]
        assert report["usage"]["output"] == tokens and report["usage"]["input"] >= 1
        assert (report["reasoning"], report["tools"]) == ("", [])


@each
@ways
def test_an_answer_that_was_cut_short_says_so(client: NodeClient, streams: bool, reports: Reports) -> None:
    for scenario, finish in (("length", client.finishes[1]), ("filter", client.finishes[2])):
        for report in reports(client, scenario, streams):
            assert (report["error"], report["text"], report["finish"]) == (None, text(5), finish)


@each
@ways
def test_tools(client: NodeClient, streams: bool, reports: Reports) -> None:
    for report in reports(client, "tools", streams):
        assert report["error"] is None
        assert [tool["name"] for tool in report["tools"]] == ["get_weather", "get_time"]
        assert [json.loads(tool["arguments"]) for tool in report["tools"]] == [json.loads(words.ARGUMENTS)] * 2
        identities = [tool["id"] for tool in report["tools"] if tool["id"] is not None]
        assert len(set(identities)) == len(identities)
        assert report["finish"] == client.finishes[3]
        assert report["usage"]["output"] > 0


@each
@ways
def test_reasoning(client: NodeClient, streams: bool, reports: Reports) -> None:
    for report in reports(client, "reasoning", streams):
        assert (report["error"], report["text"], report["finish"]) == (None, text(5), client.finishes[0])
        assert report["reasoning"] == "".join(words.take(words.by_word(words.THOUGHT.lstrip()), 5))
        assert report["usage"]["output"] in (5, 10)  # with the thoughts, or beside them


@each
@ways
def test_characters_that_end_lines_for_python_do_not(client: NodeClient, streams: bool, reports: Reports) -> None:
    for report in reports(client, "lines", streams):
        assert (report["error"], report["text"]) == (None, "a\u2028b\x85c\u2029d")


@each
@pytest.mark.parametrize(("scenario", "outcome"), BROKEN.items(), ids=BROKEN)
def test_a_broken_stream_is_the_sdks_own_error(
    client: NodeClient, scenario: str, outcome: str, reports: Reports
) -> None:
    for report in reports(client, scenario, True):
        error = report["error"]
        assert error is not None, "the client ended in silence"
        assert report["text"] == text(5)
        assert report["finish"] not in client.finishes
        assert client.raises in error["kinds"] if client.raises else error["kinds"] == []
        # Cohere's SDK hands on the provider's word in the last event, ahead of the broken connection.
        heard = report["told"] if client.vague else error["message"]
        if heard is not None:
            assert SAID[outcome] in heard
        else:
            assert client.vague and client.driver == "ai_sdk.mjs"


@each
def test_an_error_with_a_clean_end_behind_it(client: NodeClient, reports: Reports) -> None:
    """With ``delivery.done_after_error`` the AI SDK has the words of Cohere's and Gemini's errors too."""
    for report in reports(client, "clean-error", True):
        assert report["text"] == text(5)
        assert report["finish"] not in client.finishes
        if client.clean is not None:
            assert (report["error"], report["finish"]) == (None, client.clean)
        else:
            assert SAID["upstream_error"] in report["error"]["message"]


@each
@pytest.mark.parametrize("scenario", [*BROKEN, "clean-error"])
def test_half_an_answer_is_no_whole_one(client: NodeClient, scenario: str, reports: Reports) -> None:
    for report in reports(client, scenario, False):
        error = report["error"]
        assert error is not None and report["text"] == ""
        assert client.refused in error["kinds"]
        assert error["status"] == 504 if scenario == "stall" else error["status"] in (500, 502)
        assert SAID[BROKEN.get(scenario, "upstream_error")] in error["message"]


@each
@ways
def test_an_error_before_the_answer_is_a_status(client: NodeClient, streams: bool, reports: Reports) -> None:
    for report in reports(client, "error-first", streams):
        error = report["error"]
        assert client.refused in error["kinds"] and error["status"] in (500, 502)
        assert SAID["upstream_error"] in error["message"]
    for report in reports(client, "429", streams):
        error = report["error"]
        assert client.limited in error["kinds"] and error["status"] == 429
        assert error["retry_after"] in ("1", None)


@each
def test_an_error_behind_a_keep_alive_is_raised(client: NodeClient, reports: Reports) -> None:
    for report in reports(client, "late-429", True):
        error = report["error"]
        assert error is not None and report["text"] == ""
        assert (report["usage"] or {}).get("output", 0) == 0
        assert report["finish"] not in client.finishes


def test_the_gateway_agrees(gateway: GatewayProcess, reports: Reports) -> None:
    """One request for each job: no SDK tried again behind our back; and each ended as its scenario says."""
    assert reports(NODE_CLIENTS[0], "plain", True)
    accounts = gateway.accounts()
    asked = [f"{client.provider}-{scenario}" for client in NODE_CLIENTS for _, _, scenario in client.jobs()]
    assert sorted(account["route"] for account in accounts) == sorted(asked)
    outcomes = {**dict.fromkeys(MODELS, "completed"), **BROKEN}
    outcomes |= dict.fromkeys(("clean-error", "error-first", "429", "late-429"), "upstream_error")
    for account in accounts:
        assert account["outcome"] == outcomes[account["route"].partition("-")[2]], account["route"]
    slow = [account for account in accounts if account["route"].endswith("-slow") and account["streamed"]]
    # Lines of JSON have no room for a keep-alive.
    assert slow and all((account["keepalives"] >= 5) is (account["route"] != "ollama-slow") for account in slow)
    assert gateway.complaints() == []
