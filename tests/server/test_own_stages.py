"""Stages of other packages, from an installed distribution to an answer; lists of words in files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.config import load
from penstock.server.own_stages import installed_stages
from penstock.server.word_lists import ListError, read_words
from penstock.stages.moderate.policy import ModeratePolicy
from penstock.testing.frames import DONE, chunk, finish, role
from penstock.testing.rig import Rig
from penstock.testing.steps import hdr, raw

PAGE = (Path(__file__).parents[2] / "docs" / "stages.md").read_text("utf-8")


@pytest.fixture
def shouting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package of the page, installed."""
    code, tested = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (toml,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    name, value = re.findall(r'^(\w+) = "(.*)"$', toml, re.MULTILINE)[0]
    (tmp_path / "shout.py").write_text(code)
    (tmp_path / "test_shout.py").write_text(tested)
    info = tmp_path / "shout-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shout\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[penstock.stages]\n{name} = {value}\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("shouting")
def test_the_test_of_the_page_passes() -> None:
    import test_shout  # type: ignore[import-not-found]

    test_shout.test_shout_is_exact()


@pytest.mark.usefixtures("shouting")
async def test_a_stage_of_ones_own_by_its_name(rig: Rig) -> None:
    upstream = await rig.upstream([hdr(), raw(role() + chunk("a pen")), raw(chunk("stock of pens") + finish() + DONE)])
    text = f"""
providers: {{p: {{wire: openai-chat, base_url: "{upstream.base_url}", api_key: sk-0123456789abcdef}}}}
routes: {{m: {{targets: [p/model], stages: [{{shout: {{words: [penstock, gateway]}}}}]}}}}
"""
    gateway = await rig.gateway(settings=load(text, {}, stages=installed_stages()))
    answer = await gateway.ask(stream=False)
    assert answer.json["choices"][0]["message"]["content"] == "a PENSTOCK of pens"
    assert (await gateway.record())["redactions"] == {"shouted": 1}


def test_a_list_is_a_word_a_line(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeff# ours\n\nbad word\n  worse  \n", "utf-8")
    assert read_words(str(path)) == ["bad word", "worse"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "cannot be read: No such file"), ("# none\n", "is empty"), ("x" * 201, "an entry of more than 200")],
)
def test_a_list_that_cannot_be_used(tmp_path: Path, content: str | None, expected: str) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ListError, match=expected):
        read_words(str(path))


async def test_a_list_of_a_file_blocks(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"word {number}" for number in range(3000)))
    upstream = await rig.upstream([hdr(), raw(role() + chunk("so wor")), raw(chunk("d 2999 it is") + finish() + DONE)])
    gateway = await rig.gateway(upstream, stages=(ModeratePolicy(lists=(("many", str(path)),)),))
    answer = await gateway.ask()
    assert b"2999" not in answer.body
    assert b'"content_filter"' in answer.body
    record = await gateway.record()
    assert (record["outcome"], record["redactions"]) == ("blocked", {"many": 1})
    assert "moderate: many" in record["reason"]
