"""The rates of a benchmark, each defined once: white-box, transfer, and accuracy against robustness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simlib.benchmark.selection import (
    Flags,
    flags,
    groups,
    having,
    is_accurate,
    is_counted,
    is_labelled,
    is_white_box,
    numbers,
    pick,
    texts,
)
from simlib.benchmark.statistics import Rate, rate
from simlib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


def rate_in(rows: pd.DataFrame, happened: Flags, among: Flags | None = None) -> Rate | None:
    """Return how often something happened in rows (N,), over photographs; None if no row counts."""
    among = np.ones(len(rows), bool) if among is None else among
    return rate(happened, texts(rows, "photograph"), among) if among.any() else None


@dataclass(frozen=True)
class WhiteBoxRow:
    """What an attack does to the metric it is made on.

    Attributes:
        metric, attack, protocol: name of the metric, title of the attack, how its success is counted.
        n: triplets attacked.
        accurate, other, unlabelled: flips among the triplets that the metric ranks as labelled, against the
            label, and that have none; None if there is no such triplet.
        flipped, flipped_8bit: among all, as the protocol counts, and after rounding the image to 8 bits.
        rmse, linf, steps: medians over the flipped, of the root mean squared and the largest change in levels
            of 255, and of the steps; None if nothing flipped.
        forwards, backwards: mean number of images that the metric looked at, and of gradients, for a triplet.
        seconds: mean time for a triplet.
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


def white_box_table(rows: pd.DataFrame) -> list[WhiteBoxRow]:
    """Count what every attack does to every metric it is made on.

    The rows are of one plan, with the columns of ``rows.SCHEMA``; those of transfer are left out. There is an
    entry for each attack on each metric, in the order of the rows.

    Raises:
        InputError: if a triplet occurs twice in one entry.
    """
    return [
        _white_box(group) for group in groups(pick(rows, is_white_box(rows)), ("source", "attack", "recipe"))
    ]


def _white_box(group: pd.DataFrame) -> WhiteBoxRow:
    flipped, flipped_8bit = flags(group, "flipped"), flags(group, "flipped_8bit")
    photographs, labelled, accurate = texts(group, "photograph"), is_labelled(group), is_accurate(group)
    kinds = {"accurate": accurate, "other": labelled & ~accurate, "unlabelled": ~labelled}

    def median(column: str) -> float | None:
        return float(np.median(numbers(group, column)[flipped])) if flipped.any() else None

    def mean(column: str) -> float:
        return float(numbers(group, column).mean())

    return WhiteBoxRow(
        metric=texts(group, "source")[0],
        attack=texts(group, "attack")[0],
        protocol=texts(group, "protocol")[0],
        n=len(group),
        flipped=rate(flipped, photographs),
        flipped_8bit=rate(flipped_8bit, photographs),
        rmse=median("rmse"),
        linf=median("linf"),
        steps=median("steps"),
        forwards=mean("forwards"),
        backwards=mean("backwards"),
        seconds=mean("seconds"),
        **{kind: rate_in(group, flipped, among) for kind, among in kinds.items()},
    )


@dataclass(frozen=True)
class TransferCell:
    """What images made on one metric do to another.

    Attributes:
        source, attack, target: name of the metric that was attacked, title of the attack, name of the judge.
        n: triplets attacked, of those that were chosen.
        counted: those of them that count, see :func:`simlib.benchmark.selection.is_counted`.
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
        InputError: if a source was not attacked by ``chosen_by``, or a triplet occurs twice in one entry.
        UnknownNameError: if there is no attack of that title.
    """
    if len(rows) == 0:
        return []
    own, others = (pick(rows, which) for which in (is_white_box(rows), ~is_white_box(rows)))
    flipped = flipped_by(own, chosen_by) if chosen_by else None
    return [_cell(group, flipped, chosen_by) for group in groups(others, ("source", "attack", "target"))]


def transfer_rate(rows: pd.DataFrame) -> Rate | None:
    """Return how often rounded images of one attack, source and target flip; None if no row counts."""
    return rate_in(rows, flags(rows, "flipped_8bit"), is_counted(rows))


def _cell(group: pd.DataFrame, flipped: dict[str, set[str]] | None, title: str) -> TransferCell:
    source = texts(group, "source")[0]
    chosen = group
    if flipped is not None:
        if source not in flipped:
            raise InputError(
                f"{title} was not made on {source}, so it cannot choose triplets for it. Name an attack that "
                "was made on every source, or none."
            )
        chosen = pick(group, np.isin(texts(group, "triplet").astype(str), sorted(flipped[source])))
    return TransferCell(
        source=source,
        attack=texts(group, "attack")[0],
        target=texts(group, "target")[0],
        n=len(chosen),
        counted=int(is_counted(chosen).sum()),
        flipped=transfer_rate(chosen),
    )


def flipped_by(own: pd.DataFrame, title: str) -> dict[str, set[str]]:
    """Return the triplets that an attack flips, by the metric that it was made on.

    Args:
        own: rows of metrics that judge images made on themselves.
        title: of the attack; an UnknownNameError says that there is none.
    """
    return {
        texts(group, "source")[0]: set(texts(pick(group, flags(group, "flipped")), "triplet"))
        for group in groups(having(own, "attack", title), ("source",))
    }


@dataclass(frozen=True)
class TradeOff:
    """A metric, by name, with its accuracy and its robustness.

    Attributes:
        accuracy: how often it ranks labelled triplets as labelled, before the attack; None without labels.
        robust: how many of the triplets that count are not flipped: of those that have a label, and of all
            where none has one; None if none counts.
    """

    metric: str
    accuracy: Rate | None
    robust: Rate | None


def trade_off(rows: pd.DataFrame, attack: str, source: str = "") -> list[TradeOff]:
    """Return the accuracy and the robustness of metrics.

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``.
        attack: title of an attack.
        source: name of the metric that images were made on; every other metric is judged by them, rounded to
            8 bits. If empty, every metric is judged by the images made on itself, as the protocol counts.

    Returns:
        One entry for each metric, in the order of the rows.

    Raises:
        UnknownNameError: if there is no such source or attack.
        InputError: if a triplet occurs twice for one metric.
    """
    if not source:
        made = having(pick(rows, is_white_box(rows)), "attack", attack)
        return [_trade_off(group, "flipped") for group in groups(made, ("source",))]
    made = having(having(rows, "source", source), "attack", attack)
    others = pick(made, ~is_white_box(made))
    return [_trade_off(group, "flipped_8bit") for group in groups(others, ("target",))]


def _trade_off(group: pd.DataFrame, flip: str) -> TradeOff:
    labelled, counted = is_labelled(group), is_counted(group)
    return TradeOff(
        metric=texts(group, "target")[0],
        accuracy=rate_in(group, is_accurate(group), labelled),
        robust=rate_in(group, ~flags(group, flip), counted & labelled if labelled.any() else counted),
    )
