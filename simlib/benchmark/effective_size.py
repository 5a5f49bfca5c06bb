"""How much samples say about a share where several of them come from one photograph."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95

_UPPER = (1 + CONFIDENCE) / 2
_TYPICAL = 0.1
"""Correlation of samples of one photograph that is assumed before any is seen."""


def score_interval(share: float, error: float) -> tuple[float, float]:
    """Return the smallest and the largest m in [0, 1] with (share - m)^2 <= error m (1 - m).

    With the error of independent samples, the squared quantile over their number, this is Wilson's (1927).
    """
    if math.isinf(error):
        return 0.0, 1.0
    middle = (share + error / 2) / (1 + error)
    reach = math.sqrt(error * (share * (1 - share) + error / 4)) / (1 + error)
    return max(min(middle - reach, share), 0.0), min(max(middle + reach, share), 1.0)


def independent_error(n: int) -> float:
    """Return the squared quantile of the normal distribution over the number of samples."""
    return float(ndtri(_UPPER)) ** 2 / n


def squared_error(values: NDArray[np.float64], photographs: NDArray[Any]) -> tuple[float, int | None]:
    """Return a squared quantile over the effective number of samples, and the number of photographs.

    :func:`simlib.benchmark.statistics.rate` explains both. The latter is None where each sample has its own.

    Args:
        values: (N,) in [0, 1], at least one.
        photographs: (N,).
    """
    n = len(values)
    names, groups = np.unique(photographs, return_inverse=True)
    m = len(names)
    if m == n:
        return independent_error(n), None
    if m == 1:
        return math.inf, 1
    sizes = np.bincount(groups)
    design_effect = 1 + (float(sizes @ sizes) / n - 1) * _correlation(values, groups, sizes)
    return float(stdtrit(m - 1, _UPPER)) ** 2 * design_effect / n, m


def _correlation(values: NDArray[np.float64], groups: NDArray[Any], sizes: NDArray[Any]) -> float:
    """Return how much two values (N,) of one group correlate, in [0, 1]; of m groups, 2 <= m < N."""
    n, m, middle = len(values), len(sizes), values.mean()
    means = np.bincount(groups, weights=values) / sizes
    between = float(sizes @ (means - middle) ** 2) / (m - 1)
    within = float(((values - means[groups]) ** 2).sum()) / (n - m)
    size = (n - float(sizes @ sizes) / n) / (m - 1)
    total = between + (size - 1) * within
    found = max(between - within, 0.0) / total if total > 0 else 0.0
    # Samples above the mean of a rate are the successes, those below are the failures.
    above, below = (len(np.unique(groups[side])) for side in (values > middle, values < middle))
    informative = max(min(above, below), 1)
    return ((informative - 1) * found + _TYPICAL) / informative
