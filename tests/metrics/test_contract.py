"""The contract of a metric, over every metric that is registered, and values on the example triplet."""

from __future__ import annotations

import contextlib
import json
import pickle
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.errors import InputError
from simlib.metrics import Metric
from simlib.report.published import EXAMPLE_TRIPLET
from simlib.triplets import photos
from tests.ambient import AMBIENT, TELLING
from tests.metrics.example_values import FILE, example, measurable, values
from tests.rounding import assert_within_rounding, share_missed
from tests.support import any_weights, draw, load_or_skip

# Networks as large as VGG-16; they keep the contract at a small side.
LARGE = ["lpips-vgg", "features-vgg", "st-lpips-vgg", "dists", "content", "style", "pieapp", "dreamsim"]
WRAPPED = ["transformed:ssim", "transformed:lpips-alex", "smoothed:lpips-alex", "ensemble:lpips-alex+l1+gmsd"]
STORED = json.loads(FILE.read_text())


# All tests of one metric run in one process, which then loads it once.
@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in [*metrics.names(), *WRAPPED]],
)
def metric(request: pytest.FixtureRequest) -> Metric:
    """Load a metric; this must leave the global state of random numbers alone."""
    before = torch.random.get_rng_state()
    metric = any_weights.__wrapped__(request.param)
    assert torch.equal(before, torch.random.get_rng_state())
    return metric


@pytest.fixture
def side(metric: Metric) -> int:
    return max(32 if metric.spec.name in LARGE else 64, metric.spec.least_side)


def value_and_gradient(metric: Metric, ref: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    variable = x.clone().requires_grad_()
    distance = metric.anchor(ref)(variable)
    if not metric.spec.differentiable:
        return distance, torch.zeros_like(x)
    return distance.detach(), torch.autograd.grad(distance.sum(), variable)[0]


def doubles_and_a_direction(metric: Metric) -> tuple[Tensor, Tensor, Tensor]:
    """Draw a pair of small images away from black and white, and a direction to differentiate in."""
    side = max(32, metric.spec.least_side)
    ref, x = (draw(seed, 1, side).double() * 0.8 + 0.1 for seed in (0, 1))
    return ref, x, torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@contextlib.contextmanager
def in_double_precision(metric: Metric) -> Iterator[Metric]:
    """Convert the weights to doubles for a while; the way back is exact."""
    try:
        yield metric.double()
    finally:
        metric.float()


def test_least_at_the_reference_and_growing_with_noise(metric: Metric, side: int) -> None:
    middle, noise = draw(0, 2, side) * 0.8 + 0.1, draw(1, 2, side) - 0.5
    anchor = metric.anchor(middle)
    same, mild, heavy = (anchor((middle + scale * noise).clamp(0, 1)) for scale in (0, 0.02, 0.2))
    assert same.shape == (2,) and same.abs().max() < 1e-5
    assert (mild < heavy).all()


def test_symmetric_where_it_is_claimed(metric: Metric, side: int) -> None:
    ref, x = draw(0, 2, side), 0.4 + 0.2 * draw(1, 2, side)
    there, back = metric(ref, x), metric(x, ref)
    assert torch.allclose(there, back, rtol=1e-4, atol=1e-5) == metric.spec.symmetric


@pytest.mark.numerical
def test_exactly_the_same_whatever_the_others(metric: Metric, side: int) -> None:
    """Of as many others; a single sample is measured as the first of two."""
    triplets = photos(3, side=side, seed=0)
    for n, place in ((3, 0), (3, 2), (2, 0)):
        ref, x = triplets.ref[:n], triplets.p0[:n]
        value, gradient = value_and_gradient(metric, ref, x)
        # Others of another range: a metric that normalises over the batch would show them.
        other_ref, other_x = torch.zeros_like(ref), 0.1 * draw(1, n, side)
        other_ref[place], other_x[place] = ref[place], x[place]
        among_others, its_gradient = value_and_gradient(metric, other_ref, other_x)
        assert not torch.equal(among_others, value)
        assert torch.equal(among_others[place], value[place])
        assert torch.equal(its_gradient[place], gradient[place])
    alone, its_gradient = value_and_gradient(metric, triplets.ref[:1], triplets.p0[:1])
    assert torch.equal(alone[0], value[0])
    assert torch.equal(its_gradient[0], gradient[0])


@pytest.mark.numerical
def test_alike_in_batches_of_every_size(metric: Metric, side: int) -> None:
    triplets = photos(5, side=side, seed=0)
    ref, x = triplets.ref, triplets.p0
    value = metric(ref, x)
    for part in (slice(3, 4), slice(1, 3), slice(0, 3)):
        assert_within_rounding(metric.spec.name, metric(ref[part], x[part]), value[part])
    # In float32, slopes of flat areas may be nothing but rounding; in float64 there are digits to spare.
    with in_double_precision(metric):
        _, gradient = value_and_gradient(metric, ref.double(), x.double())
        _, alone = value_and_gradient(metric, ref[2:3].double(), x[2:3].double())
    torch.testing.assert_close(alone[0], gradient[2], atol=1e-6 * float(gradient[2].abs().max()), rtol=0)


def test_finite_at_special_images_and_below_zero_only_where_it_is_claimed(metric: Metric, side: int) -> None:
    black, (texture, other) = torch.zeros(3, side, side), draw(0, 2, side)
    white, dark, grey, dot = black + 1, black + 0.25, black + 0.5, black.clone()
    dot[:, 10, 10] = 1
    flat = [(black, black), (white, white), (dark, grey), (grey, dark), (black, white), (white, black)]
    pairs = [*flat, (black, dot), (dot, black), (texture, texture), (black, texture), (other, texture)]
    value, gradient = value_and_gradient(metric, *(torch.stack(each) for each in zip(*pairs, strict=True)))
    assert value.isfinite().all(), value
    assert gradient.isfinite().flatten(1).all(dim=1).all(), gradient.isfinite().flatten(1).all(dim=1)
    assert value.min() >= 0 or metric.spec.may_be_negative


def test_a_gradient_that_agrees_with_finite_differences(metric: Metric) -> None:
    if not metric.spec.differentiable:
        return
    size, (ref, x, direction) = 1e-6, doubles_and_a_direction(metric)
    with in_double_precision(metric):
        slope = (value_and_gradient(metric, ref, x)[1] * direction).sum()
        with torch.no_grad():
            anchor = metric.anchor(ref)
            rise = anchor(x + size * direction) - anchor(x - size * direction)
    torch.testing.assert_close(slope, rise.squeeze() / (2 * size), rtol=2e-3, atol=1e-9)


def test_the_same_in_double_precision(metric: Metric, side: int) -> None:
    ref, x = draw(0, 2, side), draw(1, 2, side)
    single = metric(ref, x)
    with in_double_precision(metric):
        exact = metric(ref.double(), x.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(single.double(), exact, rtol=1e-4, atol=1e-6)


def test_nothing_that_a_caller_has_set_changes_a_value(metric: Metric, side: int) -> None:
    ref, x = draw(0, 2, side), draw(1, 2, side)
    expected, (_, gradient) = metric(ref, x), value_and_gradient(metric, ref, x)
    for name in TELLING:
        with AMBIENT[name]():
            assert torch.equal(metric(ref, x), expected), name
            anchor = metric.anchor(ref)
            assert torch.equal(anchor(x), expected), name
        # What was made under another setting works without it.
        assert torch.equal(anchor(x), expected), name
        variable = x.clone().requires_grad_()
        if metric.spec.differentiable:
            assert torch.equal(torch.autograd.grad(anchor(variable).sum(), variable)[0], gradient), name


def test_second_derivatives(metric: Metric) -> None:
    if not metric.spec.differentiable:
        return
    size, (ref, x, direction) = 1e-8, doubles_and_a_direction(metric)
    with in_double_precision(metric):
        anchor, variable = metric.anchor(ref), x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(anchor(variable).sum(), variable, create_graph=True)
        (found,) = torch.autograd.grad((gradient * direction).sum(), variable)
        ahead, behind = (value_and_gradient(metric, ref, x + sign * size * direction)[1] for sign in (1, -1))
    expected = (ahead - behind) / (2 * size)
    # A difference of two gradients loses half of their digits; of a network, the second derivative is small.
    lost = 1e-6 * float(gradient.detach().abs().max())
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02 * float(expected.abs().max()) + lost)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_refused(metric: Metric, side: int, dtype: torch.dtype) -> None:
    halves = draw(0, 2, side).to(dtype)
    with pytest.raises(InputError, match=r"torch\.b?float16.*torch\.float32 and torch\.float64"):
        metric(halves, halves)
    with pytest.raises(InputError, match=r"torch\.float32 and torch\.float64"):
        metrics.load(metric.spec.name, dtype=dtype)


@pytest.mark.numerical
def test_in_float32_as_near_to_double_precision_as_is_stated(metric: Metric, side: int) -> None:
    """What :mod:`tests.rounding` derives all tolerances from; on photographs, which have flat areas too."""
    triplets = photos(6, side=side, seed=1)
    single = metric(triplets.ref, triplets.p0)
    with in_double_precision(metric):
        exact = metric(triplets.ref.double(), triplets.p0.double())
    usual = float(exact.abs().median())
    assert (single.double() - exact).abs().max() <= share_missed(metric.spec.name) * usual


def test_an_anchor_with_the_same_values(metric: Metric, side: int) -> None:
    ref, x = draw(0, 3, side), draw(1, 3, side)
    anchor, keep = metric.anchor(ref), torch.tensor([2, 0])
    expected = metric(ref, x)
    assert torch.equal(anchor(x), expected)
    assert_within_rounding(metric.spec.name, anchor.narrow(keep)(x[keep]), expected[keep])
    with pytest.raises(InputError, match="1 images for 3 references"):
        anchor(x[:1])


def test_a_least_side_that_is_accepted_and_enforced(metric: Metric) -> None:
    least = metric.spec.least_side
    assert metric(draw(0, 1, least), draw(1, 1, least)).isfinite().all()
    if least > 1:
        with pytest.raises(InputError, match=f"at least {least}x{least}"):
            metric(draw(0, 1, least - 1), draw(0, 1, least - 1))


def test_wrong_input_is_refused(metric: Metric, side: int) -> None:
    good = draw(0, 2, side)
    missing, levels = good.where(good < 0.9, torch.nan), (good * 255).to(torch.uint8)
    for bad in (good[0], levels, good * 2 - 1, missing, draw(0, 3, side)):
        with pytest.raises(InputError):
            metric(good, bad)
    with pytest.raises(InputError, match="ref"):
        metric.anchor(good * torch.nan)
    if next(metric.parameters(), None) is not None:
        with pytest.raises(InputError, match=r"float32.*float64"):
            metric(good.double(), good.double())


def test_no_parameter_requires_a_gradient(metric: Metric) -> None:
    assert not any(parameter.requires_grad for parameter in metric.parameters())
    assert not metric.training


@pytest.mark.parametrize("name", sorted({*EXAMPLE_TRIPLET, *STORED}))
def test_values_on_the_example_triplet(name: str) -> None:
    metric, triplet = load_or_skip(name), example()
    if triplet is None:
        pytest.skip("the example triplet is not on this machine")
    found = values(metric, triplet)
    if name in STORED:
        assert found == pytest.approx(STORED[name], rel=1e-3, abs=1e-6)
    if name in EXAMPLE_TRIPLET:
        assert found == pytest.approx(list(EXAMPLE_TRIPLET[name]), abs=1e-3)


def test_every_metric_that_can_measure_the_example_triplet_has_its_values_stored() -> None:
    triplet = example()
    if triplet is None:
        pytest.skip("the example triplet is not on this machine")
    assert not set(measurable(triplet)) - STORED.keys(), "run python -m tests.metrics.example_values"


def test_an_anchor_refuses_images_unlike_its_references(metric: Metric, side: int) -> None:
    ref = draw(0, 2, side)
    anchor = metric.anchor(ref)
    for wrong in (ref.double(), ref.bfloat16(), ref[..., :-1]):
        with pytest.raises(InputError, match="ref and x differ in"):
            anchor(wrong)


def test_a_metric_can_go_to_another_process(metric: Metric, side: int) -> None:
    if metric.spec.name in LARGE:
        return
    ref, x = draw(0, 1, side), draw(1, 1, side)
    again = pickle.loads(pickle.dumps(metric))
    assert torch.equal(again(ref, x), metric(ref, x))
