"""Accuracy and robustness under transfer, against counts by plain loops."""

from __future__ import annotations

import pytest

from simlib.benchmark.matrix import transfer_matrix
from simlib.benchmark.transfer_trade_off import trade_off_under_transfer
from simlib.errors import UnknownNameError
from tests.benchmark_rows import NAN, counts, each_of, group_of, joined, random_rows, rows_of


@pytest.mark.parametrize("seed", range(3))
def test_rates_are_those_of_plain_loops(seed: int) -> None:
    rows = random_rows(seed, n=80)
    for point in trade_off_under_transfer(rows, "a", "PGD"):
        own = [
            row for row in each_of(rows) if (row.source, row.attack, row.target) == ("a", "PGD", point.metric)
        ]
        labelled = [row for row in own if group_of(row) != "unlabelled"]
        counted = [row for row in labelled if counts(row)]
        assert point.accuracy
        assert point.robust
        right = sum(group_of(row) == "accurate" for row in labelled)
        assert (point.accuracy.successes, point.accuracy.n) == (right, len(labelled))
        left = sum(not row.flipped_8bit for row in counted)
        assert (point.robust.successes, point.robust.n) == (left, len(counted))
        assert point.robust.photographs == len({row.photograph for row in counted})


def test_the_source_is_no_target_of_its_own() -> None:
    assert [point.metric for point in trade_off_under_transfer(random_rows(0), "b", "stAdv")] == ["a", "c"]


def test_without_labels_robust_is_what_the_matrix_leaves() -> None:
    own = rows_of("a", "PGD", n=6, judge=NAN)
    judged = rows_of("a", "PGD", "b", n=6, judge=NAN, flipped_8bit=[True, False, True, False, False, False])
    rows = joined(own, judged)
    (point,) = trade_off_under_transfer(rows, "a", "PGD")
    (cell,) = transfer_matrix(rows)
    assert point.accuracy is None
    assert point.robust
    assert cell.flipped
    assert point.robust.successes == cell.flipped.n - cell.flipped.successes == 4


def test_a_metric_that_is_always_wrong_has_no_robustness() -> None:
    rows = joined(rows_of("a", "PGD"), rows_of("a", "PGD", "b", judge=0.0))
    (point,) = trade_off_under_transfer(rows, "a", "PGD")
    assert point.accuracy
    assert point.accuracy.successes == 0
    assert point.robust is None


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="source"):
        trade_off_under_transfer(random_rows(0), "d", "PGD")
    with pytest.raises(UnknownNameError, match="attack"):
        trade_off_under_transfer(random_rows(0), "a", "PGX")
