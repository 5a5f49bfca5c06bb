"""Wilson's interval against its closed form."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simlib.benchmark.statistics import disagreements, wilson
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
