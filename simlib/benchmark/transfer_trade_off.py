"""Accuracy against robustness where images were made on another metric."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simlib.benchmark.counting import alike, having
from simlib.benchmark.trade_off import TradeOff, entry_of

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
    entries = [entry_of(group, "flipped_8bit") for group in alike(made, ("target",))]
    return [entry for entry in entries if entry.metric != source]
