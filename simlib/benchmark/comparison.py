"""Comparisons: two metrics on the same triplets, and one metric on triplets of different kinds."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simlib.benchmark.counting import (
    alike,
    flags,
    having,
    is_accurate,
    is_counted,
    is_labelled,
    is_white_box,
    numbers,
    once,
    photographs,
    pick,
    texts,
)
from simlib.benchmark.resampling import numbered
from simlib.benchmark.statistics import Difference, Rate, corrected, difference, mcnemar, rate_over
from simlib.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """Two metrics on the same triplets.

    Attributes:
        first: name of a metric.
        second: name of another.
        n: triplets that count for both.
        both: how many of them are flipped for both.
        only_first: how many for the first alone.
        only_second: how many for the second alone.
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
    """The rate of flips among triplets of one kind.

    Attributes:
        label: the kind.
        rate: of flips; None if no triplet is of this kind.
    """

    label: str
    rate: Rate | None


def compare_targets(
    rows: pd.DataFrame, source: str, attack: str, *, targets: Sequence[str] | None = None
) -> list[Comparison]:
    """Compare every two metrics that judge the images of one attack on one metric.

    Flips are counted on the images rounded to 8 bits, among the triplets that count for both (see
    :class:`simlib.benchmark.matrix.TransferCell`).

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``.
        source: name of the metric that the images were made on.
        attack: title of the attack.
        targets: names of the metrics to compare; None for all but the source.

    Returns:
        The comparisons, by order of the first metric, then of the second.

    Raises:
        UnknownNameError: if there is no such source, attack or target.
        InputError: if a triplet occurs twice for one target.
    """
    made = having(having(rows, "source", source, "source"), "attack", attack, "attack")
    if targets is None:
        targets = [name for name in dict.fromkeys(texts(made, "target")) if name != source]
    parts = {target: once(having(made, "target", target, "target")) for target in targets}
    return _Judged.by(parts, is_counted, "flipped_8bit").every_two()


def compare_metrics(rows: pd.DataFrame, attack: str) -> list[Comparison]:
    """Compare every two metrics that were attacked with one attack, each with images of its own.

    Flips are counted as the protocol does, among the triplets that both rank as labelled before the attack,
    and among all that have no label.

    Args:
        rows: of one plan, with the columns of ``rows.SCHEMA``; those of transfer are left out.
        attack: title of the attack.

    Returns:
        The comparisons, by order of the first metric, then of the second.

    Raises:
        UnknownNameError: if there is no such attack.
        InputError: if a triplet occurs twice for one metric.
    """
    made = having(pick(rows, is_white_box(rows)), "attack", attack, "attack")
    parts = {texts(part, "source")[0]: part for part in alike(made, ("source",))}
    return _Judged.by(parts, lambda part: ~is_labelled(part) | is_accurate(part), "flipped").every_two()


def by_margin(rows: pd.DataFrame, bounds: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0)) -> list[Stratum]:
    """Count flips by how clear the rank is before the attack.

    The measure is the ratio of the smaller to the larger distance by the source, as Ghildyal & Liu 2023
    report it: 1 where both images are equally close.

    Args:
        rows: of one attack on one metric. Those of the metric itself: then all count, flips as the protocol
            counts them. Or with those of one other metric: then these count as in the transfer matrix, and
            the metric's own tell the ratio.
        bounds: upper ends of the ranges, rising, the last 1. A range holds its lower end and not its upper
            one, but the last holds 1.

    Returns:
        One entry for each range.

    Raises:
        InputError: if the rows are of several attacks, sources or targets, those of the source itself are
            missing, or the bounds are not as above.
    """
    edges = [0.0, *bounds]
    if any(low >= high for low, high in pairwise(edges)) or edges[-1] != 1:
        raise InputError(f"The bounds are {list(bounds)}. Give rising ones above 0, the last 1.")
    table = _Table.of(rows)
    kinds = np.clip(np.searchsorted(edges, table.ratios(), side="right") - 1, 0, len(bounds) - 1)
    labels = [f"{low:g} to {high:g}" for low, high in pairwise(edges)]
    return [Stratum(label, table.rate(kinds == number)) for number, label in enumerate(labels)]


def by_distortion(rows: pd.DataFrame) -> list[Stratum]:
    """Count flips by what was done to the two images; a triplet counts for every distortion of either.

    Args:
        rows: as for :func:`by_margin`.

    Returns:
        One entry for each distortion, by name.

    Raises:
        InputError: as by :func:`by_margin`, but for the bounds.
    """
    table = _Table.of(rows)
    pairs = zip(*(texts(table.rows, column) for column in ("distortion0", "distortion1")), strict=True)
    kinds = [_distortions(first) | _distortions(second) for first, second in pairs]
    return [
        Stratum(name, table.rate(np.array([name in each for each in kinds], bool)))
        for name in sorted(frozenset().union(*kinds))
    ]


@dataclass(frozen=True)
class _Judged:
    """What metrics make of the same triplets, each triplet in one place.

    Attributes:
        photographs: (T,), by number.
        counted: (T,) by name of the metric, whether a triplet counts for it.
        flipped: (T,) likewise, whether it is flipped.
    """

    photographs: NDArray[np.int64]
    counted: Mapping[str, NDArray[np.bool_]]
    flipped: Mapping[str, NDArray[np.bool_]]

    @classmethod
    def by(
        cls,
        parts: Mapping[str, pd.DataFrame],
        counts: Callable[[pd.DataFrame], NDArray[np.bool_]],
        flips: str,
    ) -> _Judged:
        """Collect what metrics make of triplets, some of which a metric may lack."""
        places: dict[str, int] = {}
        shared: list[str] = []
        for part in parts.values():
            for triplet, photograph in zip(texts(part, "triplet"), texts(part, "photograph"), strict=True):
                if places.setdefault(triplet, len(places)) == len(shared):
                    shared.append(photograph)
        counted, flipped = ({name: np.zeros(len(places), bool) for name in parts} for _ in range(2))
        for name, part in parts.items():
            place = np.array([places[triplet] for triplet in texts(part, "triplet")], int)
            counted[name][place], flipped[name][place] = counts(part), flags(part, flips)
        return cls(numbered(np.array(shared, str)), counted, flipped)

    def every_two(self) -> list[Comparison]:
        """Compare every two metrics, then correct for the number of comparisons."""
        found = [self._compare(*pair) for pair in combinations(self.counted, 2)]
        values = iter(corrected([each.p_value for each in found if each.p_value is not None]))
        return [each if each.p_value is None else replace(each, corrected=next(values)) for each in found]

    def _compare(self, first: str, second: str) -> Comparison:
        among = self.counted[first] & self.counted[second]
        if not among.any():
            return Comparison(first, second, 0, 0, 0, 0, None, None, None)
        flips, shared = (self.flipped[first][among], self.flipped[second][among]), self.photographs[among]
        tested = mcnemar(*flips, shared)
        return Comparison(
            first=first,
            second=second,
            n=int(among.sum()),
            both=tested.both,
            only_first=tested.only_first,
            only_second=tested.only_second,
            difference=difference(*flips, shared),
            p_value=tested.p_value,
            corrected=None,
        )


@dataclass(frozen=True)
class _Table:
    """Flips of one attack on one metric, judged by it or by one other.

    Attributes:
        own: the rows of the metric itself.
        rows: those whose flips are asked for.
        counted: (N,), which of these count.
        flipped: (N,), which are flipped.
    """

    own: pd.DataFrame
    rows: pd.DataFrame
    counted: NDArray[np.bool_]
    flipped: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: pd.DataFrame) -> _Table:
        """Read rows, after a look that they are of one table."""
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
        if len(others) == 0:
            return cls(own, own, np.ones(len(own), bool), flags(own, "flipped"))
        return cls(own, others, is_counted(others), flags(others, "flipped_8bit"))

    def rate(self, among: NDArray[np.bool_]) -> Rate | None:
        """Return how often triplets (N,) are flipped, of those that count."""
        among = among & self.counted
        return rate_over(self.flipped, photographs(self.rows), among) if among.any() else None

    def ratios(self) -> NDArray[np.float64]:
        """Return the smaller over the larger distance by the source, unattacked, (N,); 1 for 0 over 0."""
        distances = np.stack([numbers(self.own, column) for column in ("distance0", "distance1")])
        smaller, larger = distances.min(0), distances.max(0)
        ratio = np.divide(smaller, larger, out=np.ones_like(larger), where=larger > 0)
        known = dict(zip(texts(self.own, "triplet"), ratio, strict=True))
        if missing := [name for name in texts(self.rows, "triplet") if name not in known]:
            raise InputError(
                f"The source's own row of triplet {missing[0]} is missing, which tells its ratio. "
                "Give the source's own rows together with those of the other metric."
            )
        return np.array([known[name] for name in texts(self.rows, "triplet")], float)


def _distortions(text: str) -> frozenset[str]:
    """Name what was done to an image, from a text such as "Gaussian blur 0.40, then JPEG 0.80"."""
    return frozenset(re.sub(r" \d+(\.\d+)?$", "", step) for step in text.split(", then "))
