"""Comparisons: two metrics on the same triplets, and one metric on triplets of different kinds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simlib.benchmark.paired import Difference, corrected, difference, mcnemar
from simlib.benchmark.rates import flipped_by, rate_in
from simlib.benchmark.selection import (
    Flags,
    flags,
    groups,
    having,
    is_counted,
    is_white_box,
    numbers,
    once,
    pick,
    texts,
)
from simlib.benchmark.statistics import Rate
from simlib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Two metrics, by name, on the n triplets that count for both, and how many of these they flip on.

    Attributes:
        difference: rate of the first less that of the second; None if no triplet counts for both.
        p_value: of McNemar's test, or its like where triplets share photographs; None likewise.
        corrected: the same by Holm's method, for all comparisons made together; None likewise.
    """

    first: str
    second: str
    n: int
    both: int
    only_first: int
    only_second: int
    difference: Difference | None
    p_value: float | None
    corrected: float | None


@dataclass(frozen=True)
class Stratum:
    """The rate of flips among triplets of one kind; None if no triplet is of this kind."""

    label: str
    rate: Rate | None


def compare_targets(
    rows: pd.DataFrame, source: str, attack: str, *, targets: Sequence[str] | None = None
) -> list[Comparison]:
    """Compare every two metrics that judge the images of one attack on one metric.

    Flips are counted on the images rounded to 8 bits, among the triplets that count for both (see
    :func:`simlib.benchmark.selection.is_counted`).

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``.
        source: name of the metric that the images were made on.
        attack: title of the attack.
        targets: names of the metrics to compare; None for all but the source.

    Raises:
        UnknownNameError: if there is no such source, attack or target.
        InputError: if a triplet occurs twice for one target.
    """
    made = having(having(rows, "source", source), "attack", attack)
    if targets is None:
        targets = [name for name in dict.fromkeys(texts(made, "target")) if name != source]
    parts = {target: once(having(made, "target", target)) for target in targets}
    return _every_two(parts, "flipped_8bit")


def compare_metrics(rows: pd.DataFrame, attack: str) -> list[Comparison]:
    """Compare every two metrics that were attacked with one attack, each with images of its own.

    Flips are counted as the protocol does, among the triplets that both rank as labelled before the attack,
    and among all that have no label.

    Rows and errors are as of :func:`compare_targets`; rows of transfer are left out.
    """
    made = having(pick(rows, is_white_box(rows)), "attack", attack)
    parts = {texts(part, "source")[0]: part for part in groups(made, ("source",))}
    return _every_two(parts, "flipped")


def compare_attacks(
    rows: pd.DataFrame, source: str, target: str, attacks: tuple[str, str], *, chosen_by: str = ""
) -> Difference | None:
    """Say how much more often images of the first of two attacks flip a metric than those of the second.

    Images are made on one metric and judged by another. Flips are counted as by :func:`compare_targets`, on
    the same triplets for both attacks.

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``.
        source: name of the metric that the images were made on.
        target: name of the metric that judges them.
        attacks: titles of both.
        chosen_by: title of a third one; then only triplets count that it flips on the source.

    Returns:
        The difference of the rates; None if no triplet counts.

    Raises:
        UnknownNameError: if there is no such source, attack or target.
        InputError: if a triplet occurs twice for one attack.
    """
    made = having(rows, "source", source)
    judged = having(made, "target", target)
    first, second = (
        once(having(judged, "attack", title)).set_index("triplet", drop=False) for title in attacks
    )
    second = second.loc[texts(first, "triplet")]
    counts = is_counted(first)
    if chosen_by:
        flipped = flipped_by(having(made, "target", source), chosen_by)[source]
        counts &= np.isin(texts(first, "triplet").astype(str), sorted(flipped))
    if not counts.any():
        return None
    flips, others = (flags(part, "flipped_8bit")[counts] for part in (first, second))
    return difference(flips, others, texts(first, "photograph")[counts])


def by_margin(rows: pd.DataFrame, bounds: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0)) -> list[Stratum]:
    """Count flips by how clear the rank is before the attack, with one entry for each range.

    The measure is the ratio of the smaller to the larger distance by the source, as Ghildyal & Liu 2023
    report it: 1 where both images are equally close. Triplets with a distance below zero have none, and are
    in no range.

    Args:
        rows: of one attack on one metric. Those of the metric itself: then all count, flips as the protocol
            counts them. Or with those of one other metric: then these count as in the transfer matrix, and
            the metric's own tell the ratio.
        bounds: upper ends of the ranges, rising, the last 1. A range holds its lower end and not its upper
            one, but the last holds 1.

    Raises:
        InputError: if the rows are of several attacks, sources or targets, those of the source itself are
            missing, or the bounds are not as above.
    """
    edges = [0.0, *bounds]
    if any(low >= high for low, high in pairwise(edges)) or edges[-1] != 1:
        raise InputError(f"The bounds are {list(bounds)}. Give increasing numbers above 0, ending with 1.")
    table = _Flips.of(rows)
    ratios = table.ratios()
    kinds = np.clip(np.searchsorted(edges, ratios, side="right") - 1, 0, len(bounds) - 1)
    kinds[np.isnan(ratios)] = -1
    labels = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return [Stratum(label, table.rate(kinds == number)) for number, label in enumerate(labels)]


def by_distortion(rows: pd.DataFrame) -> list[Stratum]:
    """Count flips by what was done to the two images; a triplet counts for every distortion of either.

    Rows and errors are as of :func:`by_margin`. Returns one entry for each distortion, by name.
    """
    table = _Flips.of(rows)
    pairs = zip(*(texts(table.rows, column) for column in ("distortion0", "distortion1")), strict=True)
    kinds = [_distortions(first) | _distortions(second) for first, second in pairs]
    return [
        Stratum(name, table.rate(np.array([name in each for each in kinds], bool)))
        for name in sorted(frozenset().union(*kinds))
    ]


def _every_two(parts: Mapping[str, pd.DataFrame], flips: str) -> list[Comparison]:
    """Compare every two metrics on the triplets of both, and correct for the number of comparisons."""
    import pandas as pd

    judged = {
        name: pd.DataFrame(
            {
                "photograph": texts(part, "photograph"),
                "counted": is_counted(part),
                "flipped": flags(part, flips),
            },
            index=texts(part, "triplet"),
        )
        for name, part in parts.items()
    }
    found = [_compare(*pair, judged) for pair in combinations(judged, 2)]
    values = iter(corrected([each.p_value for each in found if each.p_value is not None]))
    return [each if each.p_value is None else replace(each, corrected=next(values)) for each in found]


def _compare(first: str, second: str, judged: Mapping[str, pd.DataFrame]) -> Comparison:
    both = judged[first].join(judged[second].add_suffix("_of_second"), how="inner")
    both = pick(both, flags(both, "counted") & flags(both, "counted_of_second"))
    if len(both) == 0:
        return Comparison(first, second, 0, 0, 0, 0, None, None, None)
    looked_at = flags(both, "flipped"), flags(both, "flipped_of_second"), texts(both, "photograph")
    tested = mcnemar(*looked_at)
    counts = tested.both, tested.only_first, tested.only_second
    return Comparison(first, second, len(both), *counts, difference(*looked_at), tested.p_value, None)


@dataclass(frozen=True)
class _Flips:
    """Rows of one attack on one metric: its own, those whose flips are asked for, and the column of flips."""

    own: pd.DataFrame
    rows: pd.DataFrame
    flips: str

    @classmethod
    def of(cls, rows: pd.DataFrame) -> _Flips:
        """Divide rows into the metric's own and the others', after a check that they belong together."""
        white_box = is_white_box(rows)
        own, others = pick(rows, white_box), pick(rows, ~white_box)
        for column, part in (("source", rows), ("attack", rows), ("target", others)):
            names = list(dict.fromkeys(texts(part, column)))
            if len(names) > 1:
                raise InputError(
                    f"The rows are of {len(names)} {column}s: {', '.join(names)}. Give those of one attack "
                    "on one metric, judged by it, or by it and one other."
                )
        own, others = once(own), once(others)
        return cls(own, others, "flipped_8bit") if len(others) else cls(own, own, "flipped")

    def rate(self, among: Flags) -> Rate | None:
        """Return how often triplets (N,) are flipped; of another judge's, those that count."""
        counted = np.ones(len(self.rows), bool) if self.flips == "flipped" else is_counted(self.rows)
        return rate_in(self.rows, flags(self.rows, self.flips), among & counted)

    def ratios(self) -> NDArray[np.float64]:
        """Return the smaller over the larger distance by the source, unattacked, (N,); 1 for 0 over 0.

        NaN where one of them is below zero: their ratio has no meaning.
        """
        distances = np.stack([numbers(self.own, column) for column in ("distance0", "distance1")])
        smaller, larger = distances.min(0), distances.max(0)
        ratio = np.divide(smaller, larger, out=np.ones_like(larger), where=larger > 0)
        ratio[smaller < 0] = np.nan
        known = dict(zip(texts(self.own, "triplet"), ratio, strict=True))
        if missing := [name for name in texts(self.rows, "triplet") if name not in known]:
            raise InputError(
                f"The source's own row of triplet {missing[0]} is missing, which gives its ratio. "
                "Give the source's own rows together with those of the other metric."
            )
        return np.array([known[name] for name in texts(self.rows, "triplet")], float)


def _distortions(text: str) -> frozenset[str]:
    """Name what was done to an image, from a text such as "Gaussian blur 0.40, then JPEG 0.80"."""
    return frozenset(re.sub(r" \d+(\.\d+)?$", "", step) for step in text.split(", then "))
