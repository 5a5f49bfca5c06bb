"""The average of a metric over random transforms: closed forms, a slow loop, what it does to an attack."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from simlib.attacks import RankFlip, pgd
from simlib.metrics import Metric, ensemble
from simlib.metrics.ensemble import Ensemble
from simlib.triplets import photos
from tests.support import any_weights, load_or_skip
from tests.test_transforms import slow


def draw(n: int = 3, height: int = 32, width: int = 32, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand((n, 3, height, width), generator=generator, dtype=dtype) for _ in range(2)]


def test_l2_of_flat_images_is_scaled_by_the_mean_of_the_squared_factors() -> None:
    metric = Ensemble(any_weights("l2"))
    squares = [factor**2 for transform in metric.transforms for factor in transform.factors]
    black = torch.zeros(2, 3, 16, 16, dtype=torch.float64)
    expected = torch.tensor([0.25, 0.25], dtype=torch.float64) * sum(squares) / len(squares)
    torch.testing.assert_close(metric(black, black + 0.5), expected)


def test_l2_does_not_notice_where_things_are() -> None:
    """A difference that is flat in each channel is as large after flips, offsets and permutations."""
    metric, l2 = Ensemble(any_weights("l2")), any_weights("l2")
    metric.transforms = tuple(replace(each, factors=(1.0, 1.0, 1.0)) for each in metric.transforms)
    (ref, _) = draw()
    x = ref / 2 + torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    torch.testing.assert_close(metric(ref / 2, x), l2(ref / 2, x))


@pytest.mark.parametrize(("height", "width"), [(32, 45), (140, 130)])
def test_value_is_that_of_a_slow_loop(height: int, width: int) -> None:
    metric, ssim = Ensemble(any_weights("ssim"), transforms=7, seed=3), any_weights("ssim")
    ref, x = draw(2, height, width, torch.float64)
    values = [
        ssim(*(torch.from_numpy(slow(transform, image.numpy(), 11).copy())[None] for image in pair))
        for transform in metric.transforms
        for pair in zip(ref, x, strict=True)
    ]
    torch.testing.assert_close(metric(ref, x), torch.cat(values).view(7, 2).mean(dim=0))
    keep = torch.tensor([1])
    torch.testing.assert_close(metric.anchor(ref).narrow(keep)(x[keep]), metric(ref, x)[keep])


def test_gradient_is_the_mean_of_those_of_the_transforms() -> None:
    metric, ssim = Ensemble(any_weights("ssim"), transforms=5), any_weights("ssim")
    ref, x = draw(2, dtype=torch.float64)
    x.requires_grad_()
    (found,) = torch.autograd.grad(metric(ref, x).sum(), x)
    expected = torch.zeros_like(found)
    for transform in metric.transforms:
        single = ssim(transform(ref, 11), transform(x, 11)).sum()
        expected += torch.autograd.grad(single, x)[0] / 5
    torch.testing.assert_close(found, expected)


def test_same_seed_same_value_other_seed_other_value() -> None:
    base = any_weights("st-lpips-alex")
    ref, x = draw()
    first = Ensemble(base, seed=1)(ref, x)
    assert torch.equal(first, Ensemble(base, seed=1)(ref, x))
    assert (first != Ensemble(base, seed=2)(ref, x)).all()


def test_without_dropping_it_is_the_mean_over_the_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "DROPPED", 0.0)
    base = any_weights("st-lpips-alex")
    metric = Ensemble(base, transforms=3)
    ref, x = draw()
    values = [base(transform(ref, 21), transform(x, 21)) for transform in metric.transforms]
    torch.testing.assert_close(metric(ref, x), torch.stack(values).mean(dim=0))


def test_one_feature_in_a_hundred_is_dropped_the_same_in_both_images() -> None:
    metric = Ensemble(any_weights("st-lpips-alex"))
    ref, x = draw(2)
    of_ref, of_x = metric.embed(ref), metric.embed(x)
    assert (metric.compare(of_ref, of_ref) == 0).all()
    whole = [tensor for each in metric.transforms for tensor in metric.metric.embed(each(x, 21))]
    dropped = [(kept == 0) & (full != 0) for kept, full in zip(of_x, whole, strict=True)]
    counts = sum(int(mask.sum()) for mask in dropped), sum(int((full != 0).sum()) for full in whole)
    assert counts[0] / counts[1] == pytest.approx(0.01, rel=0.1)
    for kept, full, mask, other in zip(of_x, whole, dropped, of_ref, strict=True):
        assert torch.equal(kept, full.masked_fill(mask, 0))
        assert (other.masked_select(mask.any(dim=0).expand_as(other)) == 0).all()


def test_what_is_dropped_at_one_size_serves_no_other() -> None:
    metric, sizes = Ensemble(any_weights("st-lpips-alex"), transforms=2), (32, 48, 32)
    found = [metric(*draw(1, size, size)) for size in sizes]
    fresh = [Ensemble(metric.metric, transforms=2)(*draw(1, size, size)) for size in sizes]
    assert found == fresh


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_only_features_at_unit_length_are_dropped(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "DROPPED", share)
    ref, x = draw()
    assert (Ensemble(any_weights("st-lpips-alex"))(ref, x) == 0).all() == (share == 1)
    assert (Ensemble(any_weights("ssim"))(ref, x) > 0).all()


def flips(metric: Metric, images: Tensor, problem: RankFlip) -> int:
    """Count the attacked images that flip a metric, of those that this metric, too, would have attacked."""
    other = RankFlip(metric, problem.triplets)
    alike = (other.batch().original == problem.batch().original).flatten(1).all(dim=1)
    return int(((other.margin(images) > 0) & alike).sum())


@pytest.mark.slow
def test_an_attack_on_the_metric_or_on_other_draws_flips_fewer() -> None:
    base = load_or_skip("lpips-alex")
    here, elsewhere = Ensemble(base), Ensemble(base, seed=1)
    triplets = photos(8)
    for attacked, spared in ((base, here), (here, elsewhere)):
        problem = RankFlip(attacked, triplets)
        images = pgd(problem, eps=4 / 255, step=1 / 255, steps=10).images
        assert flips(spared, images, problem) < flips(attacked, images, problem)
