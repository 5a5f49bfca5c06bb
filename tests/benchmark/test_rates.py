"""White-box rates, transfer and the trade-off: against counts by plain loops, and by hand at the edges."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.benchmark.comparison import by_distortion, by_margin, compare_targets
from simlib.benchmark.rates import (
    TradeOff,
    TransferCell,
    trade_off,
    transfer_matrix,
    white_box_table,
)
from simlib.benchmark.statistics import Rate, wilson
from simlib.errors import InputError, UndefinedDistanceError, UnknownNameError
from tests.benchmark.benchmark_rows import NAN, counts, each_of, group_of, joined, random_rows, rows_of

drawn = given(st.integers(0, 2**31), st.integers(1, 30))


def of(rate: Rate | None) -> tuple[int, int] | None:
    """Return how many of how many; None where nothing counts."""
    return rate and (rate.successes, rate.n)


def counted(flags: list[Any]) -> tuple[int, int] | None:
    return (sum(map(bool, flags)), len(flags)) if flags else None


# White-box.


@settings(deadline=None, max_examples=10)
@drawn
def test_the_white_box_table_is_what_loops_count(seed: int, n: int) -> None:
    rows = random_rows(seed, n)
    found = white_box_table(rows)
    assert [(row.metric, row.attack) for row in found] == [(m, a) for m in "abc" for a in ("PGD", "stAdv")]
    for row in found:
        own = [
            each
            for each in each_of(rows)
            if (each.source, each.target, each.attack) == (row.metric, row.metric, row.attack)
        ]
        assert row.n == len(own) == n
        for column in ("flipped", "flipped_8bit"):
            assert of(getattr(row, column)) == counted([getattr(each, column) for each in own])
        for group in ("accurate", "other", "unlabelled"):
            flips = [each.flipped for each in own if group_of(each) == group]
            assert of(getattr(row, group)) == counted(flips)
        for column in ("rmse", "linf", "steps"):
            values = [getattr(each, column) for each in own if each.flipped]
            expected = pytest.approx(statistics.median(values)) if values else None
            assert getattr(row, column) == expected
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
            expected = known[row.metric, row.attack]
            assert [of(row.flipped), of(row.accurate)] == [of(expected.flipped), of(expected.accurate)]
            assert (row.steps, row.seconds) == (expected.steps, pytest.approx(expected.seconds))


# Transfer.


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.integers(1, 30), st.sampled_from(["", "PGD", "stAdv"]))
def test_the_matrix_is_what_loops_count(seed: int, n: int, chosen_by: str) -> None:
    rows = random_rows(seed, n)
    found = transfer_matrix(rows, chosen_by=chosen_by)
    expected = [(s, a, t) for s in "abc" for a in ("PGD", "stAdv") for t in "abc" if t != s]
    assert [(cell.source, cell.attack, cell.target) for cell in found] == expected
    flipped_on = {
        (row.source, row.triplet)
        for row in each_of(rows)
        if row.source == row.target and row.attack == chosen_by and row.flipped
    }
    for cell in found:
        members = [
            row
            for row in each_of(rows)
            if (row.source, row.attack, row.target) == (cell.source, cell.attack, cell.target)
            and (not chosen_by or (row.source, row.triplet) in flipped_on)
        ]
        flips = [row.flipped_8bit for row in members if counts(row)]
        assert (cell.n, cell.counted, of(cell.flipped)) == (len(members), len(flips), counted(flips))


def test_which_triplets_count_and_which_flip() -> None:
    rows = rows_of(
        "a",
        "PGD",
        "b",
        n=6,
        # right, wrong with the source, without label, against the source twice, right again
        judge=[1.0, 0.0, NAN, 1.0, NAN, 1.0],
        agrees=[True, True, True, False, False, True],
        flipped_8bit=[True, True, True, True, True, False],
    )
    assert transfer_matrix(rows) == [TransferCell("a", "PGD", "b", 6, 3, wilson(2, 3))]


def test_all_flip_none_does_and_none_counts() -> None:
    every, none, never = transfer_matrix(
        joined(
            rows_of("a", "PGD", "b", flipped_8bit=True),
            rows_of("a", "PGD", "c"),
            rows_of("a", "PGD", "d", agrees=False, flipped_8bit=True),
            rows_of("a", "PGD"),
        )
    )
    assert (every.flipped, none.flipped) == (wilson(4, 4), wilson(0, 4))
    assert (never.n, never.counted, never.flipped) == (4, 0, None)


def test_no_triplet_is_chosen_and_another_attack_may_choose() -> None:
    own = rows_of("a", "PGD", flipped=[False, True, True, False])
    judged = rows_of("a", "PGD", "b", flipped_8bit=[True, False, True, True])
    none = joined(own.assign(flipped=False), judged)
    assert transfer_matrix(none, chosen_by="PGD") == [TransferCell("a", "PGD", "b", 0, 0, None)]
    rows = joined(rows_of("a", "stAdv", flipped=[True, True, False, False]), own, judged)
    assert transfer_matrix(rows, chosen_by="stAdv") == [TransferCell("a", "PGD", "b", 2, 2, wilson(1, 2))]


def test_photographs_are_those_of_what_counts() -> None:
    shared = rows_of("a", "PGD", "b", n=4, photograph=["x", "x", "y", "z"], agrees=[False, True, True, True])
    (cell,) = transfer_matrix(shared)
    assert cell.flipped == wilson(0, 3)
    (cell,) = transfer_matrix(shared.assign(agrees=True))
    assert cell.flipped is not None and cell.flipped.photographs == 3


def test_an_attack_that_cannot_choose() -> None:
    rows = joined(
        rows_of("a", "stAdv"), rows_of("a", "PGD", "b"), rows_of("b", "PGD"), rows_of("b", "PGD", "a")
    )
    with pytest.raises(UnknownNameError, match=r"Unknown attack 'stadv'. Did you mean"):
        transfer_matrix(rows, chosen_by="stadv")
    with pytest.raises(InputError, match="stAdv was not made on b"):
        transfer_matrix(rows, chosen_by="stAdv")


# Accuracy against robustness.


@settings(deadline=None, max_examples=8)
@drawn
def test_the_trade_off_is_what_loops_count(seed: int, n: int) -> None:
    rows = random_rows(seed, n)
    # Images made on each metric itself, or on one of them for all others.
    points = [(point, point.metric, "flipped") for point in trade_off(rows, "stAdv")]
    points += [(point, "b", "flipped_8bit") for point in trade_off(rows, "stAdv", "b")]
    assert [point.metric for point, _, _ in points] == ["a", "b", "c", "a", "c"]
    for point, source, column in points:
        own = [
            row
            for row in each_of(rows)
            if (row.source, row.attack, row.target) == (source, "stAdv", point.metric)
        ]
        labelled = [row for row in own if group_of(row) != "unlabelled"]
        kept = [row for row in labelled or own if counts(row)]
        assert of(point.accuracy) == counted([group_of(row) == "accurate" for row in labelled])
        assert of(point.robust) == counted([not getattr(row, column) for row in kept])


def test_metrics_at_the_corners() -> None:
    rows = joined(
        rows_of("right and robust", "PGD"),
        rows_of("right and fragile", "PGD", flipped=True),
        rows_of("wrong", "PGD", judge=0.0),
        rows_of("unlabelled", "PGD", judge=NAN, flipped=[True, False, False, False]),
        rows_of("half", "PGD", judge=[1.0, 1.0, 0.0, NAN], flipped=[True, False, True, True]),
        rows_of("half", "stAdv", flipped=True),
        rows_of("half", "PGD", "wrong"),
    )
    assert trade_off(rows, "PGD") == [
        TradeOff("right and robust", wilson(4, 4), wilson(4, 4)),
        TradeOff("right and fragile", wilson(4, 4), wilson(0, 4)),
        TradeOff("wrong", wilson(0, 4), None),
        TradeOff("unlabelled", None, wilson(3, 4)),
        TradeOff("half", wilson(2, 3), wilson(1, 2)),
    ]
    assert trade_off(rows, "PGD", "half") == [TradeOff("wrong", wilson(4, 4), wilson(4, 4))]


def test_photographs_that_triplets_share_count_for_both_rates() -> None:
    (found,) = trade_off(rows_of("a", "PGD", photograph=["x", "x", "y", "y"]), "PGD")
    assert found.accuracy is not None and found.accuracy.photographs == 2
    assert found.robust is not None and found.robust.photographs == 2


def test_names_that_are_not_there() -> None:
    rows = random_rows(0)
    for names, message in ((("stadv",), "attack 'stadv'"), (("PGD", "d"), "source 'd'")):
        with pytest.raises(UnknownNameError, match=f"Unknown {message}"):
            trade_off(rows, *names)
    with pytest.raises(UnknownNameError, match="Unknown attack 'PGD'"):
        trade_off(rows_of("a", "PGD", "b"), "PGD")


# All of them.


def test_no_rows() -> None:
    own, judged = rows_of("a", "PGD"), rows_of("a", "PGD", "b")
    for table in (white_box_table, transfer_matrix):
        assert table(own.head(0)) == []
    assert white_box_table(judged) == transfer_matrix(own) == []
    assert [each.rate for each in by_margin(own.head(0))] == [None] * 5
    assert by_distortion(own.head(0)) == []


TABLES = (
    white_box_table,
    transfer_matrix,
    lambda rows: trade_off(rows, "PGD"),
    lambda rows: compare_targets(rows, "a", "PGD"),
    by_margin,
)


def test_a_triplet_that_is_there_twice() -> None:
    own, judged = rows_of("a", "PGD"), rows_of("a", "PGD", "b")
    for table, rows, judge in zip(TABLES, (own, judged, own, judged, own), "ababa", strict=True):
        with pytest.raises(InputError, match=f"triplet 0 occurs twice for PGD on a, judged by {judge}"):
            table(joined(rows, rows))


@pytest.mark.parametrize("column", ["distance0", "attacked1"])
def test_a_triplet_without_a_defined_distance_is_neither_flipped_nor_robust(column: str) -> None:
    columns: Any = {column: [0.5, math.nan, 0.5, math.nan]}
    own, judged = (rows_of("a", "PGD", each, **columns) for each in "ab")
    for table, rows in zip(TABLES, (own, judged, own, judged, own), strict=True):
        with pytest.raises(UndefinedDistanceError, match="2 of 4 triplets of PGD on a, the first triplet 1"):
            table(rows)


def test_two_infinite_distances_are_no_defined_ones() -> None:
    with pytest.raises(UndefinedDistanceError, match="4 of 4 triplets"):
        white_box_table(rows_of("a", "PGD", attacked0=math.inf, attacked1=math.inf))
