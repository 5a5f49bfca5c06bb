"""Two things looked at on the same samples: the difference of their rates, and tests of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simlib.benchmark.effective_size import independent_error, squared_error
from simlib.benchmark.statistics import Estimate, Values, booleans, counted, grouped
from simlib.errors import InputError


class Difference(Estimate):
    """The first of two rates on the same samples less the second, in [-1, 1]."""

    def __str__(self) -> str:
        value, low, high = (f"{100 * each:+.1f}" for each in (self.value, self.low, self.high))
        return f"{value} points (95 % interval {low} to {high}, n = {counted(self.n, self.photographs)})"


def difference(first: Values, second: Values, photographs: Values | None) -> Difference:
    """Return how much more often the first of two things happened, both looked at on the same samples.

    The interval is Wald's with one sample more of each kind of disagreement (Bonett & Price 2012, Journal of
    Educational and Behavioral Statistics 37), so it has a width even where the two never disagree. Where
    samples share photographs, it is that of fewer samples, as :func:`simlib.benchmark.statistics.rate`
    counts them. From one photograph that several samples share, it is all of [-1, 1].

    Args:
        first: (N,) of booleans.
        second: (N,), likewise.
        photographs: (N,), as by :func:`simlib.benchmark.statistics.rate`.

    Raises:
        InputError: if there is no sample, or the arguments are not of one length.
    """
    first = booleans(first, "first")
    n = len(first)
    second = booleans(second, "second", n)
    groups = grouped(photographs, n)
    if n == 0:
        raise InputError("A difference needs at least one sample. Give samples that both were measured on.")
    gains = first.astype(float) - second.astype(float)
    error, shared = squared_error((1 + gains) / 2, groups)
    value = float(gains.mean())
    return Difference(
        value, n, *_bonett_price(float((gains > 0).mean()), float((gains < 0).mean()), error), shared
    )


def _bonett_price(only_first: float, only_second: float, error: float) -> tuple[float, float]:
    """Return an interval of a difference; the error is the squared quantile over the number of samples."""
    squared_quantile = independent_error(1)
    n = squared_quantile / error
    first, second = ((n * share + 1) / (n + 2) for share in (only_first, only_second))
    reach = math.sqrt(squared_quantile * (first + second - (first - second) ** 2) / (n + 2))
    return max(first - second - reach, -1.0), min(first - second + reach, 1.0)


@dataclass(frozen=True)
class McNemar:
    """On how many samples two things happened, and the exact two-sided p-value of equal rates."""

    both: int
    only_first: int
    only_second: int
    neither: int
    p_value: float


def mcnemar(first: Values, second: Values, photographs: Values | None = None) -> McNemar:
    """Test whether of two things, looked at on the same samples, one happens more often (McNemar 1947).

    Samples that share a photograph carry less information than as many independent ones. Then the two are
    exchanged for all samples of a photograph at once: the p-value is the share of all such exchanges that
    make a difference at least as large as the one found. Where every photograph occurs once, that is
    McNemar's exact test. With m photographs, it is at least 2^(1 - m).

    Raises:
        InputError: if the arguments, which are those of :func:`difference`, are not of one length.
    """
    from statsmodels.stats.contingency_tables import mcnemar as test

    first = booleans(first, "first")
    n = len(first)
    second = booleans(second, "second", n)
    counts = [int((a & b).sum()) for a in (first, ~first) for b in (second, ~second)]
    groups = np.unique(grouped(photographs, n), return_inverse=True)[1]
    if n and int(groups.max()) + 1 < n:
        gains = np.bincount(groups, weights=first.astype(float) - second.astype(float))
        return McNemar(*counts, p_value=_exchange(gains.astype(np.int64)))
    return McNemar(*counts, p_value=float(vars(test([counts[:2], counts[2:]], exact=True))["pvalue"]))


def _exchange(gains: NDArray[np.int64]) -> float:
    """Return how probable it is that gains (groups,) of random sign add up to as much or more, either way.

    Exact, not drawn. The sum has a product of cosines as its characteristic function, whose Fourier transform
    gives the probability of each value it can take.
    """
    sizes, many = np.unique(np.abs(gains[gains != 0]), return_counts=True)
    most, found = int((sizes * many).sum()), abs(int(gains.sum()))
    if found == 0:
        return 1.0
    angles = 2 * np.pi * np.arange(2 * most + 1) / (2 * most + 1)
    product = np.prod(np.cos(np.outer(sizes, angles)) ** many[:, None], axis=0)
    probabilities = np.fft.fft(product).real / (2 * most + 1)
    # The transform is exact to about 1e-16, and no sum of m signs is less probable than 2 of 2^m.
    return float(min(max(2 * probabilities[found : most + 1].sum(), 2.0 ** (1 - many.sum())), 1.0))


def corrected(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of tests, by Holm's method (1979).

    All of those below 0.05 together are wrong in at most 5 of 100 such sets of tests, whether the tests
    depend on each other or not. The order stays.

    Raises:
        InputError: if one lies outside [0, 1] or is NaN.
    """
    from statsmodels.stats.multitest import multipletests

    if not all(0 <= each <= 1 for each in p_values):
        raise InputError("A p-value lies outside [0, 1] or is NaN. Leave out the tests that have none.")
    if len(p_values) == 0:
        return []
    result: Any = multipletests(np.asarray(p_values, float), method="holm")
    return [float(each) for each in result[1]]
