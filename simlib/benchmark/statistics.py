"""Rates, means and medians, each with its n and a 95 % interval that takes account of shared photographs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom
from torch import Tensor

from simlib.benchmark.effective_size import CONFIDENCE, independent_error, score_interval, squared_error
from simlib.errors import InputError

Values = ArrayLike | Tensor
"""One value for each sample (N,): a tensor on any device, an array or a sequence."""


@dataclass(frozen=True)
class Estimate:
    """A number found from samples, never without its n and its 95 % interval.

    Attributes:
        value: the number.
        n: of how many samples.
        low: lower end of the interval.
        high: upper end.
        photographs: from how many photographs the samples come; None where samples are independent.
    """

    value: float
    n: int
    low: float
    high: float
    photographs: int | None = None

    _form: ClassVar[str] = ".1%"

    def __str__(self) -> str:
        value, low, high = (format(each, self._form) for each in (self.value, self.low, self.high))
        return f"{value} (95 % interval {low} to {high}, n = {counted(self.n, self.photographs)})"


def counted(n: int, photographs: int | None, of: str = "") -> str:
    """Return a number of samples as text, with that of the photographs where samples share them.

    ``of`` says what they are, such as ``"triplets"``.
    """
    number = f"{n:,} {of}".rstrip()
    if photographs is None:
        return number
    return f"{number} from {photographs:,} photograph{'' if photographs == 1 else 's'}"


class Share(Estimate):
    """A share of something; all in [0, 1]."""


class Mean(Share):
    """A mean of shares."""


@dataclass(frozen=True, init=False)
class Rate(Share):
    """A share of successes; ``successes`` says how many."""

    successes: int

    def __init__(
        self, successes: int, n: int, low: float, high: float, photographs: int | None = None
    ) -> None:
        super().__init__(successes / n, n, low, high, photographs)
        object.__setattr__(self, "successes", successes)


class Median(Estimate):
    """A median, in the units of what was measured; an end is infinite where so few values allow none."""

    _form = ".3g"


def wilson(successes: int, n: int) -> Rate:
    """Return a published share of successes with Wilson's 95 % interval (Wilson 1927).

    The interval takes samples as independent. For samples of one's own, use :func:`rate`.

    Raises:
        InputError: if there is no sample, or more successes than samples.
    """
    if not 0 <= successes <= n or n < 1:
        raise InputError(
            f"{successes} successes of {n} samples is no share. Give 0 <= successes <= n, n >= 1."
        )
    return Rate(int(successes), int(n), *score_interval(successes / n, independent_error(n)))


def rate(happened: Values, photographs: Values | None, among: Values | None = None) -> Rate:
    """Return how often something happened, with a 95 % interval over photographs.

    Where every photograph that counts occurs once, the interval is Wilson's (1927). Else it is Wilson's for
    fewer samples: n is divided by the design effect 1 + (k - 1) r, where r is the correlation of two samples
    of one photograph and k the number of samples that the photograph of a sample has, on average over samples
    (Kish 1965). Student's distribution, with one degree of freedom less than photographs, replaces the normal
    one (Korn & Graubard 1998, Survey Methodology 24). So the interval is never narrower than Wilson's. One
    photograph alone says nothing about others: its interval is all of [0, 1].

    Few photographs with few events say little about r. So r is ((c - 1) a + 0.1) / c, where a is the estimate
    from the analysis of variance (Ridout et al. 1999, Biometrics 55) and c the number of photographs that
    show the rarer of the two outcomes. Among 220 rates of this book's reference results, the largest estimate
    is 0.1. Franco et al. (2019, Journal of Survey Statistics and Methodology 7) find that a modelled design
    effect covers better than an estimated one.

    In simulations of 24 to 512 samples from 4 to 32 photographs, of equal and of unequal sizes, with an r of
    0 to 0.2, rates of 50, 10, 5 and 2 % were covered 92 to 100 times in 100, and no rate between less than
    90 times. With an r above 0.2 or thousands of samples from few photographs, rare events can be covered
    less often: 86 times in 100 for 3.5 % of 8,000 samples from 16 photographs with an r of 0.2.

    Args:
        happened: (N,) of booleans.
        photographs: (N,), the photograph that each sample was cut from, by name or number; None where
            samples are independent.
        among: (N,) of booleans, the samples that count; all of them if None.

    Raises:
        InputError: if no sample counts, or the arguments are not of one length.
    """
    happened = booleans(happened, "happened")
    groups = grouped(photographs, len(happened))
    if among is not None:
        among = booleans(among, "among", len(happened))
        happened, groups = happened[among], groups[among]
    independent = wilson(int(happened.sum()), len(happened))
    error, shared = squared_error(happened.astype(float), groups)
    if shared is None:
        return independent
    return Rate(independent.successes, independent.n, *score_interval(independent.value, error), shared)


def mean(shares: Values, photographs: Values | None) -> Mean:
    """Return the mean of shares with a 95 % interval that is that of :func:`rate` where all are 0 or 1.

    The variance of shares with mean m is m (1 - m) if all are 0 or 1, else a part of that. The interval is
    narrower by this part, which the sample gives. One vote that nobody can foresee is added to it, of
    variance 1/4, so that a few equal shares have an interval, too.

    Args:
        shares: (N,) in [0, 1].
        photographs: as by :func:`rate`.

    Raises:
        InputError: if there is no share, one lies outside [0, 1] or is NaN, or the arguments are not of one
            length.
    """
    values = _numbers(shares, "shares")
    n = len(values)
    if n == 0 or not ((values >= 0) & (values <= 1)).all():
        raise InputError("A mean of shares needs at least one, and all in [0, 1]. Leave NaN out first.")
    error, shared = squared_error(values, grouped(photographs, n))
    value = float(values.mean())
    # Shares that spread less say as much as a larger number of votes of 0 or 1 would.
    part = (n * float(values.var()) + 0.25) / (n * value * (1 - value) + 0.25)
    return Mean(value, n, *score_interval(value, error * part), shared)


def median(values: Values, photographs: Values | None) -> Median:
    """Return the median with a 95 % interval between two of the sorted values.

    How many values lie below the true median is binomial with a rate of one half, whatever their distribution
    is. Where values are independent, this gives the exact interval, which covers at least 95 times in 100;
    fewer than six values have none. Where they share photographs, the number below may be as far from n / 2
    as :func:`rate` allows a rate to be from one half (Woodruff 1952). Infinite values, as of a radius that
    was not found, count as large and do no harm.

    Args:
        values: (N,), none of them NaN.
        photographs: as by :func:`rate`.

    Raises:
        InputError: if there is no value, one is NaN, or the arguments are not of one length.
    """
    values = _numbers(values, "values")
    n = len(values)
    if n == 0 or np.isnan(values).any():
        raise InputError("A median needs at least one value, and none that is NaN. Leave NaN out first.")
    ordered = np.sort(values)
    middle = float((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
    # 1/2 where equal, so that values tied with the median count neither as below nor as above it.
    error, shared = squared_error((values > middle) + (values == middle) / 2, grouped(photographs, n))
    below = int(binom.ppf((1 - CONFIDENCE) / 2, n, 0.5))
    if shared is not None:
        below = min(below, math.floor(n * max(1 - math.sqrt(error), 0) / 2))
    if below == 0:
        return Median(middle, n, -math.inf, math.inf, shared)
    return Median(middle, n, float(ordered[below - 1]), float(ordered[n - below]), shared)


def disagreements(ranks: Values, photographs: Values | None) -> list[list[Rate | None]]:
    """Return how often every two metrics rank the same images differently.

    Args:
        ranks: (metrics, N) of booleans, whether a metric finds the second image closer.
        photographs: (N,), as by :func:`rate`.

    Returns:
        A square of rates, None on its diagonal.
    """
    rows = [booleans(row, "ranks") for row in array_of(ranks)]
    return [[None if a is b else rate(a != b, photographs) for b in rows] for a in rows]


def array_of(values: Values) -> NDArray[Any]:
    """Return values as an array in the memory of the processor."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def booleans(values: Values, name: str, n: int | None = None) -> NDArray[np.bool_]:
    """Return booleans as an array (N,); an InputError names an argument of another type, shape or length."""
    array = array_of(values)
    if array.ndim != 1 or (array.dtype != np.bool_ and len(array)):
        raise InputError(f"{name} has shape {array.shape} and type {array.dtype}. Give booleans (N,).")
    _require_length(array, name, n)
    return array.astype(np.bool_)


def grouped(photographs: Values | None, n: int) -> NDArray[Any]:
    """Return the photograph of each of n samples, (n,); an InputError if they are not n, or booleans."""
    if photographs is None:
        return np.arange(n)
    array = array_of(photographs)
    if array.dtype == np.bool_:
        raise InputError(
            "photographs must be names or numbers, not booleans. Did you mean among, the last argument?"
        )
    _require_length(array, "photographs", n)
    return array


def _require_length(array: NDArray[Any], name: str, n: int | None) -> None:
    if n is not None and array.shape != (n,):
        raise InputError(f"{name} has shape {array.shape}, the samples are {n}. Give one for each.")


def _numbers(values: Values, name: str) -> NDArray[np.float64]:
    array = array_of(values).astype(np.float64)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}. Give numbers (N,).")
    return array
