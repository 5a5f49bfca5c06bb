"""The median of a metric over noise: a slow loop, its gradient, and an image that fools the metric only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm
from torch import Tensor

from simlib.attacks import PGD, RankFlip
from simlib.errors import InputError
from simlib.kernels.noise import Draws
from simlib.metrics import Features, Metric, MetricSpec, Smoothed
from simlib.triplets import photos
from tests.metrics.test_transformed import REF, X, flips
from tests.support import any_weights, load_or_skip


def noisy(images: Tensor, samples: int, noise: float, seed: int) -> list[Tensor]:
    """Add the noise sample by sample, the normal quantiles taken from scipy."""
    uniform = [
        Draws([f"noise {view}"], seed).uniform(*images.shape[1:], dtype=torch.float64).numpy()
        for view in range(samples)
    ]
    return [torch.from_numpy(np.clip(images.numpy() + noise * norm.ppf(u + 2**-25), 0, 1)) for u in uniform]


@pytest.mark.parametrize("samples", [1, 2, 5, 6])
def test_value_and_gradient_are_those_of_a_slow_loop(samples: int) -> None:
    ssim, ref, x = any_weights("ssim"), REF.double(), X.double()
    metric = Smoothed(ssim, noise=0.2, samples=samples, seed=5)
    views = [view.requires_grad_() for view in noisy(x, samples, 0.2, 5)]
    values = torch.stack([ssim(a, b) for a, b in zip(noisy(ref, samples, 0.2, 5), views, strict=True)])
    expected = torch.from_numpy(np.median(values.detach().numpy(), axis=0))
    found = metric(ref, x.requires_grad_())
    torch.testing.assert_close(found, expected)

    gradients = torch.stack(torch.autograd.grad(values.sum(), views))
    inside = torch.stack([(view > 0) & (view < 1) for view in views])
    middle = values.detach().argsort(dim=0)[[(samples - 1) // 2, samples // 2]]
    slope = (gradients * inside)[middle, torch.arange(len(x))].mean(dim=0)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), x)[0], slope)


def test_without_noise_it_is_the_metric() -> None:
    ssim = any_weights("ssim")
    assert torch.equal(Smoothed(ssim, noise=0, samples=4)(REF, X), ssim(REF, X))


def test_noise_is_normal_and_independent() -> None:
    metric = Smoothed(any_weights("l2"), noise=0.1)
    noise = metric._noise_for(torch.zeros(1, 3, 64, 64, dtype=torch.float64))
    assert noise.shape == (9, 3, 64, 64)
    assert kstest(noise.flatten().numpy() / 0.1, "norm").pvalue > 1e-3
    correlations = torch.corrcoef(noise.flatten(1))[~torch.eye(9, dtype=torch.bool)]
    assert correlations.abs().max() < 0.05
    single = metric._noise_for(torch.zeros(5, 3, 64, 64))
    assert torch.equal(single, noise.float())


def test_the_seed_decides_and_global_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (Smoothed(any_weights("ssim"), seed=seed)(REF, X) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert (first != other).all()
    assert torch.equal(before, torch.random.get_rng_state())


class Trapped(Metric):
    """L2, and a hundred more for an image whose first value lies in a narrow pocket."""

    spec = MetricSpec(name="trapped", title="Trapped L2")

    def compare(self, reference: Features, features: Features) -> Tensor:
        pocket = (features[0][:, 0, 0, 0] - 0.5).abs() < 1e-3
        return (reference[0] - features[0]).square().mean(dim=(1, 2, 3)) + 100 * pocket


def test_one_value_in_a_pocket_moves_the_metric_but_not_its_median() -> None:
    ref, x = (image * 0.1 + 0.45 for image in (REF, X))
    attacked = x.clone()
    attacked[:, 0, 0, 0] = 0.5
    trapped, smoothed = Trapped(), Smoothed(Trapped(), noise=0.05)
    assert (trapped(ref, attacked) > trapped(ref, x) + 99).all()
    assert ((smoothed(ref, attacked) - smoothed(ref, x)).abs() < 0.1**2 / x[0].numel()).all()


@pytest.mark.parametrize("noise", [-0.1, 1.1, math.nan, math.inf, "0.1"])
def test_noise_outside_its_range_is_refused(noise: Any) -> None:
    with pytest.raises(InputError, match="noise is"):
        Smoothed(any_weights("l2"), noise=noise)


def test_an_attack_on_the_metric_flips_fewer() -> None:
    base = load_or_skip("lpips-alex")
    problem = RankFlip(base, photos(6))
    images = PGD(eps=4 / 255, step=1 / 255, steps=5)(problem).images
    assert flips(Smoothed(base), images, problem) < flips(base, images, problem)


def test_a_sample_that_is_undefined_is_not_taken_for_a_large_one() -> None:
    class Sometimes(Metric):
        spec = MetricSpec("sometimes", "Sometimes")

        def compare(self, reference: Features, features: Features) -> Tensor:
            dark = features[0].mean(dim=(1, 2, 3)) < 0.5
            return torch.where(dark, torch.nan, (reference[0] - features[0]).square().mean(dim=(1, 2, 3)))

    grey = torch.full((2, 3, 16, 16), 0.5)
    grey[1] += 0.3
    assert Smoothed(Sometimes())(grey, grey).isnan().tolist() == [True, False]
