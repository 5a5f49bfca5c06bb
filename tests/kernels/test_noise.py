"""Random numbers belong to a sample's name and seed, not to its place in a batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from simlib.kernels.noise import Draws, random_signs


def test_signs_are_balanced_depend_on_name_and_seed_and_leave_global_state_alone() -> None:
    before, like = torch.random.get_rng_state(), torch.zeros(3, 3, 64, 64, dtype=torch.float64)
    signs = random_signs([*"abc"], like, seed=0)
    assert torch.equal(before, torch.random.get_rng_state())
    assert signs.dtype == torch.float64
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert (signs.mean(dim=(1, 2, 3)).abs() < 0.05).all()
    assert torch.equal(signs[1:2], random_signs(["b"], like[:1], seed=0))
    assert not torch.equal(signs[0], signs[1])
    assert not torch.equal(signs, random_signs([*"abc"], like, seed=2))


def test_splitmix_is_the_published_one() -> None:
    # The generator's first numbers from the state 0, as in the reference implementation in C.
    draws = Draws(["any"], seed=0)
    draws._keys = torch.zeros(1, dtype=torch.int64)
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert (draws.uniform(3)[0] * 2**24).tolist() == [number >> 40 for number in expected]


@given(st.integers(), st.integers(1, 5), st.integers(1, 7))
def test_what_is_drawn_depends_on_name_seed_and_what_was_drawn(seed: int, first: int, second: int) -> None:
    names = ["a", "b", "c"]
    whole, part = Draws(names, seed), Draws(names, seed)
    before = whole.uniform(first)
    assert torch.equal(before, part.uniform(first))
    index = torch.tensor([2, 0])
    part.narrow(index)
    after = whole.uniform(second, 2)
    assert torch.equal(part.uniform(second, 2), after[index])
    alone = Draws(["b"], seed)
    alone.uniform(first)
    assert torch.equal(alone.uniform(second, 2, dtype=torch.float64).float(), after[1:2])


def test_numbers_are_even_and_inside() -> None:
    drawn = Draws([str(i) for i in range(50)], seed=3).uniform(2000)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert kstest(drawn.flatten().numpy(), "uniform").pvalue > 1e-3
    # neither neighbours in a stream nor streams hang together
    for a, b in ((drawn[:, :-1], drawn[:, 1:]), (drawn[:-1], drawn[1:])):
        correlation = torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
        assert correlation.abs() < 0.015


@pytest.mark.parametrize("high", [1, 2, 7])
def test_whole_numbers_reach_every_value_below(high: int) -> None:
    drawn = Draws(["a", "b"], seed=0).integers(high, 500)
    assert drawn.shape == (2, 500)
    assert set(drawn.unique().tolist()) == set(range(high))
