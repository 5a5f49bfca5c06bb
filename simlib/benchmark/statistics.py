"""Intervals for what was measured on a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.stats import binom, binomtest, norm
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


def rate(happened: Tensor, among: Tensor | None = None) -> Rate:
    """Return how often something happened, with Wilson's interval; see :func:`wilson`.

    Args:
        happened: (N,) of booleans.
        among: (N,) of booleans, the samples that count; all of them if None.

    Raises:
        InputError: if no sample counts.
    """
    counted = happened if among is None else happened[among]
    return wilson(int(counted.sum()), len(counted))


@dataclass(frozen=True)
class Mean:
    """A mean of shares, never without its n and its 95 % interval; all in [0, 1].

    Attributes:
        value: the mean.
        n: of how many shares.
        low: lower end of the interval.
        high: upper end.
    """

    value: float
    n: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.1%} (95 % interval {self.low:.1%} to {self.high:.1%}, n = {self.n:,})"


def mean_interval(shares: Tensor) -> Mean:
    """Return the mean of shares with a 95 % interval that is Wilson's where all of them are 0 or 1.

    Wilson's interval holds every mean m from which the one found is less than z standard errors away. The
    variance of shares is m (1 - m) if all are 0 or 1, else a part of that. Which part, the sample says, to
    which a vote that nobody can foresee is added, of variance 1/4: so a few equal shares have an interval,
    too. A bootstrap gives them none, and covers too seldom where few shares differ from the others.

    Shares are taken as independent, as by :func:`wilson`.

    Args:
        shares: (N,) in [0, 1].

    Raises:
        InputError: if there is no share, or one lies outside [0, 1] or is NaN.
    """
    n = len(shares)
    if n == 0 or not bool(((shares >= 0) & (shares <= 1)).all()):
        raise InputError("A mean of shares needs at least one, and all in [0, 1]. Leave NaN out first.")
    values = shares.detach().double().cpu()
    mean = float(values.mean())
    most = mean * (1 - mean)
    part = (n * float(values.var(correction=0)) + 0.25) / (n * most + 0.25)
    # Shares that spread less tell as much as a larger number of votes of 0 or 1 would.
    votes = n / part
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    middle = (mean + z * z / (2 * votes)) / (1 + z * z / votes)
    reach = z * math.sqrt(most / votes + (z / (2 * votes)) ** 2) / (1 + z * z / votes)
    return Mean(mean, n, max(middle - reach, 0.0), min(middle + reach, 1.0))


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
