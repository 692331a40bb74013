"""The documentation's configurations load, and its tables name every key."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.config import load
from penstock.config.access import KEYS
from penstock.config.capture_sinks import DATABASE, FILES, WEBHOOK
from penstock.config.capture_sinks import KEYS as SINKS
from penstock.config.journal import KEYS as JOURNAL
from penstock.config.loader import SERVER, TOP
from penstock.config.policies import DEADLINES, DELIVERY
from penstock.config.policies import KEYS as POLICY
from penstock.config.providers import KEYS as PROVIDER

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text("utf-8")
PAGES = [PAGE, *((ROOT / "docs" / name).read_text("utf-8") for name in ("buffered.md", "restart.md"))]
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", "\n".join(PAGES), re.MULTILINE | re.DOTALL)
EXAMPLE = (ROOT / "penstock.example.yaml").read_text("utf-8")


class Anything(dict[str, str]):
    """An environment in which every variable that names a credential is set."""

    def get(self, name, default=None):
        return f"a-value-of-{name}" if name.endswith("_KEY") else default


@pytest.mark.parametrize("text", [*BLOCKS, EXAMPLE])
def test_it_loads(text):
    assert load(text, Anything()).warnings == ()


def test_there_are_blocks():
    assert len(BLOCKS) >= 5


def test_the_example_holds_the_defaults():
    config = load(EXAMPLE, Anything())
    bare = load(
        "providers: {openai: {wire: openai-chat, base_url: 'https://api.openai.com/v1'}}\n"
        "routes: {'*': {targets: [openai/*]}}",
        {},
    )
    assert config.server == bare.server
    assert config.telemetry == bare.telemetry
    assert config.journal == bare.journal
    assert config.routes[-1] == bare.routes[0]


SECTIONS = {"files", "webhook", "database"}
EXPLAINED = sorted({*TOP, *SERVER, *KEYS, *DEADLINES, *DELIVERY, *POLICY, *PROVIDER, *JOURNAL, *SINKS} - SECTIONS)


@pytest.mark.parametrize("key", EXPLAINED)
def test_every_key_is_explained(key):
    assert f"`{key}" in PAGE


@pytest.mark.parametrize(
    "key",
    [
        *(f"files.{key}" for key in FILES),
        *(f"webhook.{key}" for key in WEBHOOK),
        *(f"database.{key}" for key in DATABASE),
    ],
)
def test_every_key_of_the_sinks_is_explained(key):
    assert f"`{key}`" in PAGE
