"""Accuracy against robustness where images were made on another metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.benchmark.counting import (
    alike,
    flags,
    having,
    is_accurate,
    is_counted,
    is_labelled,
    photographs,
    texts,
)
from simlib.benchmark.statistics import rate_over
from simlib.benchmark.trade_off import TradeOff

if TYPE_CHECKING:
    import pandas as pd


def trade_off_under_transfer(rows: pd.DataFrame, source: str, attack: str) -> list[TradeOff]:
    """Return the accuracy of every metric, and its robustness to images made on another.

    Robust is the share of the triplets that count in the transfer matrix whose image, rounded to 8 bits, does
    not flip the target: of those that have a label, unless none has one.

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``.
        source: name of the metric that images were made on.
        attack: title of the attack.

    Returns:
        One entry for each target but the source, in the order of the rows.

    Raises:
        UnknownNameError: if there is no such source or attack.
        InputError: if a triplet occurs twice for one target.
    """
    made = having(having(rows, "source", source, "source"), "attack", attack, "attack")
    entries = [_entry(group) for group in alike(made, ("target",))]
    return [entry for entry in entries if entry.metric != source]


def _entry(group: pd.DataFrame) -> TradeOff:
    labelled, shared = is_labelled(group), photographs(group)
    counted = is_counted(group) & labelled if labelled.any() else is_counted(group)
    return TradeOff(
        metric=texts(group, "target")[0],
        accuracy=rate_over(is_accurate(group), shared, labelled) if labelled.any() else None,
        robust=rate_over(~flags(group, "flipped_8bit"), shared, counted) if counted.any() else None,
    )
