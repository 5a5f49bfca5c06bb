"""Matrices of rates and of differences, to be drawn with a menu that exchanges them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from simlib.benchmark.comparison import Comparison
from simlib.benchmark.matrix import TransferCell
from simlib.benchmark.statistics import Share, counted
from simlib.errors import InputError
from simlib.report.benchmark import named
from simlib.report.marks import Choices, folded, in_lines, titles_of, with_menus

SIGNIFICANT = 0.05
"""Corrected p-value below which a difference is marked with a star."""

_SHARES = "Cividis"
_DIFFERENCES = ((0.0, "#0072B2"), (0.5, "#F2F2F2"), (1.0, "#D55E00"))
"""Scales of colours for shares and for differences, which readers with any colour vision can tell apart."""

_LEAST_SCALE = 0.1
"""The value that colours of a matrix reach to at least: chance alone makes smaller ones."""

_NAMES: dict[str, Any] = {
    "type": "category",
    "showgrid": False,
    "ticks": "outside",
    "ticklen": 5,
    "tickcolor": "rgba(0,0,0,0)",
}
"""An axis of names; ticks that are not seen keep them from touching the matrix."""


@dataclass(frozen=True)
class Matrix:
    """A matrix to be drawn.

    Attributes:
        rows: what stands down the side.
        columns: what stands along the foot.
        values: a number for each row and column; None where there is none.
        texts: what stands in the cells, likewise.
        told: what hovering over a cell tells, likewise.
        down: what the rows are.
        across: what the columns are.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    told: tuple[tuple[str, ...], ...]
    down: str = ""
    across: str = ""

    def __str__(self) -> str:
        """Say the whole matrix in words, for readers who do not see it."""
        return "; ".join(
            f"{row}: "
            + ", ".join(
                f"{column} {text or 'none'}" for column, text in zip(self.columns, texts, strict=True)
            )
            for row, texts in zip(self.rows, self.texts, strict=True)
        )


def matrices(choices: Choices[Matrix], *, alt: str, differences: bool = False) -> go.Figure:
    """Draw a matrix, and menus that exchange it for others, which need no server.

    Colours reach to the largest value of all choices.

    Args:
        choices: matrices by their label in a menu, or by pairs of labels for two menus, all of them; the
            first is shown at first. Only by single labels may their axes have different titles.
        alt: what a reader who does not see the figure should know.
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
    figure = go.Figure(
        layout={
            "xaxis": {"title": first.across, **_NAMES},
            "yaxis": {"title": first.down, "autorange": "reversed", **_NAMES},
            "height": 190 + 30 * max(len(matrix.rows) for matrix in choices.values()),
            "meta": {"alt": alt},
        }
    )
    return with_menus(
        figure,
        {key: [_heatmap(matrix, most, differences)] for key, matrix in choices.items()},
        ("x", "y", "z", "text", "customdata"),
        {
            key: {"xaxis.title.text": matrix.across, "yaxis.title.text": matrix.down}
            for key, matrix in choices.items()
        },
    )


def matrix_of_rates(
    rows: Sequence[str],
    columns: Sequence[str],
    rates: Sequence[Sequence[Share | None]],
    *,
    down: str = "",
    across: str = "",
) -> Matrix:
    """Make a matrix of rates, in per cent; hovering tells n and the interval, None is left blank."""

    def cells(show: Callable[[Share], Any], otherwise: Any) -> tuple[tuple[Any, ...], ...]:
        return tuple(tuple(otherwise if rate is None else show(rate) for rate in row) for row in rates)

    told = tuple(
        tuple(
            f"{one}, {other}<br>{'nothing counts' if rate is None else in_lines(rate)}"
            for other, rate in line
        )
        for one, line in ((one, zip(columns, row, strict=True)) for one, row in zip(rows, rates, strict=True))
    )
    return Matrix(
        rows=tuple(rows),
        columns=tuple(columns),
        values=cells(lambda rate: rate.value, None),
        texts=cells(lambda rate: f"{100 * rate.value:.0f}", ""),
        told=told,
        down=down,
        across=across,
    )


def transfer_matrices(cells: Sequence[TransferCell]) -> dict[str, Matrix]:
    """Arrange a transfer matrix for :func:`matrices`: by source and, where there are several, by attack.

    Args:
        cells: of one choice of triplets; in the order in which tables show them.
    """
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
    titles = tuple(titles_of(names))
    return Matrix(
        rows=titles,
        columns=titles,
        values=tuple(tuple(value for value, _, _ in line) for line in lines),
        texts=tuple(tuple(text for _, text, _ in line) for line in lines),
        told=tuple(tuple(told for _, _, told in line) for line in lines),
        down="flipped more often",
        across="than",
    )


def _heatmap(matrix: Matrix, most: float, differences: bool) -> go.Heatmap:
    scale, least = (_DIFFERENCES, -most) if differences else (_SHARES, 0)
    return go.Heatmap(
        x=[folded(name) for name in matrix.columns],
        y=list(matrix.rows),
        z=[list(row) for row in matrix.values],
        text=[list(row) for row in matrix.texts],
        customdata=[list(row) for row in matrix.told],
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


def _compared(
    pairs: Mapping[tuple[str, str], Comparison], row: str, column: str
) -> tuple[float | None, str, str]:
    """Return the difference of two metrics, row less column, what its cell says, and what hovering tells."""
    turned = (row, column) not in pairs
    found = pairs.get((column, row) if turned else (row, column))
    if found is None:
        return None, "", ""
    mine, other = (found.only_second, found.only_first) if turned else (found.only_first, found.only_second)
    titles = f"{named(row).title} against {named(column).title}"
    if found.difference is None or found.p_value is None or found.corrected is None:
        return None, "", f"{titles}<br>no triplet counts for both"
    ends = (found.difference.value, found.difference.low, found.difference.high)
    value, low, high = [-ends[0], -ends[2], -ends[1]] if turned else ends
    told = (
        f"{titles}<br>"
        f"{100 * value:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})<br>"
        f"n = {counted(found.n, found.difference.photographs)}: both flipped {found.both:,}<br>"
        f"only {named(row).title} {mine:,}, only {named(column).title} {other:,}<br>"
        f"p = {found.p_value:.2g}, corrected {found.corrected:.2g}"
    )
    star = "*" if found.corrected < SIGNIFICANT else ""
    points = round(100 * value)
    return value, f"{points:+d}{star}" if points else f"0{star}", told
