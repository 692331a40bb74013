"""What workers say together, and what a reload may change."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from penstock.config.renewal import renewed
from penstock.config.values import CaptureSinks, Config, Journal, Provider, Route, Server, Target, Telemetry
from penstock.server.siblings import Siblings
from penstock.telemetry.merged import merged
from penstock.telemetry.metrics import Metrics

OLD = Config(
    server=Server(port=8080, workers=2),
    providers=(Provider(name="a", wire="openai-chat", base_url="http://a/v1"),),
    routes=(Route(name="m", targets=(Target("a", "x"),)),),
)


def text(refused: int) -> bytes:
    metrics = Metrics(active=lambda: refused)
    for _ in range(refused):
        metrics.refused("not_found")
    return metrics.text()


def test_the_metrics_of_workers_are_one_exposition() -> None:
    families = list(text_string_to_metric_families(merged({"1": text(3), "2": text(5)}).decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    found = {(sample.name, sample.labels["worker"]): sample.value for family in families for sample in family.samples}
    assert found["penstock_streams_active", "1"] == 3 and found["penstock_streams_active", "2"] == 5
    (refused,) = [family for family in families if family.name == "penstock_requests_refused"]
    assert {(sample.labels["worker"], sample.labels["reason"], sample.value) for sample in refused.samples} >= {
        ("1", "not_found", 3.0),
        ("2", "not_found", 5.0),
    }


def test_one_worker_alone_has_its_families_whole() -> None:
    alone = {family.name for family in text_string_to_metric_families(text(1).decode())}
    assert {family.name for family in text_string_to_metric_families(merged({"1": text(1)}).decode())} == alone


async def test_a_worker_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    first, second = (Siblings(tmp_path, number, 3, lambda: text(1)) for number in (1, 2))
    await first.start()
    await second.start()
    try:
        said = (await first.metrics()).decode()
        assert 'worker="1"' in said and 'worker="2"' in said and 'worker="3"' not in said
        await second.close()
        assert 'worker="2"' not in (await first.metrics()).decode()
    finally:
        await first.close()
    await asyncio.sleep(0)


def test_a_reload_changes_all_but_what_waits_for_a_restart() -> None:
    new = msgspec.structs.replace(
        OLD,
        server=Server(port=9090, workers=4, drain=5.0, max_body=2048),
        providers=(Provider(name="b", wire="openai-chat", base_url="http://b/v1"),),
        routes=(Route(name="m", targets=(Target("b", "y"),)),),
        journal=Journal(ttl=5.0),
        capture=CaptureSinks(),
        telemetry=Telemetry(prometheus=False, log="console"),
    )
    config, waiting = renewed(OLD, new)
    assert (config.providers, config.routes) == (new.providers, new.routes)
    assert config.server == Server(port=8080, workers=2, drain=5.0, max_body=2048)
    assert config.telemetry == Telemetry(prometheus=False, log="json") and config.journal == OLD.journal
    assert config.capture is None
    assert set(waiting) == {"server.port", "server.workers", "telemetry.log", "journal", "capture"}
    assert renewed(OLD, OLD) == (OLD, ())
