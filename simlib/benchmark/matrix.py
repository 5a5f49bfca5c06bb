"""The transfer matrix: images made on one metric, shown to the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simlib.benchmark.counting import alike, flags, having, is_counted, is_white_box, photographs, pick, texts
from simlib.benchmark.statistics import Rate, rate_over
from simlib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TransferCell:
    """What images made on one metric do to another.

    Attributes:
        source: name of the metric that the images were made on.
        attack: title of the attack.
        target: name of the metric that judges them.
        n: triplets attacked, of those that were chosen.
        counted: those of them on which source and target agree before the attack: with the label, or with
            each other where there is none.
        flipped: among the counted, how often the image, rounded to 8 bits, flips the target; None if none
            counts.
    """

    source: str
    attack: str
    target: str
    n: int
    counted: int
    flipped: Rate | None


def transfer_matrix(rows: pd.DataFrame, *, chosen_by: str = "") -> list[TransferCell]:
    """Count how often images made on one metric flip another.

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``.
        chosen_by: title of an attack; then only the triplets count that it flips on the source, as in
            Ghildyal & Liu 2023. Empty for all triplets.

    Returns:
        One entry for each source, attack and other metric, in the order of the rows.

    Raises:
        InputError: if a source was not attacked by ``chosen_by``, or a triplet occurs twice for one source,
            attack and target.
        UnknownNameError: if there is no attack of that title.
    """
    if len(rows) == 0:
        return []
    white_box = is_white_box(rows)
    groups = alike(pick(rows, ~white_box), ("source", "attack", "target"))
    if not chosen_by:
        return [_cell(group, group) for group in groups]
    flips = _flips_of(pick(rows, white_box), chosen_by)
    return [_cell(group, _chosen(group, flips, chosen_by)) for group in groups]


def _cell(group: pd.DataFrame, chosen: pd.DataFrame) -> TransferCell:
    counted = is_counted(chosen)
    return TransferCell(
        source=texts(group, "source")[0],
        attack=texts(group, "attack")[0],
        target=texts(group, "target")[0],
        n=len(chosen),
        counted=int(counted.sum()),
        flipped=rate_over(flags(chosen, "flipped_8bit"), photographs(chosen), counted)
        if counted.any()
        else None,
    )


def _flips_of(own: pd.DataFrame, title: str) -> dict[str, set[str]]:
    """Return the triplets that an attack flips, by the metric that it was made on."""
    groups = alike(having(own, "attack", title, "attack"), ("source",))
    return {
        texts(group, "source")[0]: set(texts(pick(group, flags(group, "flipped")), "triplet"))
        for group in groups
    }


def _chosen(group: pd.DataFrame, flips: Mapping[str, set[str]], title: str) -> pd.DataFrame:
    """Return the rows of one source whose triplets an attack flips on it."""
    source = texts(group, "source")[0]
    if source not in flips:
        raise InputError(
            f"{title} was not made on {source}, so it cannot choose triplets for it. Name an attack that "
            "was made on every source, or none."
        )
    return pick(group, np.array([name in flips[source] for name in texts(group, "triplet")], bool))
