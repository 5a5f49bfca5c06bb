"""The transfer matrix: against counts by plain loops, and by hand at its edges."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.benchmark.matrix import TransferCell, transfer_matrix
from simlib.benchmark.statistics import wilson
from simlib.errors import InputError, UnknownNameError
from tests.benchmark_rows import NAN, counts, each_of, joined, random_rows, rows_of


@settings(deadline=None, max_examples=12)
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
        counted = [row for row in members if counts(row)]
        assert (cell.n, cell.counted) == (len(members), len(counted))
        flips = sum(row.flipped_8bit for row in counted)
        assert (cell.flipped and (cell.flipped.successes, cell.flipped.n)) == (
            (flips, len(counted)) if counted else None
        )


def test_who_counts_and_who_flips() -> None:
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


def test_a_target_that_never_agrees() -> None:
    (cell,) = transfer_matrix(rows_of("a", "PGD", "b", agrees=False, flipped_8bit=True))
    assert (cell.n, cell.counted, cell.flipped) == (4, 0, None)


def test_all_flip_and_none_does() -> None:
    every, none = transfer_matrix(
        joined(rows_of("a", "PGD", "b", flipped_8bit=True), rows_of("a", "PGD", "c"), rows_of("a", "PGD"))
    )
    assert (every.flipped, none.flipped) == (wilson(4, 4), wilson(0, 4))


def test_no_triplet_is_chosen() -> None:
    rows = joined(rows_of("a", "PGD"), rows_of("a", "PGD", "b", flipped_8bit=True))
    assert transfer_matrix(rows, chosen_by="PGD") == [TransferCell("a", "PGD", "b", 0, 0, None)]


def test_another_attack_may_choose() -> None:
    rows = joined(
        rows_of("a", "stAdv", flipped=[True, True, False, False]),
        rows_of("a", "PGD", flipped=[False, True, True, False]),
        rows_of("a", "PGD", "b", flipped_8bit=[True, False, True, True]),
    )
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


def test_no_rows() -> None:
    rows = rows_of("a", "PGD")
    assert transfer_matrix(rows) == []
    assert transfer_matrix(rows.head(0)) == []


def test_a_triplet_that_is_there_twice() -> None:
    with pytest.raises(InputError, match="triplet 0 occurs twice for PGD on a, judged by b"):
        transfer_matrix(joined(rows_of("a", "PGD", "b"), rows_of("a", "PGD", "b")))
