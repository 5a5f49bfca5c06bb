"""Attacks by name."""

from __future__ import annotations

import pytest
import torch

from simlib import attacks
from simlib.attacks import RankFlip
from simlib.errors import UnknownNameError
from tests.support import any_weights, random_triplets


@pytest.fixture(scope="module")
def problem() -> RankFlip:
    return RankFlip(any_weights("l2"), random_triplets(2))


@pytest.mark.parametrize("name", attacks.ATTACKS)
def test_the_named_attack_is_run(name: str, problem: RankFlip) -> None:
    by_name = attacks.run(name, problem, protocol="paper")
    assert torch.equal(by_name.images, attacks.ATTACKS[name](problem, protocol="paper").images)


def test_unknown_names_come_with_the_nearest(problem: RankFlip) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown attack 'pgdd'. Did you mean pgd"):
        attacks.run("pgdd", problem)
    with pytest.raises(UnknownNameError, match=r"Unknown parameter of pgd 'epsilon'. Did you mean eps"):
        attacks.run("pgd", problem, epsilon=0.1)
