"""Bars as an SVG that is the same for the same figures, so that a diff shows what changed."""

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from bench.show import number

_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#97bbf5", "#9c6b4e")
_WIDTH, _NAMES, _BAR, _GAP, _HEAD = 900, 130, 16, 12, 34
_FIGURE = 70  # room for the figure behind the longest bar

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


def _page(height: int, drawn: Sequence[str]) -> str:
    size = f"width='{_WIDTH}' height='{height}' viewBox='0 0 {_WIDTH} {height}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} font-family='sans-serif' font-size='12'>"
    return "\n".join([head, "<rect width='100%' height='100%' fill='white'/>", *drawn, "</svg>", ""])


def _bar(left: float, top: float, length: float, colour: str) -> str:
    return f"<rect x='{left}' y='{top}' width='{length}' height='{_BAR - 2}' fill='{colour}'/>"


def _text(left: float, base: float, words: str, how: str = "") -> str:
    return f"<text x='{left}' y='{base}' {how}>{escape(words)}</text>".replace(" >", ">")
