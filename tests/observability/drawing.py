"""A dashboard as a picture: its panels as Grafana would lay them out, with the lines of a real run, as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from xml.sax.saxutils import escape

from deploy.observability.boards import Dashboard, Panel

_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2", "#97bbf5", "#9c6b4e")
_WIDTH, _HEIGHT, _COLUMNS, _LEGEND = 430, 265, 3, 6
_PLOT = (58, 30, 350, 110)  # left, top, width, height within a panel


@dataclass(frozen=True)
class Line:
    """A legend and its points: seconds since the beginning, and value."""

    legend: str
    points: Sequence[tuple[float, float]]


Drawn = Sequence[tuple[Panel, Sequence[Line]]]


def picture(dashboard: Dashboard, drawn: Drawn, seconds: float) -> str:
    """All panels, three in a row, over the same `seconds`."""
    rows = -(-len(drawn) // _COLUMNS)
    size = f"width='{_WIDTH * _COLUMNS}' height='{_HEIGHT * rows + 30}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size} font-family='sans-serif' font-size='11'>"
    parts = [head, "<rect width='100%' height='100%' fill='white'/>", _text(10, 20, dashboard.title, "bold")]
    for number, (panel, lines) in enumerate(drawn):
        row, column = divmod(number, _COLUMNS)
        place = f"translate({column * _WIDTH},{row * _HEIGHT + 30})"
        parts += [f"<g transform='{place}'>", *_panel(panel, lines, seconds), "</g>"]
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, lines: Sequence[Line], seconds: float) -> list[str]:
    left, top, width, height = _PLOT
    most = max((value for line in lines for _, value in line.points), default=0.0) or 1.0
    parts = [
        _text(left, 18, panel.title, "bold"),
        f"<path d='M{left},{top}v{height}h{width}' fill='none' stroke='#999'/>",
        _text(left - 5, top + 8, _amount(most, panel.unit), anchor="end"),
        _text(left - 5, top + height, "0", anchor="end"),
        _text(left + width, top + height + 13, f"{seconds:.0f} s", anchor="end"),
    ]
    colours = cycle(_COLOURS)
    for number, line in enumerate(sorted(lines, key=lambda line: -max(value for _, value in line.points))):
        colour = next(colours)
        points = " ".join(
            f"{left + at / seconds * width:.0f},{top + height - value / most * height:.1f}" for at, value in line.points
        )
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='1.5'/>")
        if number < _LEGEND:
            parts.append(_text(left, top + height + 28 + 14 * number, line.legend, colour=colour))
    if len(lines) > _LEGEND:
        parts.append(_text(left, top + height + 28 + 14 * _LEGEND, f"and {len(lines) - _LEGEND} more"))
    return parts if lines else [*parts, _text(left + width / 2, top + 60, "nothing happened", anchor="middle")]


def _amount(value: float, unit: str) -> str:
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    return f"{value:.3g}" + {"s": " s", "ms": " ms", "reqps": "/s"}.get(unit, "")


def _text(
    left: float, base: float, words: str, weight: str = "normal", colour: str = "#333", anchor: str = "start"
) -> str:
    place = f"x='{left}' y='{base}' text-anchor='{anchor}'"
    return f"<text {place} font-weight='{weight}' fill='{colour}'>{escape(words)}</text>"
