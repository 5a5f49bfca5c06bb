"""Intervals against closed forms, other libraries and simulations; tests against plain enumeration."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from simlib.benchmark.resampling import exchange
from simlib.benchmark.statistics import (
    Mean,
    Rate,
    Share,
    corrected,
    counted,
    difference,
    disagreements,
    mcnemar,
    mean_interval,
    median_interval,
    rate,
    rate_over,
    wilson,
)
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
    assert (rate.low, rate.high) == pytest.approx(proportion_confint(successes, n, method="wilson"), abs=1e-9)


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


def test_rates_and_means_are_shares() -> None:
    assert issubclass(Rate, Share) and issubclass(Mean, Share)
    assert wilson(1, 4) == Rate(1, 4, wilson(1, 4).low, wilson(1, 4).high)
    assert (
        str(Mean(0.5, 40, 0.4, 0.6, 8)) == "50.0% (95 % interval 40.0% to 60.0%, n = 40 from 8 photographs)"
    )
    assert (counted(1234, None), counted(12, 1)) == ("1,234", "12 from 1 photograph")


@st.composite
def clustered(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Booleans, and the photograph of each."""
    n = draw(st.integers(1, 60))
    photographs = draw(st.lists(st.integers(0, 9), min_size=n, max_size=n))
    return np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n))), np.array(photographs)


@settings(deadline=None, max_examples=50)
@given(clustered())
def test_a_rate_over_photographs_is_never_narrower_than_wilsons(
    sample: tuple[np.ndarray, np.ndarray],
) -> None:
    happened, photographs = sample
    found, independent = rate_over(happened, photographs), wilson(int(happened.sum()), len(happened))
    assert (found.successes, found.n) == (independent.successes, independent.n)
    assert 0 <= found.low <= independent.low <= found.value <= independent.high <= found.high <= 1
    distinct = len(set(photographs.tolist()))
    assert found.photographs == (None if distinct == len(happened) else distinct)


@settings(deadline=None, max_examples=50)
@given(clustered(), st.randoms(use_true_random=False))
def test_a_rate_knows_no_order_and_no_names(sample: tuple[np.ndarray, np.ndarray], random: Any) -> None:
    happened, photographs = sample
    order = random.sample(range(len(happened)), len(happened))
    names = [f"photograph {photographs[place]}" for place in order]
    shuffled = rate_over(torch.from_numpy(happened)[order], names)
    assert shuffled == rate_over(happened, photographs)


def test_independent_samples_have_wilsons_interval() -> None:
    happened = np.arange(12) < 5
    assert rate_over(happened, [str(number) for number in range(12)]) == wilson(5, 12)
    # those that count come from one photograph each, though others share them
    photographs, among = np.array([0, 1, 2, 2, 2, 2]), np.array([True, True, True, False, False, False])
    assert rate_over(happened[:6], photographs, among) == wilson(3, 3)


def test_only_those_among_count() -> None:
    rng = np.random.default_rng(0)
    happened, among, photographs = rng.random(80) < 0.4, rng.random(80) < 0.7, rng.integers(0, 6, 80)
    assert rate_over(happened, photographs, among) == rate_over(happened[among], photographs[among])
    with pytest.raises(InputError, match="0 samples is no share"):
        rate_over(happened, photographs, np.zeros(80, bool))


@pytest.mark.parametrize("happens", [True, False])
def test_one_photograph_tells_nothing_of_others(happens: bool) -> None:
    found = rate_over(np.full(40, happens), ["the only one"] * 40)
    assert (found.low, found.high, found.photographs) == (0, 1, 1)


def test_photographs_that_are_alike_leave_wilsons_interval() -> None:
    found, known = rate_over(np.ones(40, bool), np.arange(40) // 5), wilson(40, 40)
    assert (found.low, found.high, found.photographs) == (known.low, known.high, 8)


def moved_out(photographs: int) -> float:
    """The confidence level at which percentiles of few clusters are taken, from Hesterberg's definition."""
    student = float(scipy.stats.t.isf(0.025, photographs - 1))
    return 1 - 2 * float(scipy.stats.norm.sf(student * (photographs / (photographs - 1)) ** 0.5))


@pytest.mark.parametrize("photographs", [3, 8, 40])
def test_the_bootstrap_is_that_of_scipy(photographs: int) -> None:
    rng = np.random.default_rng(photographs)
    groups = rng.integers(0, photographs, 300)
    happened = rng.random(300) < rng.random(photographs)[groups]
    found = rate_over(happened, groups)
    other = scipy.stats.bootstrap(
        (np.bincount(groups, weights=happened), np.bincount(groups)),
        lambda sums, sizes, axis: sums.sum(axis) / sizes.sum(axis),
        paired=True,
        method="percentile",
        confidence_level=moved_out(photographs),
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.012)
    assert (
        found.high - found.low > wilson(found.successes, found.n).high - wilson(found.successes, found.n).low
    )


@pytest.mark.parametrize(("photographs", "share"), [(8, 0.4), (12, 0.2)])
def test_photographs_cover_where_wilsons_interval_does_not(photographs: int, share: float) -> None:
    rng = np.random.default_rng(photographs)
    covered = np.zeros(2)
    for _ in range(250):
        groups = rng.integers(0, photographs, 512)
        # rates of photographs spread such that two samples of one correlate by 1/10
        rates = rng.beta(9 * share, 9 * (1 - share), photographs)
        happened = rng.random(512) < rates[groups]
        both = rate_over(happened, groups), wilson(int(happened.sum()), 512)
        covered += [each.low <= share <= each.high for each in both]
    assert covered[0] / 250 > 0.91
    assert covered[1] / 250 < 0.75


@pytest.mark.parametrize(
    "wrong", [{"photographs": ["a"]}, {"among": [True]}, {"happened": [[True]]}, {"happened": [1, 0]}]
)
def test_what_is_not_one_boolean_for_each(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"has shape"):
        rate_over(**{"happened": [True, False], "photographs": ["a", "a"], **wrong})


def test_a_difference_of_independent_samples_is_that_of_bonett_and_price_or_wider() -> None:
    first, second = (
        np.array([1] * 60 + [0] * 40, bool),
        np.array([1] * 45 + [0] * 15 + [1] * 5 + [0] * 35, bool),
    )
    found = difference(first, second, np.arange(100))
    only_first, only_second = 16 / 102, 6 / 102
    middle = only_first - only_second
    half = 1.959963984540054 * ((only_first + only_second - middle**2) / 102) ** 0.5
    assert (found.value, found.n, found.photographs) == (pytest.approx(0.1), 100, None)
    assert found.low <= middle - half + 1e-12 and middle + half - 1e-12 <= found.high
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=0.01)
    assert str(found).startswith("+10.0 points (95 % interval +1.")


def test_the_paired_bootstrap_is_that_of_scipy() -> None:
    rng = np.random.default_rng(3)
    groups = rng.integers(0, 10, 400)
    first, second = (rng.random(400) < rng.random(10)[groups] for _ in range(2))
    found = difference(first, second, groups)
    other = scipy.stats.bootstrap(
        (np.bincount(groups, weights=first), np.bincount(groups, weights=second), np.bincount(groups)),
        lambda a, b, sizes, axis: (a.sum(axis) - b.sum(axis)) / sizes.sum(axis),
        paired=True,
        method="percentile",
        confidence_level=moved_out(10),
        rng=np.random.default_rng(1),
    ).confidence_interval
    turned = difference(second, first, groups)
    assert (-turned.high, -turned.low) == pytest.approx((found.low, found.high), abs=0.02)
    assert found.photographs == 10
    assert (found.low, found.high) == pytest.approx((other.low, other.high), abs=0.02)


@settings(deadline=None, max_examples=50)
@given(clustered(), st.integers(0, 2**31))
def test_a_difference_turns_its_sign_with_the_order(sample: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    first, photographs = sample
    second = np.random.default_rng(seed).random(len(first)) < 0.5
    found, turned = difference(first, second, photographs), difference(second, first, photographs)
    assert found.value == -turned.value
    assert -1 <= found.low <= found.value + 1e-9 and found.value - 1e-9 <= found.high <= 1
    assert found.low < found.high


def test_the_difference_of_few_samples_covers() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        # in this order: both, only the first, only the second, neither
        kinds = rng.choice(4, 40, p=[0.5, 0.2, 0.08, 0.22])
        found = difference(kinds <= 1, kinds % 2 == 0, np.arange(40))
        covered += found.low <= 0.12 <= found.high
    assert 0.91 < covered / 300 < 0.99


def test_no_difference() -> None:
    empty = np.zeros(0, bool)
    with pytest.raises(InputError, match="at least one sample"):
        difference(empty, empty, [])
    assert (difference([True], [True], ["a"]).low, difference([True], [True], ["a"]).high) == (-1, 1)
    found = difference([True] * 9, [True] * 9, ["a"] * 9)
    assert (found.low, found.high, found.photographs) == (-1, 1, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_mcnemar_is_a_test_of_a_fair_coin(pairs: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(each) for each in zip(*pairs, strict=True))
    found = mcnemar(first, second)
    counts = [pairs.count(each) for each in ((True, True), (True, False), (False, True), (False, False))]
    assert [found.both, found.only_first, found.only_second, found.neither] == counts
    discordant = found.only_first + found.only_second
    expected = scipy.stats.binomtest(found.only_first, discordant).pvalue if discordant else 1.0
    assert found.p_value == pytest.approx(expected, abs=1e-12)
    assert mcnemar(first, second, np.arange(len(pairs))) == found
    # the exchange of photographs with one sample each is the same test, by another way
    assert exchange(first.astype(int) - second.astype(int)) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_the_exchange_of_photographs_by_enumeration(gains: list[int]) -> None:
    sums = [
        abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(gains))
    ]
    expected = sum(each >= abs(sum(gains)) for each in sums) / len(sums)
    assert exchange(np.array(gains)) == pytest.approx(expected, abs=1e-9)
    photographs = np.repeat(np.arange(len(gains)), 6)
    first = np.concatenate([np.arange(6) < gain for gain in gains])
    second = np.concatenate([np.arange(6) < -gain for gain in gains])
    assert mcnemar(first, second, photographs).p_value == pytest.approx(expected, abs=1e-9)


def test_photographs_keep_the_error_that_mcnemars_test_exceeds() -> None:
    rng = np.random.default_rng(0)
    groups = np.arange(300) // 25
    below = np.zeros(2)
    for _ in range(400):
        # each photograph favours one of the two, and none of the two is favoured by all
        favour = rng.choice([0.3, 0.7], 12)[groups]
        first, second = rng.random(300) < favour, rng.random(300) < 1 - favour
        below += [mcnemar(first, second, shared).p_value < 0.05 for shared in (groups, None)]
    assert below[0] / 400 < 0.075
    assert below[1] / 400 > 0.2


# statsmodels collects garbage in every call
@settings(deadline=None, max_examples=8)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holms_correction_by_hand(p_values: list[float]) -> None:
    found = corrected(p_values)
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min((len(p_values) - rank) * p_values[place], 1.0))
        assert found[place] == pytest.approx(highest)
    assert len(found) == len(p_values)


@pytest.mark.parametrize("p_values", [[math.nan], [0.1, 1.2], [-0.1]])
def test_no_p_values(p_values: list[float]) -> None:
    with pytest.raises(InputError, match=r"outside \[0, 1\]"):
        corrected(p_values)
