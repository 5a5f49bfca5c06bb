"""How often intervals hold the truth, in simulations where photographs differ.

Each test draws 1,500 samples: where an interval covers 92 times in 100, the share found is off by 0.7 points
(one standard error). The seeds are fixed, so that the tests always see the same samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from simlib.benchmark.paired import difference
from simlib.benchmark.statistics import mean, median, rate, wilson

DRAWS = 1500


def rates_of(
    photographs: int, share: float, correlation: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw the rate of each photograph, such that two samples of one correlate as given."""
    if correlation == 0:
        return np.full(photographs, share)
    scale = (1 - correlation) / correlation
    return rng.beta(share * scale, (1 - share) * scale, photographs)


def sampled(
    share: float, correlation: float, photographs: int, n: int, equal: bool
) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.int64]]]:
    """Draw booleans, and the photograph of each."""
    rng = np.random.default_rng(photographs)
    for _ in range(DRAWS):
        weights = np.full(photographs, 1 / photographs) if equal else rng.dirichlet(np.full(photographs, 1.5))
        more = rng.choice(photographs, n - photographs, p=weights)
        groups = np.arange(n) % photographs if equal else np.concatenate([np.arange(photographs), more])
        yield rng.random(n) < rates_of(photographs, share, correlation, rng)[groups], groups


# where coverage is worst among rates of 2 to 50 %, 4 to 32 photographs, and correlations of 0 to 0.2
@pytest.mark.parametrize(
    ("share", "correlation", "photographs", "n", "equal"),
    [
        (0.02, 0.2, 4, 512, False),
        (0.02, 0.2, 12, 512, True),
        (0.02, 0.2, 24, 512, True),
        (0.05, 0.2, 8, 512, False),
        (0.05, 0.2, 12, 256, True),
        (0.05, 0.2, 24, 256, False),
        (0.1, 0.2, 12, 512, True),
        (0.5, 0.2, 8, 256, True),
        (0.5, 0.02, 32, 512, False),
        (0.05, 0.0, 4, 24, True),
    ],
)
def test_a_rate_over_photographs_covers(
    share: float, correlation: float, photographs: int, n: int, equal: bool
) -> None:
    covered = np.zeros(2)
    for happened, groups in sampled(share, correlation, photographs, n, equal):
        both = rate(happened, groups), wilson(int(happened.sum()), n)
        covered += [each.low <= share <= each.high for each in both]
    assert covered[0] / DRAWS >= 0.90
    if correlation == 0.2:
        assert covered[1] / DRAWS < 0.75


# first rate, second rate, correlation, photographs, samples
@pytest.mark.parametrize(
    ("first", "second", "correlation", "photographs", "n"),
    [(0.5, 0.5, 0.2, 8, 512), (0.3, 0.1, 0.2, 4, 64), (0.1, 0.05, 0.2, 12, 256), (0.02, 0.02, 0.2, 8, 512)],
)
def test_a_difference_over_photographs_covers(
    first: float, second: float, correlation: float, photographs: int, n: int
) -> None:
    rng, groups, covered = np.random.default_rng(photographs), np.arange(n) % photographs, 0
    for _ in range(DRAWS):
        rates = [rates_of(photographs, share, correlation, rng)[groups] for share in (first, second)]
        found = difference(rng.random(n) < rates[0], rng.random(n) < rates[1], groups)
        covered += found.low <= first - second <= found.high
    assert covered / DRAWS >= 0.90


@pytest.mark.parametrize("photographs", [8, 24])
def test_means_and_medians_over_photographs_cover(photographs: int) -> None:
    rng = np.random.default_rng(photographs)
    groups = np.arange(256) % photographs
    covered = np.zeros(2)
    for _ in range(DRAWS):
        votes = rng.binomial(5, rates_of(photographs, 0.7, 0.1, rng)[groups]) / 5
        radii = np.exp(rng.normal(size=photographs)[groups] / 3 + rng.normal(size=256))
        found = (mean(votes, groups), 0.7), (median(radii, groups), 1.0)
        covered += [each.low <= truth <= each.high for each, truth in found]
    assert (covered / DRAWS >= 0.90).all()


def choices(kind: str, n: int, generator: torch.Generator) -> torch.Tensor:
    """Shares as 2AFC scores have them, (1000, n): of five votes, all alike, or hardly ever wrong."""
    uniform = torch.rand((1000, n), generator=generator)
    if kind == "votes":
        chosen = torch.binomial(torch.full((1000, n), 5.0), uniform, generator=generator) / 5
        best = torch.maximum(chosen, 1 - chosen)
        return torch.where(torch.rand((1000, n), generator=generator) < 0.8, best, 1 - best)
    return torch.where(uniform < 0.9, 0.6, 0.4) if kind == "alike" else (uniform < 0.95).float()


@pytest.mark.parametrize("kind", ["votes", "alike", "seldom"])
@pytest.mark.parametrize("n", [10, 30, 200])
def test_a_mean_of_independent_shares_covers(kind: str, n: int) -> None:
    generator = torch.Generator().manual_seed(n)
    truth = float(choices(kind, 2000, generator).double().mean())
    means = [mean(shares, None) for shares in choices(kind, n, generator)]
    # 0.91 is 0.95 less what a thousand simulations and Wilson's own steps leave
    assert sum(each.low <= truth <= each.high for each in means) / len(means) > 0.91
