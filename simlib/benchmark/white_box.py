"""The white-box table: every metric attacked with every attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simlib.benchmark.counting import (
    alike,
    flags,
    is_accurate,
    is_labelled,
    is_white_box,
    numbers,
    photographs,
    pick,
    texts,
)
from simlib.benchmark.statistics import Rate, rate_over

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class WhiteBoxRow:
    """What an attack does to the metric it is made on.

    Attributes:
        metric: name of the metric.
        attack: title of the attack.
        protocol: how its success is counted.
        n: triplets attacked.
        accurate: flips among the triplets that the metric ranks as labelled; None if there is none.
        other: among those that it ranks against the label; likewise.
        unlabelled: among those that have no label; likewise.
        flipped: among all, as the protocol counts.
        flipped_8bit: among all, after rounding the image to 8 bits.
        rmse: median over the flipped, root mean squared change in levels of 255; None if nothing flipped.
        linf: median over the flipped, largest change in levels; likewise.
        steps: median over the flipped; likewise.
        forwards: mean number of images that the metric looked at, for each triplet.
        backwards: mean number of gradients, likewise.
        seconds: mean time for a triplet.
        accurate_8bit: as ``accurate``, after rounding to 8 bits.
        other_8bit: as ``other``, likewise.
        unlabelled_8bit: as ``unlabelled``, likewise.
    """

    metric: str
    attack: str
    protocol: str
    n: int
    accurate: Rate | None
    other: Rate | None
    unlabelled: Rate | None
    flipped: Rate
    flipped_8bit: Rate
    rmse: float | None
    linf: float | None
    steps: float | None
    forwards: float
    backwards: float
    seconds: float
    accurate_8bit: Rate | None = None
    other_8bit: Rate | None = None
    unlabelled_8bit: Rate | None = None


def white_box_table(rows: pd.DataFrame) -> list[WhiteBoxRow]:
    """Count what every attack does to every metric it is made on.

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``; those of transfer are left out.

    Returns:
        One entry for each attack on each metric, in the order of the rows.

    Raises:
        InputError: if a triplet occurs twice for one attack on one metric.
    """
    return [_row(group) for group in alike(pick(rows, is_white_box(rows)), ("source", "attack", "recipe"))]


def _row(group: pd.DataFrame) -> WhiteBoxRow:
    flipped, flipped_8bit = flags(group, "flipped"), flags(group, "flipped_8bit")
    shared, labelled, accurate = photographs(group), is_labelled(group), is_accurate(group)

    def rate_of(flips: NDArray[np.bool_], among: NDArray[np.bool_]) -> Rate | None:
        return rate_over(flips, shared, among) if among.any() else None

    def median(column: str) -> float | None:
        return float(np.median(numbers(group, column)[flipped])) if flipped.any() else None

    def mean(column: str) -> float:
        return float(numbers(group, column).mean())

    return WhiteBoxRow(
        metric=texts(group, "source")[0],
        attack=texts(group, "attack")[0],
        protocol=texts(group, "protocol")[0],
        n=len(group),
        accurate=rate_of(flipped, accurate),
        other=rate_of(flipped, labelled & ~accurate),
        unlabelled=rate_of(flipped, ~labelled),
        flipped=rate_over(flipped, shared),
        flipped_8bit=rate_over(flipped_8bit, shared),
        rmse=median("rmse"),
        linf=median("linf"),
        steps=median("steps"),
        forwards=mean("forwards"),
        backwards=mean("backwards"),
        seconds=mean("seconds"),
        accurate_8bit=rate_of(flipped_8bit, accurate),
        other_8bit=rate_of(flipped_8bit, labelled & ~accurate),
        unlabelled_8bit=rate_of(flipped_8bit, ~labelled),
    )
