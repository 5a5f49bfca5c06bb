"""Matrices of rates and of differences, to be drawn with a menu that exchanges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from simlib.benchmark.comparison import Comparison
from simlib.benchmark.rates import TransferCell
from simlib.benchmark.statistics import Share, counted
from simlib.errors import InputError
from simlib.report.benchmark import named, titles_of
from simlib.report.menus import Choices, options, with_menus
from simlib.report.style import folded, in_lines

SIGNIFICANT = 0.05
"""Corrected p-value below which a difference is marked with a star."""

_SHARES = "Cividis"
_DIFFERENCES = ((0.0, "#0072B2"), (0.5, "#F2F2F2"), (1.0, "#D55E00"))
"""Scales of colours for shares and for differences, which readers with any colour vision can tell apart."""

_LEAST_SCALE = 0.1
"""The value that colours of a matrix reach to at least: chance alone makes smaller ones."""

_UNSEEN = {"ticks": "outside", "ticklen": 5, "tickcolor": "rgba(0,0,0,0)"}
_NAMES: dict[str, Any] = {"type": "category", "showgrid": False, **_UNSEEN}
"""An axis of names; ticks that are not seen keep them from touching the matrix."""


_Cell = tuple[float | None, str, str]
"""The value of a cell, what stands in it, and what hovering shows."""


@dataclass(frozen=True)
class Matrix:
    """A matrix to be drawn: names of rows and columns, three things for each cell, and titles of both axes.

    Attributes:
        values: numbers; None where there is none.
        texts: what stands in the cells.
        hover: what hovering shows.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    hover: tuple[tuple[str, ...], ...]
    down: str = ""
    across: str = ""

    def __str__(self) -> str:
        """Say the whole matrix in words, for readers who do not see it."""
        lines = [
            ", ".join(f"{column} {text or 'none'}" for column, text in zip(self.columns, texts, strict=True))
            for texts in self.texts
        ]
        return "; ".join(f"{row}: {line}" for row, line in zip(self.rows, lines, strict=True))


def matrices(choices: Choices[Matrix], *, alt: str = "", differences: bool = False) -> go.Figure:
    """Draw a matrix, and menus that exchange it for others, which need no server.

    Args:
        choices: matrices by their label in a menu, or by all pairs of labels for two menus; the first is
            shown at first. Only by single labels may their axes have different titles.
        alt: what a reader who does not see the figure should know; the first matrix if empty.
        differences: whether the values are differences of shares, which may be negative.

    Raises:
        InputError: if there is no matrix.
    """
    if not choices:
        raise InputError("There is no matrix to draw. Give at least one.")
    # One scale for all, so that colours can be compared from one choice to the next.
    values = [abs(v) for matrix in choices.values() for row in matrix.values for v in row if v is not None]
    most = max([_LEAST_SCALE, *values])
    first = next(iter(choices.values()))
    alt = alt or f"A matrix, and menus with {options(choices)}. In the first: {first}."
    down = {"title": first.down, "autorange": "reversed", **_NAMES}
    height = 190 + 30 * max(len(matrix.rows) for matrix in choices.values())
    across = {"title": first.across, **_NAMES}
    figure = go.Figure(layout={"xaxis": across, "yaxis": down, "height": height, "meta": {"alt": alt}})
    traces = {key: [_heatmap(matrix, most, differences)] for key, matrix in choices.items()}
    titles = {
        key: {"xaxis.title.text": matrix.across, "yaxis.title.text": matrix.down}
        for key, matrix in choices.items()
    }
    return with_menus(figure, traces, ("x", "y", "z", "text", "customdata"), titles)


def matrix_of_rates(
    rows: Sequence[str],
    columns: Sequence[str],
    rates: Sequence[Sequence[Share | None]],
    *,
    down: str = "",
    across: str = "",
) -> Matrix:
    """Make a matrix of rates, in per cent; hovering shows n and the interval, None is left blank."""

    def cell(row: str, column: str, rate: Share | None) -> _Cell:
        if rate is None:
            return None, "", f"{row}, {column}<br>nothing counts"
        return rate.value, f"{100 * rate.value:.0f}", f"{row}, {column}<br>{in_lines(rate)}"

    cells = [
        [cell(name, column, rate) for column, rate in zip(columns, line, strict=True)]
        for name, line in zip(rows, rates, strict=True)
    ]
    return _matrix(rows, columns, cells, down, across)


def transfer_matrices(cells: Sequence[TransferCell]) -> dict[str, Matrix]:
    """Arrange a transfer matrix for :func:`matrices`: by source and, where there are several, by attack."""
    sources, attacks, targets = (
        list(dict.fromkeys(getattr(cell, part) for cell in cells)) for part in ("source", "attack", "target")
    )
    rates = {(cell.source, cell.attack, cell.target): cell.flipped for cell in cells}
    found: dict[str, Matrix] = {}
    for source in sources:
        judges = [target for target in targets if target != source]
        rows = [[rates.get((source, attack, target)) for attack in attacks] for target in judges]
        found[f"on {named(source).title}"] = matrix_of_rates(
            titles_of(judges), attacks, rows, down="judged by", across="made by"
        )
    for attack in attacks if len(sources) > 1 else ():
        rows = [[rates.get((source, attack, target)) for source in sources] for target in targets]
        found[f"by {attack}"] = matrix_of_rates(
            titles_of(targets), titles_of(sources), rows, down="judged by", across="made on"
        )
    return found


def comparison_matrix(comparisons: Sequence[Comparison]) -> Matrix:
    """Arrange comparisons of every two metrics: by how much more often the one of the row is flipped.

    A star marks a difference whose corrected p-value is below :data:`SIGNIFICANT`.
    """
    names = list(dict.fromkeys(name for each in comparisons for name in (each.first, each.second)))
    pairs = {(each.first, each.second): each for each in comparisons}
    lines = [[_compared(pairs, row, column) for column in names] for row in names]
    titles = titles_of(names)
    return _matrix(titles, titles, lines, "flipped more often", "than")


def _matrix(
    rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[_Cell]], down: str, across: str
) -> Matrix:
    values = tuple(tuple(value for value, _, _ in line) for line in cells)
    texts = tuple(tuple(text for _, text, _ in line) for line in cells)
    hover = tuple(tuple(shown for _, _, shown in line) for line in cells)
    return Matrix(tuple(rows), tuple(columns), values, texts, hover, down, across)


def _heatmap(matrix: Matrix, most: float, differences: bool) -> go.Heatmap:
    scale, least = (_DIFFERENCES, -most) if differences else (_SHARES, 0)
    return go.Heatmap(
        x=[folded(name) for name in matrix.columns],
        y=list(matrix.rows),
        z=[list(row) for row in matrix.values],
        text=[list(row) for row in matrix.texts],
        customdata=[list(row) for row in matrix.hover],
        texttemplate="%{text}",
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        colorscale=scale,
        zmin=least,
        zmax=most,
        showscale=False,
        xgap=1,
        ygap=1,
    )


def _compared(pairs: Mapping[tuple[str, str], Comparison], row: str, column: str) -> _Cell:
    """Return the difference of two metrics, row less column, what its cell says, and what hovering shows."""
    turned = (row, column) not in pairs
    found = pairs.get((column, row) if turned else (row, column))
    if found is None:
        return None, "", ""
    mine, other = (found.only_second, found.only_first) if turned else (found.only_first, found.only_second)
    titles = f"{named(row).title} against {named(column).title}"
    if found.difference is None or found.p_value is None or found.corrected is None:
        return None, "", f"{titles}<br>no triplet counts for both"
    ends = (found.difference.value, found.difference.low, found.difference.high)
    value, low, high = (-ends[0], -ends[2], -ends[1]) if turned else ends
    hover = (
        f"{titles}<br>"
        f"{100 * value:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})<br>"
        f"n = {counted(found.n, found.difference.photographs)}: both flipped {found.both:,}<br>"
        f"only {named(row).title} {mine:,}, only {named(column).title} {other:,}<br>"
        f"p = {found.p_value:.2g}, corrected {found.corrected:.2g}"
    )
    star = "*" if found.corrected < SIGNIFICANT else ""
    points = round(100 * value)
    return value, f"{points:+d}{star}" if points else f"0{star}", hover
