"""The contract of a metric, over every metric that is registered, and agreement with other libraries."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.benchmark.published import EXAMPLE_TRIPLET
from simlib.errors import InputError
from simlib.triplets import photos
from tests.example_values import PINNED, example, measurable, values
from tests.support import any_weights, load_or_skip

WRAPPED = [
    "ensemble:l2",
    "ensemble:ssim",
    "ensemble:lpips-alex",
    "smoothed:ssim",
    "smoothed:lpips-alex",
    "committee:l1+gmsd",
    "committee:lpips-alex+l1+gmsd",
]
# All that is asked of one metric runs in one process, which then loads it once.
every_metric = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in [*metrics.names(), *WRAPPED]]
)


AT_IDENTITY = 1e-5


def images(n: int = 3, side: int = 64, seed: int = 0) -> Tensor:
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(seed))


def side_of(name: str, side: int = 64) -> int:
    return max(side, metrics.spec_of(name).least_side)


@every_metric
def test_distance_is_least_at_the_reference_and_grows_with_noise(name: str) -> None:
    metric, side = any_weights(name), side_of(name)
    middle = (images(side=side) * 0.8 + 0.1).clamp(0, 1)
    noise = images(side=side, seed=1) - 0.5
    mild, heavy = ((middle + scale * noise).clamp(0, 1) for scale in (0.02, 0.2))
    assert metric(middle, mild).shape == (3,)
    assert metric(middle, middle).abs().max() < AT_IDENTITY
    assert (metric(middle, mild) < metric(middle, heavy)).all()


@every_metric
def test_images_can_change_places_where_symmetry_is_claimed(name: str) -> None:
    metric, side = any_weights(name), side_of(name)
    ref, x = images(side=side), 0.4 + 0.2 * images(side=side, seed=1)
    there, back = metric(ref, x), metric(x, ref)
    if metric.spec.symmetric:
        torch.testing.assert_close(there, back, rtol=1e-4, atol=1e-5)
    else:
        assert not torch.allclose(there, back, rtol=1e-4, atol=1e-5)


@every_metric
def test_values_below_zero_only_where_they_are_claimed(name: str) -> None:
    metric, side = any_weights(name), side_of(name)
    blank = torch.zeros(3, 3, side, side)
    lowest = min(float(metric(ref, images(side=side, seed=1)).min()) for ref in (images(side=side), blank))
    assert lowest >= 0 or metric.spec.may_be_negative


@every_metric
def test_a_sample_does_not_depend_on_its_neighbours(name: str) -> None:
    metric, side = any_weights(name), side_of(name)
    ref, x = images(5, side), images(5, side, seed=1)
    # Neighbours of another range, too: what is normalised over the batch shows.
    x[3:] = x[3:] * 0.1
    ref[4] = 0
    alone = torch.cat([metric(ref[i : i + 1], x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(metric(ref, x), alone, atol=1e-5, rtol=1e-5)


@every_metric
def test_a_lone_sample_has_the_gradient_that_it_has_among_others(name: str) -> None:
    metric = any_weights(name)
    if not metric.spec.differentiable:
        pytest.skip("has no gradient")
    triplets = photos(4, side=side_of(name), seed=0)

    def gradient(part: slice) -> Tensor:
        variable = triplets.p0[part].clone().requires_grad_()
        return torch.autograd.grad(metric.anchor(triplets.ref[part])(variable).sum(), variable)[0]

    among_others = gradient(slice(None))
    for i in range(4):
        steepest = float(among_others[i].abs().max())
        torch.testing.assert_close(
            gradient(slice(i, i + 1))[0], among_others[i], atol=1e-3 * steepest, rtol=0
        )


def one_pixel(side: int) -> tuple[Tensor, Tensor]:
    ref, x = torch.zeros(1, 3, side, side), torch.zeros(1, 3, side, side)
    x[:, :, 10, 10] = 1
    return ref, x


def flat(*levels: float) -> Callable[[int], tuple[Tensor, Tensor]]:
    return lambda side: (
        torch.full((2, 3, side, side), levels[0]),
        torch.full((2, 3, side, side), levels[-1]),
    )


PAIRS = {
    "identical": lambda side: (images(2, side), images(2, side)),
    "black": flat(0.0),
    "white": flat(1.0),
    "flat": flat(0.5, 0.25),
    "black and white": flat(0.0, 1.0),
    "one pixel": one_pixel,
}


@every_metric
@pytest.mark.parametrize("pair", PAIRS)
def test_values_and_gradients_are_finite(name: str, pair: str) -> None:
    metric = any_weights(name)
    ref, x = PAIRS[pair](side_of(name))
    for first, second in ((ref, x), (x, ref)):
        variable = second.clone().requires_grad_()
        distance = metric.anchor(first)(variable)
        assert distance.isfinite().all()
        if metric.spec.differentiable:
            assert torch.autograd.grad(distance.sum(), variable)[0].isfinite().all()


@every_metric
def test_gradient_agrees_with_finite_differences(name: str) -> None:
    metric, side = any_weights(name, torch.float64), side_of(name, 32)
    if not metric.spec.differentiable:
        pytest.skip("has no gradient")
    ref, x = (images(1, side, seed=seed).double() * 0.8 + 0.1 for seed in (0, 1))
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(metric(ref, x.requires_grad_()).sum(), x)
    size = 1e-6
    with torch.no_grad():
        slope = (metric(ref, x + size * direction) - metric(ref, x - size * direction)) / (2 * size)
    torch.testing.assert_close((gradient * direction).sum(), slope.squeeze(), rtol=2e-3, atol=1e-9)


@every_metric
def test_float32_agrees_with_float64(name: str) -> None:
    ref, x = images(side=side_of(name)), images(side=side_of(name), seed=1)
    exact = any_weights(name, torch.float64)(ref.double(), x.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(any_weights(name)(ref, x).double(), exact, rtol=1e-4, atol=1e-6)


@every_metric
def test_anchor_gives_the_same_values_and_can_be_narrowed(name: str) -> None:
    metric, side = any_weights(name), side_of(name)
    ref, x = images(4, side), images(4, side, seed=1)
    anchor, keep = metric.anchor(ref), torch.tensor([3, 1])
    torch.testing.assert_close(anchor(x), metric(ref, x))
    with pytest.raises(InputError, match="1 images for 4 references"):
        anchor(x[:1])
    with pytest.raises(InputError, match="ref"):
        metric.anchor(ref * torch.nan)
    torch.testing.assert_close(anchor.narrow(keep)(x[keep]), metric(ref, x)[keep], rtol=1e-5, atol=1e-6)


@every_metric
def test_least_side_is_enforced_and_accepted(name: str) -> None:
    metric, least = any_weights(name), metrics.spec_of(name).least_side
    assert metric(images(1, least), images(1, least, seed=1)).isfinite().all()
    if least > 1:
        with pytest.raises(InputError, match=f"at least {least}x{least}"):
            metric(images(1, least - 1), images(1, least - 1))


@every_metric
def test_wrong_input_is_refused_at_the_border(name: str) -> None:
    metric, side = any_weights(name), side_of(name)
    good = images(2, side)
    wrong = {
        "shape": good[0],
        "dtype": (good * 255).to(torch.uint8),
        "range": good * 2 - 1,
        "NaN": good.where(good < 0.9, torch.nan),
        "batch": images(3, side),
    }
    for what, bad in wrong.items():
        with pytest.raises(InputError):
            metric(good, bad)
        if what != "batch":
            with pytest.raises(InputError):
                metric(bad, good)


@every_metric
def test_no_parameter_asks_for_gradients_and_global_random_state_is_untouched(name: str) -> None:
    before = torch.random.get_rng_state()
    metric = any_weights.__wrapped__(name)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not any(parameter.requires_grad for parameter in metric.parameters())
    assert not metric.training


@pytest.mark.parametrize("name", ["lpips-alex", "st-lpips-alex", "l2", "ssim"])
def test_images_of_another_dtype_than_the_weights(name: str) -> None:
    metric, ref = any_weights(name), images(1).double()
    if next(metric.parameters(), None) is None:
        assert metric(ref, ref).dtype == torch.float64
    else:
        with pytest.raises(InputError, match=r"float32.*float64"):
            metric(ref, ref)


@pytest.mark.parametrize("name", EXAMPLE_TRIPLET)
def test_published_values_on_the_example_triplet(name: str) -> None:
    metric, triplet = load_or_skip(name), example()
    if triplet is None:
        pytest.skip("the example triplet is not on this machine")
    assert values(metric, triplet) == pytest.approx(list(EXAMPLE_TRIPLET[name]), abs=1e-3)


@pytest.mark.parametrize("name", json.loads(PINNED.read_text()))
def test_values_on_the_example_triplet_stay_as_they_were(name: str) -> None:
    metric, triplet = load_or_skip(name), example()
    if triplet is None:
        pytest.skip("the example triplet is not on this machine")
    assert values(metric, triplet) == pytest.approx(json.loads(PINNED.read_text())[name], rel=1e-3, abs=1e-6)


def test_every_metric_that_can_measure_the_example_triplet_has_its_values_pinned() -> None:
    triplet = example()
    if triplet is None:
        pytest.skip("the example triplet is not on this machine")
    missing = set(measurable(triplet)) - json.loads(PINNED.read_text()).keys()
    assert not missing, "run python -m tests.example_values"
