"""Bars as an SVG that is the same for the same figures, so that a diff shows what changed."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from bench.show import number

_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#97bbf5", "#9c6b4e")
_WIDTH, _NAMES, _BAR, _GAP, _HEAD = 900, 130, 16, 12, 34
_FIGURE = 70  # room for the figure behind the longest bar
_HEIGHT, _AXIS = 320, 44  # of lines over time, and the room for what stands beside their scale

Groups = Mapping[str, Sequence[tuple[str, float]]]
"""Bars by the setting that they stand under: what, and how much."""


def bars(title: str, groups: Groups) -> str:
    """Horizontal bars, all on one scale, one colour for each contestant, with a legend."""
    names = list(dict.fromkeys(what for group in groups.values() for what, _ in group))
    colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
    most = max((value for group in groups.values() for _, value in group), default=0.0) or 1.0
    drawn = [_text(8, 20, title, "font-weight='bold'")]
    top = _HEAD
    for at, group in groups.items():
        drawn.append(_text(8, top + _BAR - 4, at))
        for what, value in group:
            length = round(value / most * (_WIDTH - _NAMES - _FIGURE), 1)
            drawn.append(_bar(_NAMES, top, length, colours[what]))
            drawn.append(_text(_NAMES + length + 5, top + _BAR - 4, number(value)))
            top += _BAR
        top += _GAP
    for name, colour in colours.items():
        drawn += [_bar(_NAMES, top, _BAR, colour), _text(_NAMES + _BAR + 6, top + _BAR - 4, name)]
        top += _BAR
    return _page(top + _GAP, drawn)


def lines(title: str, series: Mapping[str, Sequence[float]]) -> str:
    """One line for each name, a value a minute, from zero up, the highest last value first in the legend beside it."""
    names = sorted(series, key=lambda name: -series[name][-1])
    right = max(len(values) for values in series.values()) - 1 or 1
    top = max(value for values in series.values() for value in values) or 1.0
    width, foot = _WIDTH - _NAMES - _FIGURE - _AXIS, _HEAD + _HEIGHT
    drawn = [_text(8, 20, title, "font-weight='bold'"), _bar(_AXIS, foot, width, "black", 1)]
    for number_of_four in range(5):
        drawn.append(_text(_AXIS + width * number_of_four / 4, foot + _BAR, number(right * number_of_four / 4)))
        drawn.append(_text(4, foot - _HEIGHT * number_of_four / 4, number(top * number_of_four / 4)))
    for index, name in enumerate(names):
        points = [(_AXIS + at / right * width, foot - value / top * _HEIGHT) for at, value in enumerate(series[name])]
        drawn.append(_line(points, _COLOURS[index]))
        drawn.append(_bar(_AXIS + width + _GAP, _HEAD + index * _BAR, _GAP, _COLOURS[index]))
        words = f"{name} {number(series[name][-1])}"
        drawn.append(_text(_AXIS + width + 2 * _GAP + 6, _HEAD + index * _BAR + _GAP, words))
    return _page(foot + 2 * _GAP, drawn)


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{left:.1f},{up:.1f}" for left, up in points)
    return f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='1.5'/>"


def _page(height: int, drawn: Sequence[str]) -> str:
    size = f"width='{_WIDTH}' height='{height}' viewBox='0 0 {_WIDTH} {height}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} font-family='sans-serif' font-size='12'>"
    return "\n".join([head, "<rect width='100%' height='100%' fill='white'/>", *drawn, "</svg>", ""])


def _bar(left: float, top: float, length: float, colour: str, height: int = _BAR - 2) -> str:
    return f"<rect x='{left}' y='{top}' width='{length}' height='{height}' fill='{colour}'/>"


def _text(left: float, base: float, words: str, how: str = "") -> str:
    return f"<text x='{left}' y='{base}' {how}>{escape(words)}</text>".replace(" >", ">")
