"""Results join in order, and measure their change in closed form."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from simlib.attacks import FGSM, PGD, AttackResult, RankFlip
from simlib.errors import InputError
from tests.support import any_weights, random_triplets


@pytest.fixture(scope="module")
def result() -> AttackResult:
    return PGD(steps=8)(RankFlip(any_weights("l2"), random_triplets(4)))


def test_size_of_a_change_in_closed_form(result: AttackResult) -> None:
    original = torch.full((1, 3, 4, 4), 100 / 255)
    images = original.clone()
    images[0, 0, 0, 0] += 3 / 255
    images[0, 1, 2, 2] -= 4 / 255
    measured = dataclasses.replace(result, original=original, images=images)
    found = torch.cat([measured.linf * 255, measured.l2 * 255, measured.rmse])
    torch.testing.assert_close(found, torch.tensor([4, 5, (25 / 48) ** 0.5]))
    # It is that of the saved image.
    assert dataclasses.replace(measured, images=original + 0.4 / 255).rmse.item() == 0


def test_joined_in_order(result: AttackResult) -> None:
    joined = AttackResult.assemble(iter([result, result]), 8)
    assert joined.names == result.names * 2
    assert torch.equal(joined.images[4:], result.images)
    assert joined.seconds == 2 * result.seconds
    assert len(joined) == 8


def test_only_like_results_join(result: AttackResult) -> None:
    other = FGSM()(RankFlip(any_weights("l2"), random_triplets(1)))
    longer = dataclasses.replace(result, attack=PGD(steps=9))
    for parts in ([result, other], [result, longer]):
        with pytest.raises(InputError, match="of one attack"):
            AttackResult.assemble(parts, 9)
    for parts in ([], [result], [result, result]):
        with pytest.raises(InputError, match="not of 9"):
            AttackResult.assemble(parts, 9)
