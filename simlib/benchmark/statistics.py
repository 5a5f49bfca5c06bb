"""Intervals for what was measured on a sample."""

from __future__ import annotations

from dataclasses import dataclass

from scipy.stats import binomtest
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
