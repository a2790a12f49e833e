"""The layout of a plot: panels of a fixed size, with a legend and notes below them.

All text is measured and wrapped first, and the canvas grows around it, so that nothing is cut off,
the legend covers no curve, and the panels take more than half of the canvas, for one run or thirty.
Lengths are in inches. Not here: what the panels show (`plots`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D

LEGEND_SIZE, TITLE_SIZE, NOTE_SIZE = 8.0, 9.0, 7.5  # points
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.66, 0.28, 0.10, 0.52  # around the panels: ticks and their titles
_GAP = 0.14  # between panels
_HEAD_GAP, _TITLE_GAP = 0.04, 0.05  # below a head, and below a title
_LINE = 1.35  # height of a line of text, in font sizes
_SAMPLE = 0.42  # of a curve in the legend, with the gap to its text
_LEAST = 0.55  # share of the canvas that the panels take, if they need not be stretched too much
_MOST_STRETCH = 2.0
_LONGEST = 400  # characters of a text; a name from a file of anybody may have thousands


class Entry(NamedTuple):
    """An entry of the legend: its text, and the style of the curve or bar that it names."""

    label: str
    style: dict[str, Any]  # of a Line2D


@dataclass(frozen=True)
class Grid:
    """Panels of equal size, filled row by row; each section starts a new row under its head."""

    sections: Sequence[tuple[str, Sequence[str]]]  # the head, "" for none, and titles of panels
    columns: int
    size: tuple[float, float]  # smallest width and height of a panel
    inner_labels: bool = False  # every panel has its own numbers at both axes
    bottom: float = _BOTTOM  # below the last row, for the numbers and title of its axis
    most_stretch: float = _MOST_STRETCH  # of the height, to fill the canvas; 1: none


def draw_grid(
    grid: Grid, entries: Sequence[Entry] = (), notes: Sequence[str] = ()
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel per title, and the panels in order."""
    columns = min(grid.columns, max(len(titles) for _, titles in grid.sections))
    gap = _LEFT if grid.inner_labels else _GAP
    width, height = grid.size
    total = _LEFT + columns * width + (columns - 1) * gap + _RIGHT
    legend = _arrange(entries, total - 2 * _RIGHT)
    below = [line for note in notes for line in wrap(note, NOTE_SIZE, total - 2 * _RIGHT)]
    lines = [
        [wrap(title, TITLE_SIZE, width) for title in titles[at : at + columns]]
        for _, titles in grid.sections
        for at in range(0, len(titles), columns)
    ]
    rows = _place_rows(grid, columns, lines)
    fixed = (
        rows.extra
        + _TOP
        + grid.bottom
        + legend.height
        + len(below) * _measure_line(NOTE_SIZE)
        + 0.1
    )
    count = sum(len(titles) for _, titles in grid.sections)
    while height < grid.most_stretch * grid.size[1] and count * width * height < _LEAST * total * (
        fixed + len(lines) * height
    ):
        height += 0.1
    whole = fixed + len(lines) * height
    figure = Figure(figsize=(total, whole))
    place = _Place(figure, width, height, gap)
    panels, top = _draw_rows(place, lines, rows, whole - _TOP)
    top -= grid.bottom
    for entry, lines_of_entry, left, down in legend.entries:
        _draw_entry(figure, entry, lines_of_entry, _RIGHT + left, top - down)
    top -= legend.height
    for line in below:
        top -= _measure_line(NOTE_SIZE)
        _write(figure, _RIGHT, top, line, NOTE_SIZE, color="#555555")
    return figure, panels


class _Place(NamedTuple):
    """A figure, the size of its panels, and the gap between their columns."""

    figure: Figure
    width: float
    height: float
    gap: float


def _draw_rows(
    place: _Place, lines: Sequence[Sequence[Sequence[str]]], rows: _Rows, top: float
) -> tuple[list[Axes], float]:
    """Draw rows of panels from `top` down; return the panels and the end of the last row."""
    figure, width, height, gap = place
    total, whole = figure.get_size_inches()
    panels: list[Axes] = []
    for row, titles in enumerate(lines):
        for line in rows.heads[row]:
            top -= _measure_line(TITLE_SIZE + 1)
            _write(figure, _LEFT, top, line, TITLE_SIZE + 1, weight="bold")
        top -= _HEAD_GAP * bool(rows.heads[row]) + max(map(len, titles)) * _measure_line(TITLE_SIZE)
        top -= _TITLE_GAP
        for column, title in enumerate(titles):
            left = _LEFT + column * (width + gap)
            for k, line in enumerate(reversed(title)):
                y = top + _TITLE_GAP + k * _measure_line(TITLE_SIZE)
                _write(figure, left, y, line, TITLE_SIZE)
            box = (left / total, (top - height) / whole, width / total, height / whole)
            panels.append(figure.add_axes(box))
        top -= height + rows.gaps[row]
    return panels, top


def wrap(text: str, size: float, width: float) -> list[str]:
    """Return the lines of a text that fit a width.

    It is broken at spaces; in a word that is too wide after "-", "_" or "/", else anywhere. A text
    of more than 400 characters is cut.
    """
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    lines: list[str] = []
    line = ""
    for word in text.split():
        together = f"{line} {word}".strip()
        if measure(together, size) <= width:
            line = together
            continue
        if line:
            lines.append(line)
        *whole, line = _break_word(word, size, width)
        lines += whole
    return [*lines, line] if line or not lines else lines


def _break_word(word: str, size: float, width: float) -> list[str]:
    """Return the parts of a word that fit a width."""
    parts = []
    while len(word) > 1 and measure(word, size) > width:
        fit = max((k for k in range(1, len(word)) if measure(word[:k], size) <= width), default=1)
        signs = max(word.rfind(sign, 0, fit) for sign in "-_/") + 1
        fit = signs if signs > fit // 2 else fit
        parts.append(word[:fit])
        word = word[fit:]
    return [*parts, word]


def measure(text: str, size: float) -> float:
    """Return the width of a line of text."""
    return _measure(text, size) * 1.03  # hinting differs a little between resolutions


@lru_cache(maxsize=4096)
def _measure(text: str, size: float) -> float:
    font = FontProperties(size=size)
    width, _, _ = _make_renderer().get_text_width_height_descent(text, font, False)
    return float(width) / 72


@lru_cache(maxsize=1)
def _make_renderer() -> Any:
    return RendererAgg(1, 1, 72)  # type: ignore[no-untyped-call]


def _measure_line(size: float) -> float:
    return size * _LINE / 72


class _Rows(NamedTuple):
    """What rows of panels need besides the panels: heads, gaps, and the sum of all heights."""

    heads: list[list[str]]
    gaps: list[float]
    extra: float


def _place_rows(grid: Grid, columns: int, lines: Sequence[Sequence[Sequence[str]]]) -> _Rows:
    heads: list[list[str]] = []
    gaps: list[float] = []
    total = columns * grid.size[0]
    for head, titles in grid.sections:
        count = -(-len(titles) // columns)
        heads += [
            wrap(head, TITLE_SIZE + 1, total) if head else [],
            *[[] for _ in range(count - 1)],
        ]
        gaps += [_BOTTOM if grid.inner_labels else _GAP] * (count - 1)
        gaps.append(_BOTTOM)  # the last row has numbers and a title below
    gaps[-1] = 0.0
    extra = sum(gaps) + sum(
        len(head) * _measure_line(TITLE_SIZE + 1) + _HEAD_GAP * bool(head)
        + max(map(len, row)) * _measure_line(TITLE_SIZE) + _TITLE_GAP
        for head, row in zip(heads, lines, strict=True)
    )  # fmt: skip
    return _Rows(heads, gaps, extra)


class _Legend(NamedTuple):
    """Entries, their lines of text, and how far they are from the left and the top."""

    entries: list[tuple[Entry, list[str], float, float]]
    height: float


def _arrange(entries: Sequence[Entry], width: float) -> _Legend:
    """Return the places of the entries, in as many columns as their texts allow."""
    if not entries:
        return _Legend([], 0.0)
    widest = max(measure(entry.label, LEGEND_SIZE) for entry in entries) + _SAMPLE + 0.2
    columns = max(1, min(len(entries), int(width / widest)))
    space = width / columns
    texts = [wrap(entry.label, LEGEND_SIZE, space - _SAMPLE - 0.1) for entry in entries]
    count = -(-len(entries) // columns)  # entries per column
    placed, height = [], 0.0
    for column in range(columns):
        down = 0.08
        for k in range(column * count, min(len(entries), (column + 1) * count)):
            placed.append((entries[k], texts[k], column * space, down))
            down += len(texts[k]) * _measure_line(LEGEND_SIZE)
        height = max(height, down)
    return _Legend(placed, height + 0.04)


def _draw_entry(
    figure: Figure, entry: Entry, lines: Sequence[str], left: float, top: float
) -> None:
    width, whole = figure.get_size_inches()
    middle = top - _measure_line(LEGEND_SIZE) * 0.55
    ends = [left / width, (left + _SAMPLE - 0.1) / width]
    sample = Line2D(
        [ends[0], sum(ends) / 2, ends[1]], [middle / whole] * 3,
        transform=figure.transFigure, **{**entry.style, "markevery": [1]},
    )  # fmt: skip
    figure.add_artist(sample)
    for k, line in enumerate(lines):
        _write(
            figure, left + _SAMPLE, top - (k + 1) * _measure_line(LEGEND_SIZE), line, LEGEND_SIZE
        )


def _write(
    figure: Figure, left: float, bottom: float, text: str, size: float, **style: Any
) -> None:
    """Write a line of text; its descenders are below `bottom`, which leaves room for them."""
    width, height = figure.get_size_inches()
    figure.text(
        left / width, (bottom + 0.28 * size / 72) / height, text,
        fontsize=size, va="baseline", ha="left", **style,
    )  # fmt: skip
