"""Differences against closed forms, another library and simulations; tests against plain enumeration."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.benchmark.paired import _exchange, corrected, difference, mcnemar
from simlib.errors import InputError
from tests.benchmark.test_statistics import clustered


def test_a_difference_of_independent_samples_is_that_of_bonett_and_price_or_wider() -> None:
    first, second = (np.repeat([1, 0, 0], [60, 0, 40]) > 0, np.repeat([1, 0, 1, 0], [45, 15, 5, 35]) > 0)
    found = difference(first, second, None)
    only_first, only_second = 16 / 102, 6 / 102
    middle = only_first - only_second
    half = 1.959963984540054 * ((only_first + only_second - middle**2) / 102) ** 0.5
    assert (found.value, found.n, found.photographs) == (pytest.approx(0.1), 100, None)
    assert found.low <= middle - half + 1e-12 and middle + half - 1e-12 <= found.high
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half), abs=0.01)
    assert str(found).startswith("+10.0 points (95 % interval +1.")
    assert found == difference(first, second, np.arange(100))


def test_samples_of_few_photographs_count_as_fewer_samples() -> None:
    rng = np.random.default_rng(3)
    photographs = np.arange(400) % 10
    first, second = (rng.random(400) < rng.random(10)[photographs] for _ in range(2))
    found, independent = (difference(first, second, groups) for groups in (photographs, None))
    turned = difference(second, first, photographs)
    assert (-turned.high, -turned.low) == pytest.approx((found.low, found.high))
    assert (found.value, found.photographs) == (independent.value, 10)
    assert found.high - found.low > 2 * (independent.high - independent.low)
    # Wholly alike within a photograph, samples say as much as one of each photograph does, or less.
    repeated = [np.repeat(each[:10], 40) for each in (first, second)]
    alike = difference(repeated[0], repeated[1], np.repeat(np.arange(10), 40))
    once = difference(first[:10], second[:10], None)
    assert alike.value == pytest.approx(once.value)
    assert alike.low < once.low < once.high < alike.high


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
        found = difference(kinds <= 1, kinds % 2 == 0, None)
        covered += found.low <= 0.12 <= found.high
    assert 0.91 < covered / 300 < 0.99


def test_no_difference() -> None:
    empty = np.zeros(0, bool)
    with pytest.raises(InputError, match="at least one sample"):
        difference(empty, empty, [])
    with pytest.raises(InputError, match="second has shape"):
        difference([True], [True, False], None)
    assert difference([True], [True], ["a"]) == difference([True], [True], None)
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
    assert _exchange(first.astype(int) - second.astype(int)) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_the_exchange_of_photographs_by_enumeration(gains: list[int]) -> None:
    sums = [
        abs(sum(sign * gain for sign, gain in zip(signs, gains, strict=True)))
        for signs in itertools.product((-1, 1), repeat=len(gains))
    ]
    expected = sum(each >= abs(sum(gains)) for each in sums) / len(sums)
    assert _exchange(np.array(gains)) == pytest.approx(expected, abs=1e-9)
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
