"""M. The examples of clients that go on: each over a connection that is cut, the page over a reload as well."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from penstock.config.values import Config
from penstock.testing.front import Front
from penstock.testing.rig import Rig, config
from penstock.testing.steps import done, fin, hdr, role, tok, words
from penstock.testing.upstream import ScriptedUpstream

EXAMPLES = Path(__file__).parents[2] / "examples"
ANSWER = [hdr(), role(), tok(80, gap=0.02), fin(), done()]
BROWSERS = ("chromium-headless-shell", "chromium", "google-chrome")
HARNESS = b"""<!doctype html><meta charset="utf-8"><iframe src="/resume.html"></iframe><script>
  const frame = document.querySelector("iframe");
  const said = id => frame.contentDocument?.getElementById(id)?.textContent ?? "";
  const until = async holds => { while (!holds()) await new Promise(done => setTimeout(done, 10)); };
  const loaded = () => new Promise(done => frame.addEventListener("load", done, {once: true}));
  (async () => {
    await loaded();
    frame.contentDocument.getElementById("ask").requestSubmit();
    await until(() => said("state") === "waiting");
    const before = said("answer").length;
    await until(() => said("answer").length > before && said("state") === "live");
    const again = loaded();
    frame.contentWindow.location.reload();
    await again;
    await until(() => said("state") === "done");
    await fetch("/report", {method: "POST", body: said("answer")});
  })();
</script>"""


def settings(upstream: ScriptedUpstream) -> Config:
    """With the model that the examples ask for."""
    made = config([upstream], total=60)
    return msgspec.structs.replace(made, routes=(msgspec.structs.replace(made.routes[0], name="gpt-4o"),))


async def output(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        out, told = await process.communicate()
    assert process.returncode == 0, told.decode()
    return out.decode()


@pytest.mark.parametrize("command", [(sys.executable, "resume.py"), ("node", "resume.mjs")], ids=["python", "node"])
async def test_M1_a_client_goes_on_when_the_connection_is_cut(rig: Rig, command: tuple[str, str]) -> None:
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(settings=settings(upstream))
    async with Front(gateway.port, {}, cut_after=3000) as front:
        said = await output(command[0], str(EXAMPLES / command[1]), front.url, "Hello")
        assert (said.rstrip("\n"), front.cuts) == (words(80), 1)
    assert len(upstream.requests) == 1
    assert (await gateway.record())["leaving"] == "detach"


async def test_M1_a_page_goes_on_after_a_cut_and_after_a_reload(rig: Rig, tmp_path: Path) -> None:
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert browser is not None, "no Chromium: run tools/install-test-services"
    upstream = await rig.upstream(ANSWER)
    gateway = await rig.gateway(settings=settings(upstream))
    files = {
        "/harness": ("text/html", HARNESS),
        "/resume.html": ("text/html", (EXAMPLES / "resume.html").read_bytes()),
        "/resume.js": ("text/javascript", (EXAMPLES / "resume.js").read_bytes()),
    }
    async with Front(gateway.port, files, cut_after=3000) as front:
        process = await asyncio.create_subprocess_exec(
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-proxy-server", "--remote-debugging-port=0",
            f"--user-data-dir={tmp_path}", f"{front.url}/harness",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert await asyncio.wait_for(front.reported, 40) == words(80)
        finally:
            process.kill()
            await process.wait()
        assert front.cuts == 1
    assert len(upstream.requests) == 1
    assert (await gateway.record())["outcome"] == "completed"
