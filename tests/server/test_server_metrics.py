"""The metrics endpoint, read by Prometheus's own parser."""

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from penstock.config.values import Target
from penstock.testing.rig import LiveGateway, Rig, config
from penstock.testing.steps import cut, done, fin, hdr, st, tok, usage


async def series(gateway: LiveGateway) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Every series that a scrape finds."""
    answer = await gateway.get("/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.body.decode())
    return {(sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples}


async def test_every_family_parses_and_has_help(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(3, gap=0.01), fin(), usage(), done()], [hdr(), tok(1), cut()], [st(500)])
    gateway = await rig.gateway(upstream)
    for _ in range(3):
        await gateway.ask()
    await gateway.ask(model="nobody")
    text = (await gateway.get("/metrics")).body.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert all(family.documentation and family.name.startswith("penstock_") for family in families.values())
    outcomes = {s.labels["outcome"]: s.value for s in families["penstock_streams"].samples if s.name.endswith("_total")}
    assert outcomes == {"completed": 1, "upstream_cut": 1, "upstream_error": 1}
    histogram = families["penstock_time_to_first_token_seconds"]
    buckets = [sample for sample in histogram.samples if sample.name.endswith("_bucket")]
    assert [sample.value for sample in buckets] == sorted(sample.value for sample in buckets)
    assert buckets[-1].labels["le"] == "+Inf" and buckets[-1].value == 2
    refused = {sample.labels["reason"]: sample.value for sample in families["penstock_requests_refused"].samples}
    assert refused["model_not_found"] == 1


async def test_clients_cannot_make_the_series_grow(rig: Rig) -> None:
    """Model names, paths, keys and codes are the client's to invent; labels are the operator's."""
    upstream = await rig.upstream(
        lambda seen: (
            [st(404, {"error": {"message": "no", "code": seen.json["model"]}})]
            if "bad" in seen.json["model"]
            else [hdr(), tok(2), fin(), usage(), done()]
        )
    )
    settings = config([upstream])
    every = msgspec.structs.replace(settings.routes[0], name="*", targets=(Target("m1", "*"),))
    gateway = await rig.gateway(settings=msgspec.structs.replace(settings, routes=(*settings.routes, every)))
    rounds = []
    for number in range(3):
        for name in (f"model-{number}", f"bad-{number}", f'quote"{number}', "m"):
            await gateway.ask(model=name)
            await gateway.ask(stream=False, model=name)
        await gateway.get(f"/nothing/{number}")
        await gateway.ask(headers={"x-api-key": f"{number}"}, stream_options=number)
        rounds.append(await series(gateway))
    assert rounds[0] == rounds[1] == rounds[2]
    assert not any("model-" in value or "bad-" in value for _, labels in rounds[2] for _, value in labels)


async def test_metrics_can_be_switched_off(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), tok(1), fin(), done()])
    settings = config([upstream])
    telemetry = msgspec.structs.replace(settings.telemetry, prometheus=False)
    gateway = await rig.gateway(settings=msgspec.structs.replace(settings, telemetry=telemetry))
    assert (await gateway.get("/metrics")).status == 404
