"""The page that shows redaction: it is served, its script parses and asks for what there is."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from penstock.config.demo import SAMPLES, redaction_routes
from penstock.framing.sse import SSEFramer, parse
from penstock.pages import page
from penstock.testing.client import CHAT, Answer, RawClient
from penstock.testing.rig import request

PAGE = page("redaction").decode()
(SCRIPT,) = re.findall(r"<script>\n(.*?)</script>", PAGE, re.DOTALL)


@pytest.fixture
async def demo() -> AsyncIterator[int]:
    """The port of `penstock demo`."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock", "demo", "--port", "0",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        found = None
        async with asyncio.timeout(10):
            while found is None:
                line = (await process.stdout.readline()).decode()
                found = re.search(r"http://127.0.0.1:(\d+)/demo/redaction", line)
        yield int(found[1])
    finally:
        process.kill()
        await process.communicate()


async def get(port: int, path: str) -> Answer:
    client = await RawClient.connect("127.0.0.1", port)
    try:
        await client.request("GET", path)
        return await client.answer()
    finally:
        client.close()


async def text(port: int, model: str) -> str:
    client = await RawClient.connect("127.0.0.1", port)
    try:
        await client.post(CHAT, request(model), {"x-penstock-metadata": "final"})
        body = (await client.answer()).body
    finally:
        client.close()
    datas = [parse(frame).data or b"" for frame in SSEFramer().feed(body)]
    events = [json.loads(data) for data in datas if data.startswith(b"{")]
    assert any("penstock" in event for event in events)
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])


async def test_the_demo_serves_the_page_and_both_sides_of_every_sample(demo):
    served = await get(demo, "/demo/redaction")
    assert served.status == 200
    assert served.headers["content-type"] == "text/html; charset=utf-8"
    assert served.body.decode() == PAGE
    models = {model["id"] for model in json.loads((await get(demo, "/v1/models")).body)["data"]}
    assert {route.name for route in redaction_routes()} <= models
    sides = [f"demo/{name}/{side}" for name in SAMPLES for side in ("provider", "client")]
    said = dict(zip(sides, await asyncio.gather(*(text(demo, side) for side in sides)), strict=True))
    for name, sample in SAMPLES.items():
        assert said[f"demo/{name}/provider"] == sample
    assert said["demo/personal data/client"] == (
        "Write to [email], or call [phone] before noon. The refund goes to the account [iban], and the card was "
        "[credit_card]. Ask for Jane."
    )
    assert said["demo/secrets/client"] == (
        "Set the key [api_key] and the address https://[url_credentials]@db.example.com/prod, then restart [ip]. "
        "Never log either of them."
    )
    assert said["demo/nothing to find/client"] == SAMPLES["nothing to find"]


def test_the_page_needs_nothing_from_elsewhere():
    assert not re.search(r"""(?:src|href)=|@import|url\(""", PAGE)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_script_parses_and_tells_what_is_held(tmp_path: Path):
    pure = re.search(r"^function held\(.*?^}", SCRIPT, re.DOTALL | re.MULTILINE)
    assert pure is not None
    whole, part = tmp_path / "page.js", tmp_path / "held.js"
    whole.write_text(SCRIPT)
    subprocess.run(["node", "--check", str(whole)], check=True, timeout=20)
    cases = [
        ("Write to ja", "Write to ", "ja"),
        ("Write to jane.doe@exam", "Write to ", "jane.doe@exam"),
        ("Write to jane.doe@example.com, or ca", "Write to [email], or ", "ca"),
        ("a (b", "a (b", ""),
    ]
    checks = "".join(
        f"if (held({json.dumps(provider)}, {json.dumps(client)}) !== {json.dumps(held)}) throw {json.dumps(provider)};"
        for provider, client, held in cases
    )
    part.write_text(pure[0] + "\n" + checks)
    subprocess.run(["node", str(part)], check=True, timeout=20)
