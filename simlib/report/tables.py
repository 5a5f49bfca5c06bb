"""Tables of the book: one object, HTML on a page and aligned text elsewhere."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from simlib.benchmark.statistics import Mean, Rate
from simlib.errors import InputError

Cell = str | int | float | Rate | Mean | None


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under a header; rates and means of shares are shown with their interval, None as a dash.

    Attributes:
        header: titles of the columns.
        rows: as many cells each.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        wrong = [index for index, row in enumerate(self.rows) if len(row) != len(self.header)]
        if wrong:
            raise InputError(
                f"Row {wrong[0]} has {len(self.rows[wrong[0]])} cells, the header {len(self.header)}."
            )

    def __repr__(self) -> str:
        lines = [self.header, *(tuple(_text(cell) for cell in row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines
        )

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th{_class(column)}>{html.escape(title)}</th>"
            for title, column in zip(self.header, self._columns(), strict=True)
        )
        body = "".join("<tr>" + "".join(map(_data, row)) + "</tr>" for row in self.rows)
        return (
            f'<div class="book-table-box"><table class="book-table"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def _columns(self) -> Sequence[tuple[Cell, ...]]:
        return list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.header)


def _text(cell: Cell) -> str:
    match cell:
        case None:
            return "–"
        case Rate() | Mean():
            return f"{cell.value:.1%} [{cell.low:.1%}, {cell.high:.1%}]"
        case float():
            return f"{cell:.3g}"
        case int():
            return f"{cell:,}"
        case _:
            return cell


def _data(cell: Cell) -> str:
    if isinstance(cell, Rate | Mean):
        interval = f"{100 * cell.low:.1f} to {100 * cell.high:.1f}"
        return f'<td title="{html.escape(str(cell))}">{cell.value:.1%} <small>{interval}</small></td>'
    return f"<td{_class((cell,))}>{html.escape(_text(cell))}</td>"


def _class(cells: Sequence[Cell]) -> str:
    return ' class="text"' if cells and all(isinstance(cell, str) for cell in cells) else ""
