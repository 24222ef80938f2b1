"""A bar chart as SVG: a few groups of bars, one bar for each authority, drawn without a library or a script.

It stands beside a table with the same figures. Styling is by presentation attributes, because the pages that carry
it allow no inline style; fonts are the reader's own, Khmer ones first where the language is Khmer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.primitives.visible import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH: Final = 800
MARGIN: Final = 20
BAR: Final = 20
GAP: Final = 5
# What stands behind the longest bar: its figure, or that it is withheld.
TEXT: Final = 300
# Apart in hue and in lightness, so that print and colour-blind readers tell them apart.
COLOURS: Final = ("#1d4f91", "#e08a1e", "#5b6770")
INK: Final = "#1a1a1a"
FONTS: Final = {
    "km": "'Noto Sans Khmer','Khmer OS','Khmer UI','Leelawadee UI','Khmer Sangam MN','Noto Sans',sans-serif",
    "": "system-ui,'Noto Sans','Segoe UI','Liberation Sans',sans-serif",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure as drawn: its value (None: none is shown), what stands beside it, and whether it is a lower bound."""

    value: int | None
    text: str
    more: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """The bars of one indicator, in the order of the series; None where a series has none."""

    label: str
    bars: tuple[Bar | None, ...]


def draw(
    title: str, description: str, series: Sequence[str], groups: Sequence[Group], language: str, *, heading: bool = True
) -> str:
    """Return the chart as an SVG document of its own, which HTML may carry as it is.

    `heading` writes the title above it too; a page that has the title already leaves it out.
    """
    most = max((bar.value or 0 for group in groups for bar in group.bars if bar), default=0) or 1
    # Khmer stacks vowels and subscripts above and below the line.
    line = 30 if language == "km" else 25
    body: list[str] = []
    y = MARGIN
    if heading:
        body.append(_text(MARGIN, MARGIN + 12, title, 18, bold=True))
        y += line
    for place, name in enumerate(series):
        body.append(_box(MARGIN, y + 4, 14, 14, place))
        body.append(_text(MARGIN + 22, y + 16, name, 14))
        y += line
    y += 10
    for group in groups:
        body.append(_text(MARGIN, y + 15, group.label, 15, bold=True))
        y += line
        for place, bar in enumerate(group.bars):
            if bar is not None:
                body += _bar(bar, y, most, place)
                y += BAR + GAP
        y += 12
    height = y + MARGIN
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-labelledby="chart-title chart-text" lang="{language}" xml:lang="{language}" '
        f'font-family="{FONTS.get(language, FONTS[""])}">'
    )
    head = [
        opening,
        f'<title id="chart-title">{escape(title)}</title>',
        f'<desc id="chart-text">{escape(description)}</desc>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
    ]
    return "".join([*head, *body, "</svg>"])


def _bar(bar: Bar, y: int, most: int, place: int) -> list[str]:
    if bar.value is None:
        # Neither long nor short: an empty outline says that there is a figure and that it is not shown.
        colour = COLOURS[place % len(COLOURS)]
        outline = (
            f'<rect x="{MARGIN}" y="{y}" width="40" height="{BAR}" fill="none" stroke="{colour}" stroke-width="2" '
        )
        return [outline + 'stroke-dasharray="4 3"/>', _text(MARGIN + 50, y + 15, bar.text, 14)]
    width = max(2, round((WIDTH - 2 * MARGIN - TEXT) * bar.value / most)) if bar.value else 1
    drawn = [_box(MARGIN, y, width, BAR, place)]
    end = MARGIN + width
    if bar.more:
        # An open end: the figure is a lower bound.
        point = f"{end},{y} {end + 12},{y + BAR // 2} {end},{y + BAR}"
        drawn.append(f'<polygon points="{point}" fill="{COLOURS[place % len(COLOURS)]}"/>')
        end += 12
    return [*drawn, _text(end + 8, y + 15, bar.text, 14)]


def _box(x: int, y: int, width: int, height: int, place: int) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{COLOURS[place % len(COLOURS)]}"/>'


def _text(x: int, y: int, words: str, size: int, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x}" y="{y}" font-size="{size}" fill="{INK}"{weight}>{escape(words)}</text>'
