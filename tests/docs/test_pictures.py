"""The pictures of docs/failover.md are what the policies draw today."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from penstock.testing.outage_pictures import PICTURES, main
from penstock.testing.picture import Curve, Panel, picture, ticks

DOCS = Path(__file__).parents[2] / "docs"


def test_the_command_draws_what_is_shown(tmp_path: Path) -> None:
    main(tmp_path)
    for name in PICTURES:
        shown, drawn = (folder / f"{name}.svg" for folder in (DOCS / "failover", tmp_path))
        assert drawn.read_text() == shown.read_text(), f"{name}.svg is not current: run `make outages`"
        assert f"](failover/{name}.svg)" in (DOCS / "failover.md").read_text()
        assert shown.stat().st_size < 20_000
    assert {path.stem for path in (DOCS / "failover").iterdir()} == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_every_axis_has_its_unit_and_every_curve_its_name(name: str) -> None:
    root = ET.parse(DOCS / "failover" / f"{name}.svg").getroot()
    words = [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("seconds") == 2
    assert {"1/s", "s"} & set(words)
    assert len(words) > 20 and all(word.strip() for word in words)


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1.0, [0, 0.5, 1.0]), (4.0, [0, 1, 2, 3, 4]), (113.0, [0, 50, 100, 150]), (5.9, [0, 2, 4, 6])],
)
def test_ticks_are_round_and_reach_the_highest_value(most: float, expected: list[float]) -> None:
    assert ticks(most) == pytest.approx(expected)


def test_a_curve_is_broken_where_nothing_is_known() -> None:
    drawn = picture([Panel(title="<t>", unit="s", curves=[Curve("c", [1.0, None, 2.0, 1.0])])])
    (path,) = [line for line in drawn.splitlines() if 'fill="none"' in line]
    assert path.count("M") == 2 and path.count("L") == 1
    assert "&lt;t&gt;" in drawn
    ET.fromstring(drawn)


def test_a_curve_of_nothing_is_drawn_too() -> None:
    ET.fromstring(picture([Panel(title="t", unit="s", curves=[Curve("c", [0, 0])])]))
