"""I. Moderation: local rules and a service that is asked, on every wire and both ways of answering."""

from typing import Any

import pytest
from endings import STREAM
from test_I_guardrails import FILTERED
from wire_clients import Told
from wire_providers import ALL, CHAT, Provider

from penstock.stages.moderate.policy import CheckPolicy, ModeratePolicy
from penstock.testing.frames import DONE, chunk, finish, role
from penstock.testing.moderation import service
from penstock.testing.rig import Rig, until
from penstock.testing.steps import hdr, pause, raw
from penstock.testing.upstream import ScriptedUpstream

WIRE = pytest.mark.parametrize("provider", ALL.values(), ids=ALL)
DENY = ModeratePolicy(deny=("w1",))


def asking(moderation: ScriptedUpstream, **policy: Any) -> tuple[ModeratePolicy]:
    url = f"{moderation.base_url}/moderations"
    return (ModeratePolicy(check=CheckPolicy(**{"url": url, "api_key": "sk-moderation-secret", **policy})),)


async def asked(
    rig: Rig, provider: Provider, stream: bool, stages: Any, **options: Any
) -> tuple[Told, int, dict[str, Any]]:
    upstream = await rig.upstream(provider.answer())
    gateway = await rig.gateway(upstream, wire=provider.wire, stages=stages, **options)
    answer = await provider.speaker.ask(gateway, stream)
    return provider.speaker.told(answer), answer.status, await gateway.record()


@WIRE
@STREAM
async def test_I1_a_word_of_the_list_is_blocked_on_every_route(rig: Rig, provider: Provider, stream: bool) -> None:
    told, status, record = await asked(rig, provider, stream, (DENY,))
    assert (record["outcome"], record["reason"].count("moderate: deny")) == ("blocked", 1)
    if stream:
        assert (status, told.text, told.successes) == (200, "w0 ", FILTERED.get(provider.client, []))
    else:
        assert (status, told.text) == (400, "")


@WIRE
@STREAM
@pytest.mark.parametrize("mode", ["block", "window", "audit"])
async def test_I6_what_the_service_flags_ends_the_answer(rig: Rig, provider: Provider, stream: bool, mode: str) -> None:
    moderation = await rig.upstream(service(["w1"]))
    told, status, record = await asked(rig, provider, stream, asking(moderation, mode=mode))
    assert record["outcome"] == "blocked"
    assert record["checks"] == {"flagged": 1}
    assert record["redactions"] == {"violence": 1}
    if mode == "audit" and stream:
        assert (status, told.successes) == (200, FILTERED.get(provider.client, []))
        assert told.text.startswith("w0 w1")
    else:
        assert (status, told.text) == (400, "")
    assert moderation.requests[0].json["input"] == ["w0 w1 w2 "]


@WIRE
@STREAM
async def test_I8_a_good_answer_passes_after_one_question(rig: Rig, provider: Provider, stream: bool) -> None:
    moderation = await rig.upstream(service(["nothing like it"]))
    told, status, record = await asked(rig, provider, stream, asking(moderation))
    assert (status, told.error, told.text) == (200, None, "w0 w1 w2 ")
    assert (record["outcome"], record["checks"]) == ("completed", {"passed": 1})
    assert len(moderation.requests) == 1
    assert moderation.requests[0].headers["authorization"] == "Bearer sk-moderation-secret"


FAILURES: dict[str, Any] = {
    "500": service(status=500),
    "never": service(delay=None),
    "no JSON": [hdr(content_type="application/json"), raw(b"<html>")],
    "too few": [hdr(content_type="application/json"), raw(b'{"results":[]}')],
}


@STREAM
@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("on_failure", ["block", "pass"])
async def test_I9_a_service_that_fails_does_what_the_route_says(
    rig: Rig, stream: bool, failure: str, on_failure: str
) -> None:
    moderation = await rig.upstream(FAILURES[failure])
    stages = asking(moderation, on_failure=on_failure, timeout=0.2)
    told, status, record = await asked(rig, CHAT, stream, stages)
    assert record["checks"] == {"failed": 1}
    if on_failure == "pass":
        assert (status, told.text, record["outcome"]) == (200, "w0 w1 w2 ", "completed")
        assert record["warnings"][0].startswith("passed unchecked: ")
    else:
        assert (status, told.text, record["outcome"]) == (503, "", "blocked")
        assert "could not be checked" in record["reason"]


async def test_I9_nobody_at_the_service_is_a_failure_too(rig: Rig) -> None:
    check = CheckPolicy(url="http://127.0.0.1:9/moderations", on_failure="pass")
    told, _, record = await asked(rig, CHAT, True, (ModeratePolicy(check=check),))
    assert (told.text, record["checks"]) == ("w0 w1 w2 ", {"failed": 1})


async def test_I8_a_text_that_was_checked_is_not_asked_about_again(rig: Rig) -> None:
    moderation = await rig.upstream(service(["bad"]))
    upstream = await rig.upstream([hdr(), raw(role() + chunk("fine") + finish() + DONE)])
    gateway = await rig.gateway(upstream, stages=asking(moderation, prompt=True))
    messages = [{"role": "user", "content": "first"}]
    for more in ("second", "third"):
        assert (await gateway.ask(messages=messages)).status == 200
        await gateway.record()
        messages += [{"role": "assistant", "content": "fine"}, {"role": "user", "content": more}]
    inputs = [text for request in moderation.requests for text in request.json["input"]]
    assert sorted(inputs) == ["fine", "first", "second"]
    answer = await gateway.ask(messages=[*messages, {"role": "user", "content": "a bad thing"}])
    assert (answer.status, answer.json["error"]["code"]) == (400, "blocked")


async def test_a_webhook_is_asked_in_its_own_words(rig: Rig) -> None:
    moderation = await rig.upstream(service(["w1"], category="house rules"))
    stages = asking(moderation, kind="webhook", headers=(("x-team", "a"),), categories=("house rules",))
    _, status, record = await asked(rig, CHAT, False, stages)
    assert (status, record["redactions"]) == (400, {"house rules": 1})
    assert moderation.requests[0].json == {"texts": ["w0 w1 w2 "]}
    assert moderation.requests[0].headers["x-team"] == "a"


async def test_the_question_is_given_up_with_its_stream(rig: Rig) -> None:
    moderation = await rig.upstream(service(delay=None))
    upstream = await rig.upstream([hdr(), raw(role() + chunk("text")), pause(5)])
    gateway = await rig.gateway(upstream, between_tokens=None, stages=asking(moderation, delay=0.0, timeout=60.0))
    client = await gateway.open()
    asked_ = await moderation.asked()
    client.close()
    await asked_.closed(within=1.0)
    assert (await gateway.record())["outcome"] == "client_closed"


async def test_metrics_count_checks_by_how_they_went(rig: Rig) -> None:
    moderation = await rig.upstream(service(["w1"]))
    upstream = await rig.upstream(CHAT.answer())
    gateway = await rig.gateway(upstream, stages=asking(moderation))
    await gateway.ask()
    await until(lambda: gateway.metric("penstock_checks_total", result="flagged") == 1)
    await gateway.record()
