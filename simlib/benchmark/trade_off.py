"""Accuracy against robustness: how well metrics agree with labels, and how well that stands an attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simlib.benchmark.counting import (
    alike,
    flags,
    having,
    is_accurate,
    is_counted,
    is_labelled,
    is_white_box,
    photographs,
    pick,
    texts,
)
from simlib.benchmark.statistics import Rate, rate_over

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TradeOff:
    """A metric by its accuracy and its robustness.

    Attributes:
        metric: name of the metric.
        accuracy: how often it ranks labelled triplets as labelled, before the attack; None without labels.
        robust: how many of the triplets it is right about the attack does not flip, as the protocol counts;
            of all triplets where there are no labels at all; None if it is right about none.
    """

    metric: str
    accuracy: Rate | None
    robust: Rate | None


def trade_off(rows: pd.DataFrame, attack: str) -> list[TradeOff]:
    """Return the accuracy and the robustness of every metric that was attacked with an attack.

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``; those of transfer are left out.
        attack: title of the attack.

    Returns:
        One entry for each metric, in the order of the rows.

    Raises:
        UnknownNameError: if there is no such attack.
        InputError: if a triplet occurs twice for one metric.
    """
    made = having(pick(rows, is_white_box(rows)), "attack", attack, "attack")
    return [entry_of(group, "flipped") for group in alike(made, ("source",))]


def entry_of(group: pd.DataFrame, flip: str) -> TradeOff:
    """Return the accuracy of the metric that judges some rows, and its robustness to their images.

    Args:
        group: the rows of one attack, source and target.
        flip: the column that says whether an image flips the metric.
    """
    labelled, shared = is_labelled(group), photographs(group)
    counted = is_counted(group) & labelled if labelled.any() else is_counted(group)
    return TradeOff(
        metric=texts(group, "target")[0],
        accuracy=rate_over(is_accurate(group), shared, labelled) if labelled.any() else None,
        robust=rate_over(~flags(group, flip), shared, counted) if counted.any() else None,
    )
