"""Intervals for what was measured on a sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.stats import binom, binomtest
from torch import Tensor

from simlib.errors import InputError

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rate:
    """A share of successes, never without its n and its 95 % interval.

    Attributes:
        successes: how many.
        n: of how many.
        low: lower end of the interval, in [0, 1].
        high: upper end.
    """

    successes: int
    n: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The share itself, in [0, 1]."""
        return self.successes / self.n

    def __str__(self) -> str:
        return f"{self.value:.1%} (95 % interval {self.low:.1%} to {self.high:.1%}, n = {self.n:,})"


def wilson(successes: int, n: int) -> Rate:
    """Return the share of successes with Wilson's 95 % interval (Wilson 1927).

    The interval takes the samples as independent; samples cut from one photograph are less than that.

    Args:
        successes: number of successes, from 0 to n.
        n: number of samples, at least 1.

    Raises:
        InputError: if there is no sample, or more successes than samples.
    """
    if not 0 <= successes <= n or n < 1:
        raise InputError(
            f"{successes} successes of {n} samples is no share. Give 0 <= successes <= n, n >= 1."
        )
    interval = binomtest(int(successes), int(n)).proportion_ci(CONFIDENCE, method="wilson")
    return Rate(int(successes), int(n), float(interval.low), float(interval.high))


@dataclass(frozen=True)
class Median:
    """A median, never without its n and its 95 % interval; all in the units of what was measured.

    Attributes:
        value: the median; infinite if half of the values are.
        n: of how many values.
        low: lower end of the interval; minus infinity where so few values allow none.
        high: upper end; likewise, infinity.
    """

    value: float
    n: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} (95 % interval {self.low:.3g} to {self.high:.3g}, n = {self.n:,})"


def median_interval(values: Tensor) -> Median:
    """Return the median with its exact 95 % interval between two of the sorted values.

    How many values lie below the true median is binomial, whatever their distribution is; the interval
    covers it at least 95 times in 100. From fewer than six values there is no such interval. Infinite
    values, as of a radius that was not found, count as large and do no harm.

    Args:
        values: (N,), none of them NaN.

    Raises:
        InputError: if there is no value, or one is NaN.
    """
    n = len(values)
    if n == 0 or bool(values.isnan().any()):
        raise InputError("A median needs at least one value, and none that is NaN. Leave NaN out first.")
    ordered = values.detach().double().cpu().sort().values
    middle = float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
    below = int(binom.ppf((1 - CONFIDENCE) / 2, n, 0.5))
    if below == 0:
        return Median(middle, n, -torch.inf, torch.inf)
    return Median(middle, n, float(ordered[below - 1]), float(ordered[n - below]))


def disagreements(ranks: Tensor) -> list[list[Rate | None]]:
    """Return how often every two metrics rank the same images differently.

    Args:
        ranks: (metrics, N) of booleans, whether a metric finds the second image closer.

    Returns:
        A square of rates, None on its diagonal.
    """
    n = ranks.shape[1]
    return [
        [None if i == j else wilson(int((a != b).sum()), n) for j, b in enumerate(ranks)]
        for i, a in enumerate(ranks)
    ]
