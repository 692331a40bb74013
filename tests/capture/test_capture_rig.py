"""Copies of streams, over real sockets."""

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from capture_peers import Collector, lines_of, sinks
from cryptography.fernet import Fernet

from penstock.capture.keeper import Keeper
from penstock.capture.seal import sealer
from penstock.config.values import Route
from penstock.errors import PenstockError
from penstock.policy.capture import Capture
from penstock.server.copying import Copying
from penstock.stages.redact.policy import RedactPolicy
from penstock.testing.frames import DONE, chunk, finish, role, usage
from penstock.testing.playbook import plan
from penstock.testing.rig import LiveGateway, Rig, until
from penstock.testing.steps import hdr, raw

EMAIL = (RedactPolicy(detectors=("email",)),)
ANSWER = [role(), chunk("mail jane@exam"), chunk("ple.com now"), finish(), usage(9, 4), DONE]


async def gateway_with(rig: Rig, folder: Path, capture: Capture, *, url: str | None = None, **more: Any) -> LiveGateway:
    upstream = await rig.upstream(*[[hdr(), *map(raw, ANSWER)]] * 3)
    stages = more.pop("stages", EMAIL)
    fields = {"capture": capture, "tags": (("policy", "eu-1"),)}
    settings = sinks(folder, url, **more)
    return await rig.gateway(upstream, stages=stages, route_fields=fields, capture=settings)


async def kept(gateway: LiveGateway, count: int, sink: str = "files", fate: str = "kept") -> None:
    name = f'penstock_captures_total{{fate="{fate}",sink="{sink}"}}'
    await until(lambda: gateway.metrics.get(name) == count, within=8.0, what=f"{fate} {count}: {gateway.metrics}")


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "folded"])
async def test_a_redacted_copy_is_what_the_client_got(rig, tmp_path, stream):
    gateway = await gateway_with(rig, tmp_path, Capture())
    answer = await gateway.ask(stream=stream, user="bob@example.com", messages=[
        {"role": "user", "content": "from bob@example.com"},
    ])  # fmt: skip
    await kept(gateway, 1)
    [copy] = lines_of(tmp_path / "copies")
    assert copy["content"] == "redacted"
    assert copy["whole"] is True
    assert copy["outcome"] == "completed"
    assert copy["text"] == "mail [email] now"
    assert copy["answer"]["choices"][0]["message"]["content"] == "mail [email] now"
    assert copy["request"]["messages"] == [{"role": "user", "content": "from [email]"}]
    assert copy["tags"] == {"policy": "eu-1"}
    assert copy["redactions"] == {"email": 1}
    assert copy["usage"]["output"] == 4
    assert copy["stream"] == (await gateway.record())["stream"]
    assert copy["path"] == "/v1/chat/completions"
    if stream:
        assert "".join(frame for _, frame in copy["events"]).encode() == answer.body
    instants = [instant for instant, _ in copy["events"]]
    assert instants == sorted(instants)
    assert 0 <= instants[0] <= instants[-1] <= copy["duration_ms"] + 1
    assert "jane" not in json.dumps(copy["answer"]) + copy["text"] + json.dumps(copy["events"])


async def test_an_original_copy_is_what_the_provider_sent_and_nobody_reads_it_without_the_key(rig, tmp_path):
    key = Fernet.generate_key().decode()
    gateway = await gateway_with(rig, tmp_path, Capture(content="original"), key=key)
    answer = await gateway.ask(messages=[{"role": "user", "content": "from bob@example.com"}])
    assert b"jane" not in answer.body
    await kept(gateway, 1)
    text = (tmp_path / "copies" / "000000001.jsonl").read_text()
    assert "example.com" not in text
    [copy] = lines_of(tmp_path / "copies")
    assert copy["content"] == "original"
    assert not {"request", "events", "text", "answer"} & set(copy)
    said = json.loads(Fernet(key).decrypt(copy["sealed"]))
    assert said["text"] == "mail jane@example.com now"
    assert said["request"]["messages"][0]["content"] == "from bob@example.com"
    # Usage that the client has not asked for is not shown to it, nor is it in the frames.
    assert "".join(frame for _, frame in said["events"]).encode() == b"".join(ANSWER[:4] + ANSWER[5:])


async def test_failed_streams_are_copied_with_what_there_was(rig, tmp_path):
    upstream = await rig.upstream([hdr(), raw(role() + chunk("Hi"))])
    gateway = await rig.gateway(upstream, route_fields={"capture": Capture()}, capture=sinks(tmp_path))
    await gateway.ask()
    await kept(gateway, 1)
    [copy] = lines_of(tmp_path / "copies")
    assert copy["outcome"] == "upstream_cut"
    assert copy["reason"]
    assert copy["text"] == "Hi"


async def test_a_copy_is_bounded_and_says_so(rig, tmp_path):
    gateway = await gateway_with(rig, tmp_path, Capture(), max_copy=200)
    await gateway.ask()
    await kept(gateway, 1)
    [copy] = lines_of(tmp_path / "copies")
    assert copy["whole"] is False
    assert len(copy["events"]) < 5


def test_a_share_of_the_streams(tmp_path):
    chances = iter([0.05, 0.1, 0.5, 0.0999])
    keeper = Keeper(sinks(tmp_path))
    copying = Copying(keeper, lambda: 0.0, lambda: next(chances))
    route = Route(name="m", targets=(), capture=Capture(sample=0.1))
    assert [copying.planned(plan(), route).tape is not None for _ in range(4)] == [True, False, False, True]
    copying.close()


def test_workers_of_one_gateway_have_folders_of_their_own(tmp_path):
    settings = sinks(tmp_path, "http://127.0.0.1:1/in")
    keepers = [Keeper(settings, number) for number in (1, 2)]
    with pytest.raises(PenstockError, match="in use by another gateway"):
        Keeper(settings, 2)
    for keeper in keepers:
        keeper.close()
    assert {path.name for path in (tmp_path / "copies").iterdir()} == {"worker-1", "worker-2"}
    assert {path.name for path in (tmp_path / "spool").iterdir()} == {"worker-1", "worker-2"}


async def test_a_route_without_capture_is_not_copied(rig, tmp_path):
    upstream = await rig.upstream([hdr(), *map(raw, ANSWER)])
    gateway = await rig.gateway(upstream, capture=sinks(tmp_path))
    await gateway.ask()
    assert gateway.metric("penstock_captures_total") == 0
    assert lines_of(tmp_path / "copies") == []


async def test_a_webhook_gets_every_copy_in_order(rig, tmp_path):
    with Collector() as collector:
        gateway = await gateway_with(rig, tmp_path, Capture(), url=collector.url, files=False)
        for _ in range(3):
            await gateway.ask()
        await kept(gateway, 3, "webhook", "delivered")
        assert [line["stream"] for line in collector.lines] == [record["stream"] for record in gateway.records]
        assert collector.requests[0][1]["content-type"] == "application/x-ndjson"
        await until(lambda: gateway.metric("penstock_captures_total", sink="files") == 0)


async def test_a_webhook_that_is_out_of_order_for_a_while_gets_them_later(rig, tmp_path):
    with Collector(503) as collector:
        gateway = await gateway_with(rig, tmp_path, Capture(), url=collector.url)
        await gateway.ask()
        await kept(gateway, 1, "webhook", "delivered")
        assert [status for status, _ in collector.requests] == [503, 204]


async def test_what_a_webhook_will_never_take_is_given_up(rig, tmp_path):
    with Collector(422) as collector:
        gateway = await gateway_with(rig, tmp_path, Capture(), url=collector.url)
        await gateway.ask()
        await kept(gateway, 1, "webhook", "refused")
        await gateway.ask()
        await kept(gateway, 1, "webhook", "delivered")
        assert len(collector.lines) == 1


async def test_a_webhook_that_hangs_harms_nothing_and_delays_no_stop(rig, tmp_path):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(8)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/in"
        gateway = await gateway_with(rig, tmp_path, Capture(), url=url)
        answer = await gateway.ask()
        assert answer.body.endswith(DONE)
        await kept(gateway, 1, "webhook")
        async with asyncio.timeout(5):
            await gateway.gateway.application.close()
        assert gateway.metric("penstock_capture_spool_bytes") > 0
        connection, _ = deaf.accept()
        connection.close()


def test_without_cryptography_a_key_is_refused_in_words(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    with pytest.raises(PenstockError, match=r"pip install 'penstock\[capture\]'"):
        sealer(Fernet.generate_key().decode())


async def test_without_room_in_memory_copies_are_dropped_and_counted(rig, tmp_path):
    gateway = await gateway_with(rig, tmp_path, Capture(), memory=100)
    answer = await gateway.ask()
    assert answer.body.endswith(DONE)
    await kept(gateway, 1, fate="dropped")
