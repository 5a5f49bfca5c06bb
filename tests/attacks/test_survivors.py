"""Samples leave when they flip, and keep what they had; asking less often changes nothing but the cost."""

from __future__ import annotations

import pytest
import torch

from simlib.attacks import RankFlip
from simlib.attacks.survivors import Survivors
from tests.support import any_weights, random_triplets

FLIPS_AT = torch.tensor([0, 5, 2, 99, 3, 2])


@pytest.mark.parametrize("check_every", [1, 4])
def test_everyone_keeps_the_image_of_the_first_flip(check_every: int) -> None:
    batch = RankFlip(any_weights("l2"), random_triplets(6, side=4)).batch()
    survivors = Survivors(batch)
    survivors._check_every = check_every
    number = torch.arange(6)
    for step in range(8):
        images = torch.zeros_like(survivors.batch.original) + step
        stay = survivors.release(FLIPS_AT[number] <= step, images, step)
        if stay is not None:
            number = number[stay]
            assert survivors.batch.names == tuple(batch.names[i] for i in number.tolist())
            assert (FLIPS_AT[number] > step).all()
    images, flipped, steps = survivors.finish(torch.zeros_like(survivors.batch.original) + 8, 8)
    assert flipped.tolist() == [True, True, True, False, True, True]
    assert steps.tolist() == [0, 5, 2, 8, 3, 2]
    assert torch.equal(images, steps.float().view(-1, 1, 1, 1).expand_as(images))


def test_all_may_leave() -> None:
    batch = RankFlip(any_weights("l2"), random_triplets(2, side=4)).batch()
    survivors = Survivors(batch)
    stay = survivors.release(torch.tensor([True, True]), batch.original, 0)
    assert stay is not None and len(stay) == len(survivors) == 0
    images, flipped, steps = survivors.finish(batch.original[:0], 5)
    assert torch.equal(images, batch.original)
    assert flipped.all() and (steps == 0).all()
