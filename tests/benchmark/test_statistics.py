"""Rates, means and medians: against closed forms, other libraries and plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from simlib.benchmark.statistics import (
    Mean,
    Rate,
    Share,
    counted,
    disagreements,
    mean,
    median,
    rate,
    wilson,
)
from simlib.errors import InputError

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@st.composite
def clustered(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Booleans, and the photograph of each."""
    n = draw(st.integers(1, 60))
    photographs = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    return np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))), np.array(photographs)


@given(counts)
def test_wilson_is_that_of_statsmodels(sample: tuple[int, int]) -> None:
    found = wilson(*sample)
    assert found.value == sample[0] / sample[1]
    assert (found.low, found.high) == pytest.approx(proportion_confint(*sample, method="wilson"), abs=1e-9)
    assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_no_share(successes: int, n: int) -> None:
    with pytest.raises(InputError, match="is no share"):
        wilson(successes, n)


def test_shares_as_text() -> None:
    assert issubclass(Rate, Share) and issubclass(Mean, Share)
    assert str(wilson(50, 100)) == "50.0% (95 % interval 40.4% to 59.6%, n = 100)"
    assert str(mean(torch.tensor([1.0, 0.0]).repeat(50), None)) == str(wilson(50, 100))
    few = Mean(0.5, 40, 0.4, 0.6, 8)
    assert str(few) == "50.0% (95 % interval 40.0% to 60.0%, n = 40 from 8 photographs)"
    assert (counted(1234, None), counted(12, 1)) == ("1,234", "12 from 1 photograph")
    assert str(median([4.0, 4.0], ["a", "a"])) == "4 (95 % interval -inf to inf, n = 2 from 1 photograph)"


@settings(deadline=None)
@given(clustered())
def test_a_rate_over_photographs_by_its_definition(sample: tuple[np.ndarray, np.ndarray]) -> None:
    happened, photographs = sample
    n, names = len(happened), sorted(set(photographs.tolist()))
    found, independent = rate(happened, photographs), wilson(int(happened.sum()), n)
    assert (found.successes, found.n) == (independent.successes, n)
    if len(names) in (1, n):
        expected = independent if n == 1 or len(names) > 1 else Rate(found.successes, n, 0.0, 1.0, 1)
        assert found == expected
        return
    groups = [happened[photographs == name].astype(float) for name in names]
    squares = sum(len(each) ** 2 for each in groups)
    size = (n - squares / n) / (len(names) - 1)
    correlation = 0.0
    if 0 < happened.sum() < n:
        f = np.inf if all(len(set(each)) == 1 for each in groups) else scipy.stats.f_oneway(*groups).statistic
        correlation = 1.0 if f == np.inf else max((f - 1) / (f - 1 + size), 0.0)
    rarer = max(min(sum(each.max() == 1 for each in groups), sum(each.min() == 0 for each in groups)), 1)
    correlation = ((rarer - 1) * correlation + 0.1) / rarer
    effective = n / (1 + (squares / n - 1) * correlation)
    z, t = scipy.stats.norm.isf(0.025), scipy.stats.t.isf(0.025, len(names) - 1)
    effective *= (z / t) ** 2
    expected = proportion_confint(found.value * effective, effective, method="wilson")
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert found.low <= independent.low <= independent.high <= found.high
    assert found.photographs == len(names)


@settings(deadline=None, max_examples=50)
@given(clustered(), st.randoms(use_true_random=False))
def test_neither_order_nor_names_nor_type_matter(sample: tuple[np.ndarray, np.ndarray], random: Any) -> None:
    happened, photographs = sample
    order = random.sample(range(len(happened)), len(happened))
    names = [f"photograph {photographs[place]}" for place in order]
    known = rate(happened, photographs)
    for found in (
        rate(torch.from_numpy(happened)[order], names),
        rate(happened.tolist(), torch.from_numpy(photographs)),
    ):
        assert (found.successes, found.photographs) == (known.successes, known.photographs)
        assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-12)
    opposite = rate(~happened, photographs)
    assert (1 - opposite.high, 1 - opposite.low) == pytest.approx((known.low, known.high), abs=1e-12)


def test_independent_samples_have_wilsons_interval() -> None:
    happened = np.arange(12) < 5
    assert rate(happened, None) == wilson(5, 12)
    assert rate(happened, [str(number) for number in range(12)]) == wilson(5, 12)
    # those that count come from one photograph each, though others share them
    photographs, among = np.array([0, 1, 2, 2, 2, 2]), np.array([True, True, True, False, False, False])
    assert rate(happened[:6], photographs, among) == wilson(3, 3)


def test_only_those_among_count() -> None:
    rng = np.random.default_rng(0)
    happened, among, photographs = rng.random(80) < 0.4, rng.random(80) < 0.7, rng.integers(0, 6, 80)
    assert rate(happened, photographs, among) == rate(happened[among], photographs[among])
    assert rate(torch.from_numpy(happened), None, torch.from_numpy(among)) == rate(happened[among], None)
    with pytest.raises(InputError, match="0 samples is no share"):
        rate(happened, photographs, np.zeros(80, bool))


@pytest.mark.parametrize(
    "wrong", [{"photographs": ["a"]}, {"among": [True]}, {"happened": [[True]]}, {"happened": [1, 0]}]
)
def test_what_is_not_one_boolean_for_each(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"has shape"):
        rate(**{"happened": [True, False], "photographs": ["a", "a"], **wrong})


@settings(deadline=None, max_examples=50)
@given(clustered())
def test_the_mean_of_shares_that_are_0_or_1_is_a_rate(sample: tuple[np.ndarray, np.ndarray]) -> None:
    happened, photographs = sample
    found, known = mean(happened.astype(float), photographs), rate(happened, photographs)
    assert (found.n, found.photographs) == (known.n, known.photographs)
    assert (found.value, found.low, found.high) == pytest.approx((known.value, known.low, known.high))


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 9)), min_size=1, max_size=60), st.booleans())
def test_the_interval_of_a_mean_holds_it_and_mirrors(rows: list[tuple[int, int]], shared: bool) -> None:
    counts, photographs = (np.array(each) for each in zip(*rows, strict=True))
    # Exact in binary, and so is 1 minus it: what equals the mean must do so in the mirror.
    shares = counts / 64
    found, mirrored = (mean(each, photographs if shared else None) for each in (shares, 1 - shares))
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-6)


def test_shares_that_are_equal_have_an_interval_that_narrows() -> None:
    widths = [(found := mean(torch.full((n,), 0.7), None)).high - found.low for n in (1, 4, 16, 64)]
    assert 1 > widths[0] > 3 * widths[2] > 0
    assert widths == sorted(widths, reverse=True)


def test_a_large_sample_has_the_interval_of_the_normal_distribution() -> None:
    shares = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=torch.float64).repeat(20_000)
    found = mean(shares, None)
    half = 1.959963984540054 * float(shares.std()) / len(shares) ** 0.5
    assert (found.high - found.value, found.value - found.low) == pytest.approx((half, half), rel=1e-3)


@pytest.mark.parametrize("shares", [[], [0.5, math.nan], [1.5], [-0.1, 0.2]])
def test_no_mean(shares: list[float]) -> None:
    with pytest.raises(InputError, match="mean of shares needs at least one"):
        mean(torch.tensor(shares), None)


def covers_median(n: int, order: int) -> float:
    """How often the interval from the order-th smallest to the order-th largest of n holds the median."""
    return 1 - 2 * sum(math.comb(n, below) for below in range(order)) / 2**n


@given(st.integers(6, 400))
def test_the_interval_of_a_median_is_the_narrowest_that_covers(n: int) -> None:
    # the values are their own ranks, in a shuffled order
    values = torch.randperm(n, generator=torch.Generator().manual_seed(n)) + 1.0
    found = median(values, None)
    order = int(found.low)
    assert found.high == n + 1 - order
    assert found.value == pytest.approx((n + 1) / 2)
    assert covers_median(n, order) >= 0.95 > covers_median(n, order + 1)


@settings(deadline=None, max_examples=50)
@given(clustered())
def test_a_median_over_photographs_is_as_far_off_as_a_rate_from_one_half(
    sample: tuple[np.ndarray, np.ndarray],
) -> None:
    above, photographs = sample
    # twice the samples, mirrored, so that half of each photograph lie above the median
    above, photographs = np.concatenate([above, ~above]), np.tile(photographs, 2)
    n = len(above)
    values = np.where(above, 1, -1) * (1 + np.arange(n) % (n // 2))
    found, independent = median(values, photographs), median(values, None)
    assert found.value == 0
    assert found.low <= independent.low <= independent.high <= found.high
    if found.low > -math.inf and found.photographs is not None:
        # Wilson's interval of one half reaches half / sqrt(1 + half^2 / (1/4)) where the score reaches half
        reach = 0.5 - rate(values > 0, photographs).low
        half = reach / (1 - 4 * reach**2) ** 0.5
        allowed = min(math.floor(n * (0.5 - half) + 1e-9), int(scipy.stats.binom.ppf(0.025, n, 0.5)))
        assert ((values < found.low).sum(), (values > found.high).sum()) == (allowed - 1, allowed - 1)


@pytest.mark.parametrize("n", range(1, 6))
def test_few_values_have_a_median_and_no_interval(n: int) -> None:
    found = median(torch.arange(n) * 1.0, None)
    assert (found.value, found.low, found.high) == ((n - 1) / 2, -math.inf, math.inf)
    one = median(np.arange(40 + n), ["the only one"] * (40 + n))
    assert (one.low, one.high, one.photographs) == (-math.inf, math.inf, 1)


def test_infinite_values_count_as_large() -> None:
    found = median(torch.tensor([3.0, math.inf, 1.0, 2.0, math.inf, 4.0, 5.0]), None)
    assert (found.value, found.low, found.high) == (4.0, 1.0, math.inf)
    assert median([1.0, math.inf], None).value == math.inf
    assert median([math.inf] * 30, np.arange(30) // 2).low == math.inf
    assert str(found) == "4 (95 % interval 1 to inf, n = 7)"


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_no_median(values: list[float]) -> None:
    with pytest.raises(InputError, match="needs at least one value"):
        median(torch.tensor(values), None)


def test_disagreements_are_symmetric_and_leave_the_diagonal_blank() -> None:
    ranks = torch.tensor([[True, True, False], [True, False, False], [False, False, True]])
    found = disagreements(ranks, ["a", "b", "b"])
    assert [[each and each.successes for each in row] for row in found] == [
        [None, 1, 3],
        [1, None, 2],
        [3, 2, None],
    ]
    assert found[0][1] == rate([False, True, False], ["a", "b", "b"])
