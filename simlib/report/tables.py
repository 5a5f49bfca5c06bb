"""Tables: one object, HTML on a page of the book, text in a terminal, and files for papers and programs."""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simlib.benchmark.paired import Difference
from simlib.benchmark.statistics import Share, counted
from simlib.errors import InputError, unknown_name
from simlib.given import is_readable

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("text", "csv", "json", "markdown", "latex")
"""What :meth:`Table.render` can write."""


@dataclass(frozen=True)
class Name:
    """A name that programs use, and its title for people."""

    name: str
    title: str


@dataclass(frozen=True)
class Count:
    """A number of samples, and from how many photographs they come; None where they are independent."""

    n: int
    photographs: int | None = None

    def __str__(self) -> str:
        return counted(self.n, self.photographs)


Cell = str | Name | int | float | Count | Share | Difference | None


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under a header; shares and differences are shown with their interval, None as a dash.

    Attributes:
        header: titles of the columns.
        rows: as many cells each.
        notes: sentences to stand under the table; CSV and JSON, which are for programs, leave them out.
        with_n: whether shares are shown with their n, for tables that have no column of it.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    with_n: bool = False

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.header):
                raise InputError(f"Row {index} has {len(row)} cells, the header {len(self.header)}.")

    def __repr__(self) -> str:
        return self.as_text()

    def render(self, format: str, width: int | None = None) -> str:
        """Write the table in one of :data:`FORMATS`; ``width`` is that of text, see :meth:`as_text`.

        Raises:
            UnknownNameError: if there is no such format.
            InputError: if two columns have one title, which CSV and JSON cannot tell apart.
        """
        if format not in FORMATS:
            raise unknown_name("format of a table", format, FORMATS)
        return self.as_text(width) if format == "text" else getattr(self, f"as_{format}")()

    def as_text(self, width: int | None = None) -> str:
        """Return aligned columns; words to the left, numbers to the right.

        Args:
            width: letters in a line. Columns that do not fit follow below, beside the first ones again, which
                tell what the rows are. None for lines of any length.
        """
        columns = list(map(_aligned, zip(self.header, *self._texts(), strict=True), self._words()))
        blocks = [
            "\n".join("  ".join(cells).rstrip() for cells in zip(*block, strict=True))
            for block in self._blocks(columns, width)
        ]
        notes = [textwrap.fill(note, width) if width else note for note in self.notes]
        return "\n\n".join([*blocks, *(["\n".join(notes)] if notes else [])])

    def frame(self) -> pd.DataFrame:
        """Return the table for pandas, in full precision.

        A share and a difference take five columns: the title alone, then followed by low, high, n and
        photographs. A metric is given by its name, a number of samples without its photographs.
        """
        import pandas as pd

        self._require_titles()
        columns = {
            f"{title} {part}".strip(): [_plain(cell).get(part) for cell in column]
            for title, column in zip(self.header, self._columns(), strict=True)
            for part in dict.fromkeys(["", *(part for cell in column for part in _plain(cell))])
        }
        return pd.DataFrame(columns, dtype=object)

    def as_csv(self) -> str:
        """Return comma-separated values; see :meth:`frame`."""
        return self.frame().to_csv(index=False, lineterminator="\n").removesuffix("\n")

    def as_json(self) -> str:
        """Return a list of objects, one for each row, by the titles of the columns, as :meth:`frame` does.

        A share and a difference are objects with value, low, high, n and photographs. What is not finite is
        null.
        """
        self._require_titles()
        rows = [
            {title: _nested(_plain(cell)) for title, cell in zip(self.header, row, strict=True)}
            for row in self.rows
        ]
        return json.dumps(rows, indent=1, allow_nan=False)

    def as_markdown(self) -> str:
        """Return a table with pipes, and the notes under it."""
        rule = ["---" if words else "--:" for words in self._words()]
        header, *lines = (list(map(_escape_markdown, line)) for line in (self.header, *self._texts()))
        table = "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))
        return "\n\n".join([table, *map(_escape_markdown, self.notes)])

    def as_latex(self) -> str:
        """Return a ``tabular``, which needs no package, and the notes as lines of text under it."""
        kinds = "".join("l" if words else "r" for words in self._words())
        lines = [" & ".join(map(_escape_latex, line)) + r" \\" for line in (self.header, *self._texts())]
        table = [rf"\begin{{tabular}}{{{kinds}}}", r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"]
        return "\n".join([*table, r"\end{tabular}", *(rf"\par {_escape_latex(note)}" for note in self.notes)])

    def _repr_html_(self) -> str:
        head = "".join(
            f"<th{_CLASS[words]}>{html.escape(title)}</th>"
            for title, words in zip(self.header, self._words(), strict=True)
        )
        body = "".join("<tr>" + "".join(map(self._data, row)) + "</tr>" for row in self.rows)
        notes = "".join(f"<p><small>{html.escape(note)}</small></p>" for note in self.notes)
        return (
            f'<div class="book-table-box"><table class="book-table"><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>{notes}"
        )

    def _data(self, cell: Cell) -> str:
        match cell:
            case Share():
                value, low, high = f"{cell.value:.1%}", f"{100 * cell.low:.1f}", f"{100 * cell.high:.1f}"
                high += self._n_of(cell, ", n = ")
            case Difference():
                value, low, high = (f"{100 * each:+.1f}" for each in (cell.value, cell.low, cell.high))
            case _:
                return f"<td{_CLASS[isinstance(cell, str | Name)]}>{html.escape(self._text(cell))}</td>"
        return f'<td title="{html.escape(str(cell))}">{value} <small>{low} to {high}</small></td>'

    def _text(self, cell: Cell) -> str:
        match cell:
            case None:
                return "–"
            case Share():
                return f"{cell.value:.1%} [{cell.low:.1%}, {cell.high:.1%}]" + self._n_of(cell, " of ")
            case Difference():
                return f"{100 * cell.value:+.1f} [{100 * cell.low:+.1f}, {100 * cell.high:+.1f}]"
            case float():
                return f"{cell:.3g}"
            case int():
                return f"{cell:,}"
            case _:
                text = cell.title if isinstance(cell, Name) else str(cell)
                # A title of somebody else may hold anything, and a row is a line.
                return "".join(letter if is_readable(letter) else " " for letter in text)

    def _n_of(self, cell: Share, before: str) -> str:
        return f"{before}{cell.n:,}" if self.with_n else ""

    def _texts(self) -> list[tuple[str, ...]]:
        return [tuple(map(self._text, row)) for row in self.rows]

    def _columns(self) -> Sequence[tuple[Cell, ...]]:
        return list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.header)

    def _words(self) -> list[bool]:
        """Say which columns hold nothing but words."""
        columns = self._columns()
        return [bool(cells) and all(isinstance(cell, str | Name) for cell in cells) for cells in columns]

    def _blocks(self, columns: list[list[str]], width: int | None) -> Iterator[list[list[str]]]:
        """Divide columns so that lines fit a width, the leading columns of words in every block."""
        keys = columns[: max([*self._words(), False].index(False), 1)]
        block = keys
        for column in columns[len(keys) :]:
            needed = sum(len(each[0]) + 2 for each in [*block, column]) - 2
            if len(block) > len(keys) and width is not None and needed > width:
                yield block
                block = keys
            block = [*block, column]
        yield block

    def _require_titles(self) -> None:
        twice = {title for title in self.header if self.header.count(title) > 1}
        if twice:
            raise InputError(
                f"Two columns are called {min(twice)!r}. CSV and JSON need a title of its own for each."
            )


_CLASS = {True: ' class="text" style="text-align: left"', False: ""}
"""The class of a cell of words, and of another; JupyterLab knows no class, and sets all to the right."""


def _aligned(column: Sequence[str], words: bool) -> list[str]:
    width = max(map(len, column))
    return [cell.ljust(width) if words else cell.rjust(width) for cell in column]


def _plain(cell: Cell) -> dict[str, str | int | float | None]:
    """Return the parts of a cell as programs read them; that without a name is the cell itself."""
    match cell:
        case Share() | Difference():
            parts = {part: getattr(cell, part) for part in ("low", "high", "n", "photographs")}
            return {"": cell.value, **parts}
        case Count():
            return {"": cell.n}
        case Name():
            return {"": cell.name}
        case float() if not math.isfinite(cell):
            return {"": None}
        case _:
            return {"": cell}


def _nested(parts: dict[str, str | int | float | None]) -> object:
    return {part or "value": value for part, value in parts.items()} if len(parts) > 1 else parts[""]


def _escape_markdown(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "\\|*_`<[]$" else letter for letter in text).replace("\n", " ")


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    # After the end of a row, a bracket would be read as an option of it.
    "[": "{[}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "\n": " ",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}


def _escape_latex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)
