"""The average of a metric over random transforms: closed forms, a slow loop, and its effect on an attack."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from simlib.attacks import PGD, RankFlip
from simlib.metrics import Metric, Transformed, transformed
from simlib.triplets import photos
from tests.kernels.test_transforms import slow
from tests.support import any_weights, draw, load_or_skip

REF, X = draw(0, 2, 32), draw(1, 2, 32)


def test_l2_of_flat_images_is_scaled_by_the_mean_of_the_squared_factors() -> None:
    metric = Transformed(any_weights("l2"))
    squares = [factor**2 for transform in metric.transforms for factor in transform.factors]
    black = torch.zeros(2, 3, 16, 16, dtype=torch.float64)
    expected = torch.tensor([0.25, 0.25], dtype=torch.float64) * sum(squares) / len(squares)
    torch.testing.assert_close(metric(black, black + 0.5), expected)


def test_l2_does_not_notice_where_things_are() -> None:
    """A difference that is flat in each channel is as large after flips, offsets and permutations."""
    metric, l2 = Transformed(any_weights("l2")), any_weights("l2")
    metric.transforms = tuple(replace(each, factors=(1.0, 1.0, 1.0)) for each in metric.transforms)
    x = REF / 2 + torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    torch.testing.assert_close(metric(REF / 2, x), l2(REF / 2, x))


@pytest.mark.parametrize(("name", "least", "height", "width"), [("ssim", 11, 32, 45), ("gmsd", 3, 140, 130)])
def test_value_is_that_of_a_slow_loop(name: str, least: int, height: int, width: int) -> None:
    base = any_weights(name)
    metric = Transformed(base, transforms=7, seed=3)
    ref, x = (draw(seed, 2, height, width, torch.float64) for seed in (0, 1))
    values = [
        base(*(torch.from_numpy(slow(transform, image.numpy(), least).copy())[None] for image in pair))
        for transform in metric.transforms
        for pair in zip(ref, x, strict=True)
    ]
    torch.testing.assert_close(metric(ref, x), torch.cat(values).view(7, 2).mean(dim=0))


def test_gradient_is_the_mean_of_those_of_the_transforms() -> None:
    metric, ssim = Transformed(any_weights("ssim"), transforms=5), any_weights("ssim")
    ref, x = REF.double(), X.double().requires_grad_()
    (found,) = torch.autograd.grad(metric(ref, x).sum(), x)
    expected = torch.zeros_like(found)
    for transform in metric.transforms:
        single = ssim(transform(ref, 11), transform(x, 11)).sum()
        expected += torch.autograd.grad(single, x)[0] / 5
    torch.testing.assert_close(found, expected)


def test_the_seed_determines_the_value() -> None:
    base = any_weights("st-lpips-alex")
    first, same, other = (Transformed(base, transforms=3, seed=seed)(REF, X) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert (first != other).all()


def test_one_feature_in_a_hundred_is_dropped_the_same_in_both_images() -> None:
    metric = Transformed(any_weights("st-lpips-alex"))
    of_ref, of_x = metric.embed(REF), metric.embed(X)
    assert (metric.compare(of_ref, of_ref) == 0).all()
    whole = [tensor for each in metric.transforms for tensor in metric.metric.embed(each(X, 21))]
    dropped = [(kept == 0) & (full != 0) for kept, full in zip(of_x, whole, strict=True)]
    counts = sum(int(mask.sum()) for mask in dropped), sum(int((full != 0).sum()) for full in whole)
    assert counts[0] / counts[1] == pytest.approx(0.01, rel=0.1)
    for kept, full, mask, other in zip(of_x, whole, dropped, of_ref, strict=True):
        assert torch.equal(kept, full.masked_fill(mask, 0))
        assert (other.masked_select(mask.any(dim=0).expand_as(other)) == 0).all()


def test_features_to_drop_are_drawn_for_each_size() -> None:
    metric = Transformed(any_weights("st-lpips-alex"), transforms=2)
    for pair in [(draw(0, 1, side), draw(1, 1, side)) for side in (32, 48, 32)]:
        assert metric(*pair) == Transformed(metric.metric, transforms=2)(*pair)


def test_only_features_at_unit_length_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformed, "DROPPED", 1.0)
    learned, ssim = (Transformed(any_weights(name), transforms=2) for name in ("st-lpips-alex", "ssim"))
    assert (learned(REF, X) == 0).all()
    assert (ssim(REF, X) > 0).all()


def flips(metric: Metric, images: Tensor, problem: RankFlip) -> int:
    """Count the images that flip a metric, among triplets of which this metric attacks the same image."""
    other = RankFlip(metric, problem.triplets)
    alike = (other.batch().original == problem.batch().original).flatten(1).all(dim=1)
    return int(((other.margin(images) > 0) & alike).sum())


def test_an_attack_on_the_metric_or_with_other_transforms_flips_fewer() -> None:
    base = load_or_skip("lpips-alex")
    here, elsewhere = (Transformed(base, transforms=6, seed=seed) for seed in (0, 1))
    for attacked, spared in ((base, here), (here, elsewhere)):
        problem = RankFlip(attacked, photos(6))
        images = PGD(eps=4 / 255, step=1 / 255, steps=5)(problem).images
        assert flips(spared, images, problem) < flips(attacked, images, problem)
