"""Comparisons and strata: against counts by plain loops, SciPy's binomial test, and by hand at the edges."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.benchmark.comparison import (
    Comparison,
    by_distortion,
    by_margin,
    compare_attacks,
    compare_metrics,
    compare_targets,
)
from simlib.benchmark.paired import corrected, difference, mcnemar
from simlib.benchmark.statistics import wilson
from simlib.errors import InputError, UnknownNameError
from simlib.triplets import photos
from tests.benchmark.benchmark_rows import NAN, counts, each_of, group_of, joined, random_rows, rows_of


def table(rows: pd.DataFrame, source: str, attack: str, target: str, column: str) -> dict[str, bool]:
    """Which triplets count, and whether each is flipped."""
    own = source == target
    return {
        row.triplet: bool(getattr(row, column))
        for row in each_of(rows)
        if (row.source, row.attack, row.target) == (source, attack, target)
        and (group_of(row) != "other" if own else counts(row))
    }


def compare(first: dict[str, bool], second: dict[str, bool]) -> tuple[int, ...]:
    """Count n, both, only the first, only the second."""
    pairs = [(first[name], second[name]) for name in first if name in second]
    return len(pairs), *(pairs.count(each) for each in ((True, True), (True, False), (False, True)))


def counted(found: Comparison) -> tuple[int, ...]:
    return found.n, found.both, found.only_first, found.only_second


# statsmodels collects garbage whenever it corrects
@settings(deadline=None, max_examples=3)
@given(st.integers(0, 2**31), st.integers(1, 30))
@pytest.mark.slow
def test_comparisons_are_what_loops_count(seed: int, n: int) -> None:
    rows = random_rows(seed, n, metrics=("a", "b", "c", "d"), attacks=("PGD",))
    targets = {name: table(rows, "a", "PGD", name, "flipped_8bit") for name in "bcd"}
    metrics = {name: table(rows, name, "PGD", name, "flipped") for name in "abcd"}
    for found, expected in (
        (compare_targets(rows, "a", "PGD"), targets),
        (compare_metrics(rows, "PGD"), metrics),
    ):
        assert [(each.first, each.second) for each in found] == list(itertools.combinations(expected, 2))
        for each in found:
            assert counted(each) == compare(expected[each.first], expected[each.second])
            if each.n:
                assert each.difference is not None and each.difference.n == each.n
                assert each.difference.value == pytest.approx((each.only_first - each.only_second) / each.n)
        tested = [each for each in found if each.p_value is not None]
        assert [each.n > 0 for each in found] == [each in tested for each in found]
        known = corrected([each.p_value for each in tested if each.p_value is not None])
        assert [each.corrected for each in tested] == pytest.approx(known)


def test_independent_triplets_have_mcnemars_test_and_holms_correction() -> None:
    flips = {"b": [True] * 9 + [False], "c": [True] * 2 + [False] * 8, "d": [True] * 5 + [False] * 5}
    rows = joined(*(rows_of("a", "PGD", name, 10, flipped_8bit=each) for name, each in flips.items()))
    found = compare_targets(rows, "a", "PGD")
    p_values = [scipy.stats.binomtest(k, k).pvalue for k in (7, 4, 3)]
    assert [each.p_value for each in found] == pytest.approx(p_values)
    assert [each.corrected for each in found] == pytest.approx([3 * p_values[0], 2 * p_values[1], 0.25])
    assert [each.difference and each.difference.photographs for each in found] == [None] * 3


def test_photographs_that_triplets_share_are_counted_and_tested_as_one() -> None:
    shared = ["x", "x", "x", "y", "y", "y"]
    first, second = [True] * 6, [False] * 6
    rows = joined(
        rows_of("a", "PGD", "b", 6, photograph=shared, flipped_8bit=first),
        rows_of("a", "PGD", "c", 6, photograph=shared, flipped_8bit=second),
    )
    (found,) = compare_targets(rows, "a", "PGD")
    assert found.difference == difference(first, second, shared)
    assert found.p_value == mcnemar(first, second, shared).p_value == pytest.approx(0.5)


def test_only_triplets_that_count_for_both() -> None:
    rows = joined(
        rows_of("a", "PGD", "b", agrees=[True, True, False, False], flipped_8bit=True),
        rows_of("a", "PGD", "c", agrees=[False, True, True, False], flipped_8bit=[True, False, True, True]),
        rows_of("a", "PGD", "d", agrees=[False, False, False, True]),
    )
    found = compare_targets(rows, "a", "PGD")
    assert counted(found[0]) == (1, 0, 1, 0)
    assert found[1:] == [Comparison(name, "d", 0, 0, 0, 0, None, None, None) for name in "bc"]
    assert found[0].corrected == found[0].p_value == 1


def test_two_attacks_are_compared_on_the_same_triplets() -> None:
    rows = random_rows(4, 40, metrics=("a", "b"))
    first, second = (table(rows, "a", attack, "b", "flipped_8bit") for attack in ("stAdv", "PGD"))
    flipped = {
        row.triplet
        for row in each_of(rows)
        if (row.source, row.target, row.attack) == ("a", "a", "PGD") and row.flipped
    }
    for chosen_by, names in (("", list(first)), ("PGD", [name for name in first if name in flipped])):
        found = compare_attacks(rows, "a", "b", ("stAdv", "PGD"), chosen_by=chosen_by)
        assert found is not None and 0 < found.n == len(names) and found.photographs
        assert found.value == pytest.approx(sum(first[name] - second[name] for name in names) / found.n)
    # in another order of the second attack's rows, too
    last = (rows["attack"] == "PGD").to_numpy()
    turned = rows.iloc[[*np.flatnonzero(~last), *np.flatnonzero(last)[::-1]]]
    assert compare_attacks(turned, "a", "b", ("stAdv", "PGD")) == compare_attacks(
        rows, "a", "b", ("stAdv", "PGD")
    )
    none = joined(*(rows_of("a", attack, target) for attack in ("x", "y") for target in "ab"))
    assert compare_attacks(none, "a", "b", ("x", "y"), chosen_by="x") is None


def test_the_targets_that_are_asked_for_in_their_order() -> None:
    rows = random_rows(1, metrics=("a", "b", "c"))
    found = compare_targets(rows, "a", "PGD", targets=["c", "a", "b"])
    assert [(each.first, each.second) for each in found] == [("c", "a"), ("c", "b"), ("a", "b")]
    assert compare_targets(rows, "a", "PGD", targets=["c"]) == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("lpips", "PGD"), "Unknown source 'lpips'"),
        (("a", "pgd"), "Unknown attack 'pgd'"),
        (("a", "PGD", "x"), "Unknown target 'x'"),
    ],
)
def test_names_that_are_not_there(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        compare_targets(random_rows(0, 3), names[0], names[1], targets=names[2:] or None)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 10), st.booleans()), min_size=1, max_size=40))
def test_strata_by_margin_are_what_loops_count(triplets: list[tuple[int, int, bool]]) -> None:
    first, second, flipped = zip(*triplets, strict=True)
    bounds = (0.3, 0.7, 1.0)
    rows = rows_of("a", "PGD", n=len(triplets), distance0=first, distance1=second, flipped=flipped)
    found = by_margin(rows, bounds)
    assert [each.label for each in found] == ["0 to 0.3", "0.3 to 0.7", "0.7 to 1"]
    expected: list[list[bool]] = [[], [], []]
    for one, other, flip in triplets:
        ratio = 1.0 if one == other else min(one, other) / max(one, other)
        expected[sum(ratio >= bound for bound in bounds[:-1])].append(flip)
    assert [each.rate for each in found] == [wilson(sum(e), len(e)) if e else None for e in expected]


def test_the_margin_is_that_of_the_source() -> None:
    own = rows_of("a", "PGD", distance0=[1.0, 1.0, 1.0, 0.0], distance1=[0.0, 0.5, 1.0, 0.0], flipped=True)
    other = rows_of(
        "a", "PGD", "b", agrees=[True, True, True, False], flipped_8bit=[False, True, False, True]
    )
    found = {each.label: each.rate for each in by_margin(joined(own, other))}
    assert found == {
        "0 to 0.2": wilson(0, 1),
        "0.2 to 0.4": None,
        "0.4 to 0.6": wilson(1, 1),
        "0.6 to 0.8": None,
        "0.8 to 1": wilson(0, 1),
    }
    with pytest.raises(InputError, match="own row of triplet triplet 0 is missing"):
        by_margin(other)


def test_distances_below_zero_have_no_ratio() -> None:
    rows = rows_of(
        "a", "PGD", distance0=[-3.0, -1.0, 1.0, 2.0], distance1=[-2.0, 1.0, 2.0, 4.0], flipped=True
    )
    assert [each.rate for each in by_margin(rows, (0.6, 1.0))] == [wilson(2, 2), None]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (rows_of("b", "PGD"), "2 sources: a, b"),
        (rows_of("a", "stAdv"), "2 attacks: PGD, stAdv"),
        (joined(rows_of("a", "PGD", "b"), rows_of("a", "PGD", "c")), "2 targets: b, c"),
    ],
)
def test_strata_of_several_tables(more: pd.DataFrame, message: str) -> None:
    rows = joined(rows_of("a", "PGD"), more)
    for divide in (by_margin, by_distortion):
        with pytest.raises(InputError, match=message):
            divide(rows)


@pytest.mark.parametrize("bounds", [(), (0.5,), (0.5, 0.5, 1.0), (0.0, 1.0), (0.7, 0.3, 1.0), (0.5, 1.5)])
def test_bounds_that_are_none(bounds: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="The bounds are"):
        by_margin(rows_of("a", "PGD"), bounds)


def test_a_triplet_counts_for_every_distortion_of_either_image() -> None:
    rows = rows_of(
        "a",
        "PGD",
        n=3,
        distortion0=["Gaussian blur 0.40, then JPEG 0.80", "Warp 1.00", "cnn"],
        distortion1=["JPEG 0.20", "Gaussian blur 0.15", "unknown"],
        flipped=[True, False, True],
        judge=NAN,
    )
    found = {each.label: each.rate for each in by_distortion(rows)}
    assert found == {
        "Gaussian blur": wilson(1, 2),
        "JPEG": wilson(1, 1),
        "Warp": wilson(0, 1),
        "cnn": wilson(1, 1),
        "unknown": wilson(1, 1),
    }


def test_all_distortions_of_the_embedded_set_are_known_by_their_titles() -> None:
    from simlib.triplets.distortions import DISTORTIONS

    drawn = photos(32)
    first, second = zip(*drawn.distortions, strict=True)
    rows = rows_of("a", "PGD", n=32, distortion0=first, distortion1=second)
    assert {each.label for each in by_distortion(rows)} == {each.title for each in DISTORTIONS.values()}
