"""Curves over time as SVG: panels below each other, axes with units, nothing that depends on the machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

import msgspec

WIDTH, HEIGHT = 760, 180
"""Of a picture, and of a panel in it, pixels."""
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 44, 34
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df")


class Curve(msgspec.Struct, frozen=True):
    """A value for each second from 0; None where there is none."""

    name: str
    values: Sequence[float | None]


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """Curves that share an axis, which begins at 0. ``shaded``: from when to when, seconds, and what that is."""

    title: str
    unit: str
    curves: Sequence[Curve]
    shaded: tuple[float, float, str] | None = None

    @property
    def seconds(self) -> int:
        """The length of the longest curve."""
        return max(len(curve.values) for curve in self.curves)

    @property
    def most(self) -> float:
        """The highest value."""
        return max((value for curve in self.curves for value in curve.values if value is not None), default=1.0) or 1.0


def picture(panels: Sequence[Panel]) -> str:
    """The panels as a whole SVG file."""
    height = HEIGHT * len(panels)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        lines += [f'<g transform="translate(0 {number * HEIGHT})">', *_panel(panel), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


def ticks(most: float, about: int = 4) -> list[float]:
    """Round values from 0 to at least ``most``, about that many steps."""
    rough = most / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    return [step * place for place in range(math.ceil(most / step - 1e-9) + 1)]


def _panel(panel: Panel) -> Iterable[str]:
    marks = ticks(panel.most)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(second: float) -> str:
        return f"{LEFT + wide * second / max(1, panel.seconds - 1):.1f}"

    def y(value: float) -> str:
        return f"{TOP + high * (1 - value / marks[-1]):.1f}"

    yield f'<text x="{LEFT}" y="16" font-weight="bold">{escape(panel.title)}</text>'
    if panel.shaded is not None:
        start, end, why = panel.shaded
        width = float(x(end)) - float(x(start))
        yield f'<rect x="{x(start)}" y="{TOP}" width="{width:.1f}" height="{high}" fill="#fff1e5"/>'
        yield f'<text x="{WIDTH - RIGHT}" y="{TOP - 10}" text-anchor="end" fill="#953800">{escape(why)}</text>'
    for mark in marks:
        yield f'<path d="M{LEFT} {y(mark)}H{WIDTH - RIGHT}" stroke="#d8dee4" stroke-width="0.7"/>'
        yield f'<text x="{LEFT - 6}" y="{y(mark)}" dy="4" text-anchor="end">{mark:g}</text>'
    for second in range(0, panel.seconds, 10 if panel.seconds <= 100 else 20):
        yield f'<text x="{x(second)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{second}</text>'
    yield f'<text x="{LEFT - 6}" y="{TOP - 10}" text-anchor="end">{escape(panel.unit)}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">seconds</text>'
    place = LEFT + 10.0
    for curve, colour in zip(panel.curves, COLOURS, strict=False):
        yield f'<path d="{_line(curve, x, y)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
        yield f'<path d="M{place:.0f} {TOP - 14}h16" stroke="{colour}" stroke-width="3"/>'
        yield f'<text x="{place + 22:.0f}" y="{TOP - 10}">{escape(curve.name)}</text>'
        place += 44 + 6.6 * len(curve.name)


def _line(curve: Curve, x: Callable[[float], str], y: Callable[[float], str]) -> str:
    """A path; it is broken where there is no value."""
    steps: list[str] = []
    pen = "M"
    for second, value in enumerate(curve.values):
        if value is None:
            pen = "M"
            continue
        steps.append(f"{pen}{x(second)} {y(value)}")
        pen = "L"
    return "".join(steps)
