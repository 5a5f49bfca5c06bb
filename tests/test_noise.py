"""Random signs belong to a sample's name and seed, not to its place in a batch."""

from __future__ import annotations

import torch

from simlib.kernels.noise import random_signs


def test_depends_on_name_and_seed_only() -> None:
    like = torch.zeros(3, 3, 16, 16)
    signs = random_signs(["a", "b", "c"], like, seed=1)
    assert torch.equal(signs[1:2], random_signs(["b"], like[:1], seed=1))
    assert not torch.equal(signs[0], signs[1])
    assert not torch.equal(signs, random_signs(["a", "b", "c"], like, seed=2))


def test_signs_are_balanced_and_leave_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    signs = random_signs(["a"], torch.zeros(1, 3, 64, 64, dtype=torch.float64), seed=0)
    assert torch.equal(before, torch.random.get_rng_state())
    assert signs.dtype == torch.float64
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert signs.mean().abs() < 0.05
