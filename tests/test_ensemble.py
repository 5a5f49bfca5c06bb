"""The strongest of several: a superset of every part, at the cost of survivors only."""

from __future__ import annotations

import warnings
from functools import partial

import pytest
import torch

from simlib import metrics
from simlib.attacks import AttackResult, Protocol, RankFlip, fgsm, pgd
from simlib.attacks.apgd import apgd
from simlib.attacks.blackbox import square
from simlib.attacks.ensemble import standard_attacks, strongest
from simlib.errors import InputError, NoGradientError
from simlib.metrics.pixel import MeanSquaredError
from simlib.triplets import photos
from tests.support import any_weights
from tests.test_apgd import exact, grey_triplets

FEW = {
    "FGSM": partial(fgsm, grid=[1 / 255, 4 / 255]),
    "PGD": partial(pgd, eps=4 / 255, step=1 / 255, steps=3),
    "Square": partial(square, eps=8 / 255, queries=30),
    "APGD": partial(apgd, eps=8 / 255, steps=10),
}


@pytest.fixture(scope="module")
def problem() -> RankFlip:
    return RankFlip(any_weights("ssim", torch.float64), exact(photos(10, seed=5, side=24)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_flips_are_a_superset_of_those_of_every_part(seed: int, protocol: Protocol) -> None:
    problem = RankFlip(any_weights("ssim", torch.float64), exact(photos(8, seed=seed, side=24)))
    result = strongest(problem, attacks=FEW, protocol=protocol, seed=seed)
    parts = [attack(problem, protocol=protocol, seed=seed) for attack in FEW.values()]
    assert result.flipped.any()
    together = torch.stack([part.flipped for part in parts])
    assert torch.equal(result.flipped, together.any(dim=0))
    first = torch.where(together.any(dim=0), together.long().argmax(dim=0), -1)
    assert torch.equal(result.details["winner"], first)


def test_images_are_those_of_the_winner_or_of_whom_came_nearest(problem: RankFlip) -> None:
    result = strongest(problem, attacks=FEW)
    parts = [attack(problem) for attack in FEW.values()]
    margins = torch.stack([part.margin for part in parts])
    winner = result.details["winner"]
    expected = torch.where(winner >= 0, winner, margins.argmax(dim=0))
    assert len(winner.unique()) > 2
    for i, place in enumerate(expected.tolist()):
        torch.testing.assert_close(result.images[i], parts[place].images[i], atol=1e-9, rtol=0)
        torch.testing.assert_close(result.margin[i], parts[place].margin[i])
        assert result.steps[i] == parts[place].steps[i]
    torch.testing.assert_close(result.margin, problem.margin(result.images))


def test_a_sample_costs_what_the_attacks_up_to_its_winner_cost(problem: RankFlip) -> None:
    result = strongest(problem, attacks=FEW)
    parts = [attack(problem) for attack in FEW.values()]
    winner = result.details["winner"]
    went_through = torch.where(winner >= 0, winner + 1, len(parts))
    for i, count in enumerate(went_through.tolist()):
        assert result.forwards[i] == sum(int(part.forwards[i]) for part in parts[:count])
        assert result.backwards[i] == sum(int(part.backwards[i]) for part in parts[:count])


def test_attacks_see_survivors_only(problem: RankFlip) -> None:
    seen: list[int] = []

    def noting(attack_problem: RankFlip, **parameters: object) -> AttackResult:
        seen.append(len(attack_problem))
        return pgd(attack_problem, eps=8 / 255, step=2 / 255, **parameters)  # pyright: ignore

    everyone = partial(fgsm, grid=[60 / 255])
    result = strongest(problem, attacks={"noting": noting, "again": noting, "FGSM": everyone, "end": noting})
    flipped = int((result.details["winner"] == 0).sum())
    assert 0 < flipped < len(problem)
    assert seen[:2] == [len(problem), len(problem) - flipped]
    left = len(problem) - int((result.details["winner"].clamp(-1, 2) >= 0).sum())
    assert seen[2:] == ([left] if left else [])


def test_the_standard_evaluation_is_the_default_and_has_its_parts_in_order() -> None:
    problem = RankFlip(any_weights("l2", torch.float64), grey_triplets(3, seed=0))
    result = strongest(problem)
    assert result.attack == "Strongest of several"
    assert result.protocol == "strict"
    assert result.parameters["attacks"] == ("FGSM", "PGD", "APGD", "Square") == tuple(standard_attacks())
    assert result.parameters["passed_over"] == ()
    assert result.linf.max() <= 4 / 255 + 1e-9


@pytest.mark.parametrize(
    ("levels", "grid"), [(4.0, [1, 2, 3, 4]), (2.5, [1, 2, 2.5]), (0.5, [0.5]), (1.0, [1])]
)
def test_the_grid_of_the_standard_evaluation_ends_at_the_budget(levels: float, grid: list[float]) -> None:
    sizes = standard_attacks(levels / 255)["FGSM"].keywords["grid"]  # pyright: ignore
    assert [size * 255 for size in sizes] == pytest.approx(grid)


def test_budget_outside_its_meaning() -> None:
    with pytest.raises(InputError, match=r"eps is -1"):
        standard_attacks(-1.0)


def test_no_attack(problem: RankFlip) -> None:
    with pytest.raises(InputError, match="no attack to run"):
        strongest(problem, attacks={})


class DetachedSquaredError(MeanSquaredError):
    """The square error, of which torch cannot see the gradient."""

    spec = metrics.spec_of("l2")

    def compare(self, reference: metrics.Features, features: metrics.Features) -> torch.Tensor:
        return super().compare(reference, features).detach()


def test_a_metric_without_gradient_is_left_to_black_box_attacks_with_one_warning() -> None:
    problem = RankFlip(DetachedSquaredError(), grey_triplets(3, seed=0))
    white_box_first = {name: FEW[name] for name in ("FGSM", "PGD", "APGD", "Square")}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = strongest(problem, attacks=white_box_first)
    assert [str(warning.message).split(",")[0] for warning in caught] == ["L2 gives no gradient"]
    assert result.parameters["passed_over"] == ("FGSM", "PGD", "APGD")
    alone = square(problem, eps=8 / 255, queries=30)
    assert torch.equal(result.images, alone.images)
    assert torch.equal(result.details["winner"], torch.where(alone.flipped, 3, -1))


def test_without_gradient_and_without_black_box_attack_nothing_is_pretended() -> None:
    with pytest.raises(NoGradientError, match="black-box"):
        strongest(RankFlip(DetachedSquaredError(), grey_triplets(2, seed=0)), attacks={"PGD": pgd})
