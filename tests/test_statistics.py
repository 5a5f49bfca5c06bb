"""Wilson's interval against its closed form; the interval of a median against its definition."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simlib.benchmark.statistics import disagreements, mean_interval, median_interval, rate, wilson
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


def test_rate_counts_a_mask_among_others() -> None:
    happened, among = torch.tensor([True, False, True, True]), torch.tensor([True, True, True, False])
    assert rate(happened) == wilson(3, 4)
    assert rate(happened, among) == wilson(2, 3)
    with pytest.raises(InputError):
        rate(happened, torch.zeros(4, dtype=torch.bool))


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_mean_is_that_of_a_rate_where_shares_are_0_or_1(sample: tuple[int, int]) -> None:
    successes, n = sample
    mean, known = mean_interval((torch.arange(n) < successes).float()), wilson(successes, n)
    assert mean.n == n
    assert (mean.value, mean.low, mean.high) == pytest.approx((known.value, known.low, known.high), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_the_interval_of_a_mean_holds_it_and_mirrors(shares: list[float]) -> None:
    mean, mirrored = mean_interval(torch.tensor(shares)), mean_interval(1 - torch.tensor(shares))
    assert 0 <= mean.low <= mean.value + 1e-12
    assert mean.value - 1e-12 <= mean.high <= 1
    assert mean.low < mean.high
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - mean.high, 1 - mean.low), abs=1e-6)


def test_shares_that_are_equal_have_an_interval_that_narrows() -> None:
    widths = [(mean := mean_interval(torch.full((n,), 0.7))).high - mean.low for n in (1, 4, 16, 64)]
    assert 1 > widths[0] > 3 * widths[2] > 0
    assert widths == sorted(widths, reverse=True)


def test_a_large_sample_has_the_interval_of_the_normal_distribution() -> None:
    shares = torch.tensor([0.2, 0.4, 0.6, 0.8, 1.0], dtype=torch.float64).repeat(20_000)
    mean = mean_interval(shares)
    half = 1.959963984540054 * float(shares.std()) / len(shares) ** 0.5
    assert mean.high - mean.value == pytest.approx(half, rel=1e-3)
    assert mean.value - mean.low == pytest.approx(half, rel=1e-3)


def choices(kind: str, n: int, generator: torch.Generator) -> torch.Tensor:
    """Shares as 2AFC scores have them, (1000, n): of five votes, all alike, or hardly ever wrong."""
    uniform = torch.rand((1000, n), generator=generator)
    if kind == "votes":
        chosen = torch.binomial(torch.full((1000, n), 5.0), uniform, generator=generator) / 5
        best = torch.maximum(chosen, 1 - chosen)
        return torch.where(torch.rand((1000, n), generator=generator) < 0.8, best, 1 - best)
    return torch.where(uniform < 0.9, 0.6, 0.4) if kind == "alike" else (uniform < 0.95).float()


@pytest.mark.parametrize("kind", ["votes", "alike", "seldom"])
@pytest.mark.parametrize("n", [10, 30, 200])
def test_the_interval_of_a_mean_covers(kind: str, n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    truth = float(choices(kind, 2000, generator).double().mean())
    means = [mean_interval(shares) for shares in choices(kind, n, generator)]
    # 0.91 is 0.95 less what a thousand simulations and Wilson's own steps leave
    assert sum(mean.low <= truth <= mean.high for mean in means) / len(means) > 0.91


@pytest.mark.parametrize("shares", [[], [0.5, math.nan], [1.5], [-0.1, 0.2]])
def test_no_mean(shares: list[float]) -> None:
    with pytest.raises(InputError, match="mean of shares needs at least one"):
        mean_interval(torch.tensor(shares))


def test_a_mean_is_written_as_a_rate_is() -> None:
    assert str(mean_interval(torch.tensor([1.0, 0.0]).repeat(50))) == str(wilson(50, 100))
