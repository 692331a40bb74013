"""The measure of redaction: what it tells, and that prose is hardly held back."""

from penstock.bench.redaction import measured, table


def test_every_text_is_measured() -> None:
    figures = measured(size=2000, repeats=1)
    prose = figures[0]
    assert prose.text == "prose"
    assert prose.chunks == 500
    assert prose.held_mean <= 4
    assert all(one.us_per_chunk > 0 and one.worst_ms > 0 for one in figures)
    assert len(table(figures).splitlines()) == 1 + len(figures) > 10
