"""The white-box table: against counts by plain loops, and by hand where something is missing."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.benchmark.statistics import wilson
from simlib.benchmark.white_box import white_box_table
from simlib.errors import InputError
from tests.benchmark_rows import NAN, each_of, group_of, joined, random_rows, rows_of


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2**31), st.integers(1, 30))
def test_the_table_is_what_loops_count(seed: int, n: int) -> None:
    rows = random_rows(seed, n)
    found = white_box_table(rows)
    assert [(row.metric, row.attack) for row in found] == [(m, a) for m in "abc" for a in ("PGD", "stAdv")]
    for row in found:
        own = [
            each
            for each in each_of(rows)
            if (each.source, each.target, each.attack) == (row.metric, row.metric, row.attack)
        ]
        assert row.n == row.flipped.n == row.flipped_8bit.n == len(own) == n
        assert row.flipped.successes == sum(each.flipped for each in own)
        assert row.flipped_8bit.successes == sum(each.flipped_8bit for each in own)
        for group in ("accurate", "other", "unlabelled"):
            members = [each for each in own if group_of(each) == group]
            for ending, column in (("", "flipped"), ("_8bit", "flipped_8bit")):
                rate = getattr(row, group + ending)
                flips = sum(getattr(each, column) for each in members)
                assert (rate and (rate.successes, rate.n)) == ((flips, len(members)) if members else None)
        for column in ("rmse", "linf", "steps"):
            values = [getattr(each, column) for each in own if each.flipped]
            expected = statistics.median(values) if values else None
            assert getattr(row, column) == (None if expected is None else pytest.approx(expected))
        for column in ("forwards", "backwards", "seconds"):
            mean = sum(getattr(each, column) for each in own) / n
            assert getattr(row, column) == pytest.approx(mean)


def test_nothing_flips_and_everything_does() -> None:
    none, every = white_box_table(
        joined(
            rows_of("a", "PGD", n=5),
            rows_of("b", "PGD", n=5, flipped=True, flipped_8bit=[True] * 4 + [False], rmse=1.5, steps=7),
        )
    )
    assert none.flipped == wilson(0, 5) and none.flipped.photographs is None
    assert (none.rmse, none.linf, none.steps) == (None, None, None)
    assert (every.flipped, every.flipped_8bit) == (wilson(5, 5), wilson(4, 5))
    assert (every.rmse, every.steps, every.protocol) == (1.5, 7, "strict")
    assert (every.accurate, every.other, every.unlabelled) == (wilson(5, 5), None, None)


def test_a_metric_that_is_never_accurate_and_triplets_that_nobody_labelled() -> None:
    wrong, unlabelled = white_box_table(
        joined(rows_of("a", "PGD", judge=0.0, flipped=True), rows_of("b", "PGD", judge=NAN))
    )
    assert (wrong.accurate, wrong.other, wrong.unlabelled) == (None, wilson(4, 4), None)
    assert (unlabelled.accurate, unlabelled.other, unlabelled.unlabelled) == (None, None, wilson(0, 4))


def test_a_tie_of_metric_or_votes_stands_for_p0() -> None:
    tie = rows_of("a", "PGD", n=4, judge=[0.5, 0.5, 1.0, 0.0], distance0=0.5, distance1=[0.5, 0.25, 0.5, 0.5])
    (row,) = white_box_table(tie)
    assert row.accurate is not None and row.accurate.n == 2
    assert row.other is not None and row.other.n == 2


def test_triplets_that_share_photographs_say_so() -> None:
    (row,) = white_box_table(
        rows_of("a", "PGD", n=6, photograph=["x", "x", "y", "y", "z", "w"], judge=[1.0, NAN] * 3)
    )
    assert (row.flipped.photographs, row.flipped_8bit.photographs) == (4, 4)
    # of the labelled ones, each has a photograph of its own
    assert row.accurate is not None and (row.accurate.n, row.accurate.photographs) == (3, None)
    (one,) = white_box_table(rows_of("a", "PGD", n=6, photograph="x"))
    assert (one.flipped.low, one.flipped.high, one.flipped.photographs) == (0, 1, 1)


def test_order_and_types_of_columns_do_not_matter() -> None:
    rows = random_rows(7)
    shuffled = rows.sample(frac=1, random_state=1)
    texts = ["source", "target", "attack", "recipe", "photograph"]
    known = {(row.metric, row.attack): row for row in white_box_table(rows)}
    for changed in (shuffled, rows.astype(dict.fromkeys(texts, "category"))):
        for row in white_box_table(changed):
            assert row == pytest.approx(known[row.metric, row.attack]) or row == known[row.metric, row.attack]


def test_no_rows() -> None:
    rows = random_rows(0)
    assert white_box_table(rows.head(0)) == []
    assert white_box_table(rows_of("a", "PGD", "b")) == []


def test_a_triplet_that_is_there_twice() -> None:
    with pytest.raises(InputError, match="triplet 0 occurs twice for PGD on a, judged by a"):
        white_box_table(joined(rows_of("a", "PGD"), rows_of("a", "PGD")))
