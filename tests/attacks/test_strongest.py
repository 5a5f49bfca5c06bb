"""The strongest of several: a superset of every part, at the cost of survivors only."""

from __future__ import annotations

import warnings

import pytest
import torch

from simlib.attacks import APGD, FGSM, PGD, Protocol, RankFlip, Square, Strongest, standard_attacks
from simlib.errors import InputError, NoGradientError
from simlib.triplets import photos
from tests.support import Watched, any_weights, exact, grey_triplets

FEW = (
    FGSM(grid=[1 / 255, 4 / 255]),
    PGD(eps=4 / 255, step=1 / 255, steps=3),
    Square(eps=8 / 255, queries=30),
    APGD(eps=8 / 255, steps=10),
)


@pytest.fixture(scope="module")
def problem() -> RankFlip:
    return RankFlip(any_weights("ssim", torch.float64), exact(photos(10, seed=5, side=24)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_flips_are_a_superset_of_those_of_every_part(seed: int, protocol: Protocol) -> None:
    problem = RankFlip(any_weights("ssim", torch.float64), exact(photos(8, seed=seed, side=24)))
    result = Strongest(attacks=FEW)(problem, protocol=protocol, seed=seed)
    parts = [attack(problem, protocol=protocol, seed=seed) for attack in FEW]
    assert result.flipped.any()
    together = torch.stack([part.flipped for part in parts])
    assert torch.equal(result.flipped, together.any(dim=0))
    first = torch.where(together.any(dim=0), together.long().argmax(dim=0), -1)
    assert torch.equal(result.details["winner"], first)


def test_a_sample_has_the_image_and_the_cost_of_the_attacks_up_to_its_winner(problem: RankFlip) -> None:
    result, parts = Strongest(attacks=FEW)(problem), [attack(problem) for attack in FEW]
    winner = result.details["winner"]
    assert len(winner.unique()) > 2
    # Where none wins, the image is that of whom came nearest.
    nearest = torch.stack([part.margin for part in parts]).argmax(dim=0)
    for i, place in enumerate(torch.where(winner >= 0, winner, nearest).tolist()):
        torch.testing.assert_close(result.images[i], parts[place].images[i], atol=1e-9, rtol=0)
        torch.testing.assert_close(result.margin[i], parts[place].margin[i])
        assert result.steps[i] == parts[place].steps[i]
        went_through = parts[: place + 1] if winner[i] >= 0 else parts
        assert result.forwards[i] == sum(int(part.forwards[i]) for part in went_through)
        assert result.backwards[i] == sum(int(part.backwards[i]) for part in went_through)
    torch.testing.assert_close(result.margin, problem.margin(result.images))


def test_attacks_see_survivors_only() -> None:
    watched = Watched()
    problem = RankFlip(watched, exact(photos(10, seed=5, side=24)))
    one = FGSM(grid=[4 / 255])
    result = Strongest(attacks=[one, FGSM(grid=[20 / 255]), one])(problem)
    flipped = [int((result.details["winner"] == place).sum()) for place in range(2)]
    assert flipped[0] and flipped[1] and sum(flipped) < len(problem)
    # Each attack first looks at what is left, reference and two images, and at last measures it again.
    sizes = iter(watched.sizes)
    for left in (10, 10 - flipped[0], 10 - sum(flipped)):
        assert [next(sizes) for _ in range(6)] == [left] * 6
    assert next(sizes, None) is None


def test_the_standard_evaluation_is_the_default() -> None:
    assert Strongest().attacks == standard_attacks()
    assert [attack.title for attack in standard_attacks()] == ["FGSM", "PGD", "APGD", "Square"]
    result = Strongest()(RankFlip(any_weights("l2", torch.float64), grey_triplets(3, seed=0)))
    assert result.linf.max() <= 4 / 255 + 1e-9


@pytest.mark.parametrize(
    ("levels", "grid"), [(4.0, [1, 2, 3, 4]), (2.5, [1, 2, 2.5]), (0.5, [0.5]), (1.0, [1])]
)
def test_the_grid_of_the_standard_evaluation_ends_at_the_budget(levels: float, grid: list[float]) -> None:
    first, *others = standard_attacks(levels / 255)
    assert isinstance(first, FGSM)
    assert [size * 255 for size in first.grid] == pytest.approx(grid)
    assert [attack.dials()["eps"] * 255 for attack in others] == pytest.approx([levels] * 3)
    with pytest.raises(InputError, match=r"eps is -"):
        standard_attacks(-levels)


def test_a_metric_without_gradient_is_left_to_black_box_attacks_with_one_warning() -> None:
    problem = RankFlip(Watched(blind=True), grey_triplets(3, seed=0))
    fgsm, pgd, square, apgd = FEW
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = Strongest(attacks=(fgsm, pgd, apgd, square))(problem)
    (message,) = [str(warning.message) for warning in caught]
    assert "L2 gives no gradient" in message and "without FGSM and PGD and APGD" in message
    alone = square(problem)
    assert torch.equal(result.images, alone.images)
    assert torch.equal(result.details["winner"], torch.where(alone.flipped, 3, -1))
    with pytest.raises(NoGradientError, match="black-box"):
        Strongest(attacks=[pgd])(problem)
