"""Arguments of a tool call that come in pieces with paths: as pieces of JSON text they are the same arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.gemini_arguments import ArgumentPieces

KEYS = st.text("abcé ", min_size=1, max_size=4)
LEAVES = st.text('ab"\\\n😀', max_size=6) | st.integers(-9, 9) | st.booleans() | st.none() | st.just(0.5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(KEYS, inner, min_size=1, max_size=3),
    max_leaves=10,
)


def piece(path: str, value: Any, **more: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"jsonPath": path, "stringValue": value, **more}
    if isinstance(value, bool):
        return {"jsonPath": path, "boolValue": value, **more}
    if value is None:
        return {"jsonPath": path, "nullValue": "NULL_VALUE", **more}
    return {"jsonPath": path, "numberValue": value, **more}


def pieces(value: Any, path: str, split: int) -> list[dict[str, Any]]:
    """The pieces in which Google would send ``value``: leaves in order, strings in several, with an empty last one."""
    if isinstance(value, dict):
        return [p for name, inner in value.items() for p in pieces(inner, f"{path}.{name}", split)]
    if isinstance(value, list):
        return [p for place, inner in enumerate(value) for p in pieces(inner, f"{path}[{place}]", split)]
    if isinstance(value, str) and split:
        parts = [value[i : i + split] for i in range(0, len(value), split)]
        return [*(piece(path, part, willContinue=True) for part in parts), piece(path, "")]
    return [piece(path, value)]


def told(several: list[dict[str, Any]]) -> str:
    arguments = ArgumentPieces()
    return "".join([*(arguments.add(one) for one in several), arguments.close()])


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.integers(0, 3))
def test_the_text_is_the_arguments(value, split):
    assert json.loads(told(pieces(value, "$", split))) == value


def test_it_streams():
    arguments = ArgumentPieces()
    assert arguments.add(piece("$.city", "Bos", willContinue=True)) == '{"city":"Bos'
    assert arguments.add(piece("$.city", 't"on', willContinue=True)) == 't\\"on'
    assert arguments.add(piece("$.city", "")) == ""
    assert arguments.add(piece("$.days[0].n", 1)) == '","days":[{"n":1'
    assert arguments.add(piece("$.days[1].n", 2)) == '},{"n":2'
    assert arguments.close() == "}]}"
    assert arguments.close() == ""


def test_no_arguments_are_an_empty_object():
    assert told([]) == "{}"


@pytest.mark.parametrize("path", ["$['a.b'].c", '$["a.b"].c'])
def test_names_in_brackets(path):
    assert json.loads(told([piece(path, 1)])) == {"a.b": {"c": 1}}


def test_a_piece_without_a_value_is_nothing():
    assert told([{"jsonPath": "$.a"}, piece("$.b", 1)]) == '{"b":1}'


OUT_OF_ORDER = {
    "back into a closed object": [piece("$.a.x", 1), piece("$.b", 1), piece("$.a.y", 1)],
    "the same place twice": [piece("$.a", 1), piece("$.a", 2)],
    "an index left out": [piece("$.a[0]", 1), piece("$.a[2]", 1)],
    "a name in an array": [piece("$.a[0]", 1), piece("$.a.x", 1)],
    "no place": [piece("$", 1)],
}


@pytest.mark.parametrize("several", OUT_OF_ORDER.values(), ids=OUT_OF_ORDER)
def test_pieces_that_json_cannot_say_are_an_error(several):
    with pytest.raises(ValueError):
        told(several)
