"""Which rows of a benchmark belong together, and which of their triplets count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simlib.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd


def texts(rows: pd.DataFrame, column: str) -> NDArray[np.object_]:
    """Return a column of names or texts as an array (N,).

    Categories are resolved: those of different sets cannot be compared with each other.
    """
    return rows[column].to_numpy(object)


def numbers(rows: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of numbers as an array (N,); NaN where it is null."""
    column_: Any = rows[column]
    return column_.to_numpy(np.float64, na_value=np.nan)


def flags(rows: pd.DataFrame, column: str) -> NDArray[np.bool_]:
    """Return a column of booleans as an array (N,); False where it is null."""
    column_: Any = rows[column]
    return column_.eq(True).fillna(False).to_numpy(bool)


def photographs(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Return the photograph of each row (N,) as a number."""
    column: Any = rows["photograph"]
    return column.factorize()[0]


def pick(rows: pd.DataFrame, which: NDArray[Any]) -> pd.DataFrame:
    """Return the rows that an array of booleans (N,) or positions (K,) tells."""
    frame: Any = rows
    return frame.iloc[np.flatnonzero(which) if which.dtype == np.bool_ else which]


def alike(rows: pd.DataFrame, columns: Sequence[str]) -> list[pd.DataFrame]:
    """Divide rows by what stands in some columns, in the order in which that first occurs.

    Raises:
        InputError: if a triplet occurs twice in one part.
    """
    frame: Any = rows
    groups = frame.groupby(list(columns), observed=True, sort=False)
    return [once(group) for _, group in groups]


def once(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as they are, after a look that every triplet occurs once.

    Raises:
        InputError: if one occurs twice.
    """
    frame: Any = rows
    twice = frame["triplet"].duplicated().to_numpy(bool)
    if twice.any():
        row = frame.iloc[int(twice.argmax())]
        raise InputError(
            f"Triplet {row['triplet']} occurs twice for {row['attack']} on {row['source']}, judged by "
            f"{row['target']}. Give rows of one plan, in which no two attacks share a title."
        )
    return rows


def having(rows: pd.DataFrame, column: str, name: str, kind: str) -> pd.DataFrame:
    """Return the rows that have a name in a column.

    Args:
        rows: where to look.
        column: of names.
        name: what to look for.
        kind: what it names, for the message.

    Raises:
        UnknownNameError: if no row has it.
    """
    names = texts(rows, column)
    if not (found := names == name).any():
        raise unknown_name(kind, name, set(names.tolist()))
    return pick(rows, found)


def is_white_box(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which rows (N,) tell what the attacked metric itself measures."""
    return np.asarray(texts(rows, "source") == texts(rows, "target"), bool)


def is_labelled(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Say on which rows (N,) somebody, or the construction, told which image is more similar."""
    return ~np.isnan(numbers(rows, "judge"))


def is_accurate(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Say on which rows (N,) the target, before the attack, ranks as labelled; never where there is no label.

    As :func:`simlib.benchmark.accuracy.accurate_split`: a tie, of the metric or of the votes, stands for p0.
    """
    ranks_p1 = numbers(rows, "distance0") > numbers(rows, "distance1")
    return is_labelled(rows) & (ranks_p1 == (numbers(rows, "judge") > 0.5))


def is_counted(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Say which rows (N,) a transfer rate counts.

    Those on which source and target agree before the attack: with the label, or with each other where there
    is none.
    """
    return flags(rows, "agrees") & (~is_labelled(rows) | is_accurate(rows))
