"""Our results of PGD beside the published ones."""

from __future__ import annotations

import pytest
import torch

from simlib.attacks import PGD, RankFlip
from simlib.report.beside_published import by_published_ratio, pgd_beside_published
from simlib.report.published import WHITE_BOX_PGD
from tests.support import any_weights, random_triplets


@pytest.fixture
def problem() -> RankFlip:
    return RankFlip(any_weights("l2"), random_triplets(8))


def test_the_table_tells_our_flips_and_theirs(problem: RankFlip) -> None:
    result = PGD(eps=0.1, step=0.01)(problem, protocol="paper")
    table = pgd_beside_published(result, problem.triplets.photographs, "L2")
    rows = {name: (here, there) for name, here, there in table.rows}
    assert rows["n"] == (8, WHITE_BOX_PGD.n)
    assert rows["steps of the flipped, mean"] == (
        pytest.approx(float(result.steps[result.flipped].float().mean())),
        WHITE_BOX_PGD.steps[0],
    )
    mean, _, spread = str(rows["RMSE of the flipped, rounded, in levels"][0]).split()
    assert float(mean) == pytest.approx(float(result.rmse[result.flipped].mean()), abs=5e-4)
    assert float(spread) == pytest.approx(float(result.rmse[result.flipped].std()), abs=5e-4)


def test_every_triplet_falls_into_one_range_of_the_ratio(problem: RankFlip) -> None:
    flipped = torch.arange(8) % 2 == 0
    here, published = by_published_ratio(problem, flipped)
    assert sum(rate.n for rate in here.values()) == 8
    assert sum(rate.successes for rate in here.values()) == 4
    # (0.05 / 0.08) squared, where few values were clipped
    assert "0.2 to 0.4" in here
    assert published == [WHITE_BOX_PGD.rate_by_ratio[float(name.split()[-1])] for name in here]
