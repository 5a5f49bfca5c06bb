"""Accuracy against robustness: against counts by plain loops, and by hand at the edges."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.benchmark.statistics import wilson
from simlib.benchmark.trade_off import TradeOff, trade_off
from simlib.errors import InputError, UnknownNameError
from tests.benchmark_rows import NAN, each_of, group_of, joined, random_rows, rows_of


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 2**31), st.integers(1, 30))
def test_the_trade_off_is_what_loops_count(seed: int, n: int) -> None:
    rows = random_rows(seed, n)
    for found in trade_off(rows, "stAdv"):
        own = [
            (group_of(row), row.flipped)
            for row in each_of(rows)
            if row.source == row.target == found.metric and row.attack == "stAdv"
        ]
        labelled = [group for group, _ in own if group != "unlabelled"]
        right = [flipped for group, flipped in own if group == "accurate"]
        if not labelled:
            right = [flipped for _, flipped in own]
        assert (found.accuracy and (found.accuracy.successes, found.accuracy.n)) == (
            (labelled.count("accurate"), len(labelled)) if labelled else None
        )
        assert (found.robust and (found.robust.successes, found.robust.n)) == (
            (right.count(False), len(right)) if right else None
        )


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


def test_photographs_that_triplets_share_are_told_both_ways() -> None:
    (found,) = trade_off(rows_of("a", "PGD", photograph=["x", "x", "y", "y"]), "PGD")
    assert found.accuracy is not None and found.accuracy.photographs == 2
    assert found.robust is not None and found.robust.photographs == 2


def test_no_such_attack_and_a_triplet_that_is_there_twice() -> None:
    rows = rows_of("a", "PGD")
    with pytest.raises(UnknownNameError, match="Unknown attack 'stAdv'"):
        trade_off(rows, "stAdv")
    with pytest.raises(UnknownNameError, match="Unknown attack 'PGD'"):
        trade_off(rows_of("a", "PGD", "b"), "PGD")
    with pytest.raises(InputError, match="occurs twice"):
        trade_off(joined(rows, rows), "PGD")
