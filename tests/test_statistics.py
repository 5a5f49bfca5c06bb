"""Wilson's interval against its closed form; the interval of a median against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simlib.benchmark.statistics import disagreements, median_interval, wilson
from simlib.errors import InputError


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_closed_form(sample: tuple[int, int]) -> None:
    successes, n = sample
    z, share = 1.959963984540054, successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    rate = wilson(successes, n)
    assert rate.value == share
    assert rate.low == pytest.approx(max(centre - half, 0), abs=1e-9)
    assert rate.high == pytest.approx(min(centre + half, 1), abs=1e-9)


def test_a_rate_is_written_with_its_n_and_interval() -> None:
    assert str(wilson(50, 100)) == "50.0% (95 % interval 40.4% to 59.6%, n = 100)"


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_no_share(successes: int, n: int) -> None:
    with pytest.raises(InputError, match="is no share"):
        wilson(successes, n)


def test_disagreements_are_symmetric_and_leave_the_diagonal_blank() -> None:
    ranks = torch.tensor([[True, True, False], [True, False, False], [False, False, True]])
    counts = [[rate and rate.successes for rate in row] for row in disagreements(ranks)]
    assert counts == [[None, 1, 3], [1, None, 2], [3, 2, None]]


def coverage(n: int, order: int) -> float:
    """How often the interval from the order-th smallest to the order-th largest of n holds the median."""
    return 1 - 2 * sum(math.comb(n, below) for below in range(order)) / 2**n


@given(st.integers(6, 400))
def test_the_interval_of_a_median_is_the_narrowest_that_covers(n: int) -> None:
    # The values are their own ranks, in a shuffled order.
    values = torch.randperm(n, generator=torch.Generator().manual_seed(n)) + 1.0
    median = median_interval(values)
    order = int(median.low)
    assert median.high == n + 1 - order
    assert median.value == pytest.approx((n + 1) / 2)
    assert coverage(n, order) >= 0.95 > coverage(n, order + 1)


@pytest.mark.parametrize("n", range(1, 6))
def test_few_values_have_a_median_and_no_interval(n: int) -> None:
    median = median_interval(torch.arange(n) * 1.0)
    assert median.value == (n - 1) / 2
    assert (median.low, median.high) == (-math.inf, math.inf)


def test_infinite_values_count_as_large() -> None:
    values = torch.tensor([3.0, math.inf, 1.0, 2.0, math.inf, 4.0, 5.0])
    median = median_interval(values)
    assert (median.value, median.low, median.high) == (4.0, 1.0, math.inf)
    assert median_interval(torch.tensor([1.0, math.inf])).value == math.inf
    assert str(median) == "4 (95 % interval 1 to inf, n = 7)"


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_no_median(values: list[float]) -> None:
    with pytest.raises(InputError, match="needs at least one value"):
        median_interval(torch.tensor(values))
