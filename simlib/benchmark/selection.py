"""Which rows of a benchmark belong together, and which of their triplets count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simlib.errors import InputError, UndefinedDistanceError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

Flags = NDArray[np.bool_]


def flags(rows: pd.DataFrame, column: str) -> Flags:
    """Return a column of booleans as an array (N,); False where it is null."""
    values = _column(rows, column)
    return values.eq(True).fillna(False).to_numpy(bool)


def numbers(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of numbers as an array (N,); NaN where it is null."""
    values = _column(rows, column)
    return values.to_numpy(np.float64, na_value=np.nan)


def texts(rows: pd.DataFrame, column: str) -> NDArray[np.object_]:
    """Return a column of texts as an array (N,), also where pandas holds it as categories."""
    return _column(rows, column).to_numpy(object)


def _column(rows: pd.DataFrame, column: str) -> Any:
    """Return a column, or say that these rows are not of a plan."""
    if column not in rows.columns:
        raise InputError(
            f"The rows have no column {column!r}. Give rows of a plan, as Store.rows returns them. Rows of "
            "transfer, which know nothing of the attack, are counted by transfer_rate."
        )
    return rows[column]


def pick(rows: pd.DataFrame, which: Flags) -> pd.DataFrame:
    """Return the rows that an array of booleans (N,) marks."""
    frame: Any = rows
    return frame[which]


def having(rows: pd.DataFrame, column: str, name: str) -> pd.DataFrame:
    """Return the rows that have a name in a column; an UnknownNameError says that none has it."""
    names = texts(rows, column)
    if not (found := names == name).any():
        raise unknown_name(column, name, set(names.tolist()))
    return pick(rows, found)


def groups(rows: pd.DataFrame, columns: Sequence[str]) -> list[pd.DataFrame]:
    """Divide rows by what stands in some columns, in order of first occurrence; see :func:`once`."""
    for column in columns:
        _column(rows, column)
    frame: Any = rows
    return [once(group) for _, group in frame.groupby(list(columns), observed=True, sort=False)]


def once(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as they are; an InputError says that a triplet occurs twice, or has no defined distance."""
    for column in ("attack", "source", "target"):
        _column(rows, column)
    frame: Any = rows
    twice = _column(rows, "triplet").duplicated().to_numpy(bool)
    if twice.any():
        row = frame.iloc[int(twice.argmax())]
        raise InputError(
            f"Triplet {row['triplet']} occurs twice for {row['attack']} on {row['source']}, judged by "
            f"{row['target']}. Give rows of one plan, in which no two attacks share a title."
        )
    for before in ("distance", "attacked"):
        with np.errstate(invalid="ignore"):
            undefined = np.isnan(numbers(rows, f"{before}0") - numbers(rows, f"{before}1"))
        if undefined.any():
            row = frame.iloc[int(undefined.argmax())]
            raise UndefinedDistanceError(
                f"{row['target']} has no defined distance for {int(undefined.sum())} of {len(rows)} triplets "
                f"of {row['attack']} on {row['source']}, the first {row['triplet']}. They are neither "
                "flipped nor robust. Leave these rows out, and say so."
            )
    return rows


def is_white_box(rows: pd.DataFrame) -> Flags:
    """Say which rows (N,) hold what the attacked metric itself measures."""
    return np.asarray(texts(rows, "source") == texts(rows, "target"), bool)


def is_labelled(rows: pd.DataFrame) -> Flags:
    """Say for which rows (N,) people, or the construction, decided which image is more similar."""
    return ~np.isnan(numbers(rows, "judge"))


def is_accurate(rows: pd.DataFrame) -> Flags:
    """Say for which rows (N,) the target, before the attack, ranks as labelled; never without a label.

    As :func:`simlib.benchmark.agreement.accurate_split`: a tie, of the metric or of the votes, stands for p0.
    """
    ranks_p1 = numbers(rows, "distance0") > numbers(rows, "distance1")
    return is_labelled(rows) & (ranks_p1 == (numbers(rows, "judge") > 0.5))


def is_counted(rows: pd.DataFrame) -> Flags:
    """Say which rows (N,) a rate of transfer counts: THE definition of the project.

    Those on which source and target agree before the attack: with the label, or with each other where there
    is none. For a metric's own images that is every triplet that it ranks as labelled, or that has no label.
    """
    return flags(rows, "agrees") & (~is_labelled(rows) | is_accurate(rows))
