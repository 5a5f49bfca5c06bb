"""Metrics that measure several views by another metric: names, specs, counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.errors import InputError, UnknownNameError
from simlib.metrics import Features, Metric, MetricSpec, Smoothed, Transformed
from simlib.metrics.wrapper import Wrapper
from tests.support import any_weights, draw

REF, X = draw(0, 2, 32), draw(1, 2, 32)
both = pytest.mark.parametrize("wrap", [Transformed, Smoothed])


class Steps(Wrapper):
    """Measures images, their halves, their thirds, and so on, and adds the distances up."""

    def look(self, images: Tensor, view: int) -> Features:
        return self.metric.embed(images / (view + 1))

    def combine(self, distances: Tensor) -> Tensor:
        return distances.sum(dim=1)


class Rounded(Metric):
    """A metric without a gradient whose spec has no default values."""

    spec = MetricSpec(
        "rounded",
        "Rounded",
        least_side=3,
        weights=("alexnet",),
        library="some-library",
        licence="some licence",
        symmetric=False,
        differentiable=False,
        may_be_negative=True,
        extra="some-extra",
    )

    def compare(self, reference: Features, features: Features) -> Tensor:
        return (reference[0] - features[0]).detach().mean(dim=(1, 2, 3))


def test_every_view_is_measured_and_all_are_combined() -> None:
    l2 = any_weights("l2")
    steps = Steps(l2, 4, l2.spec)
    torch.testing.assert_close(steps(REF, X), l2(REF, X) * (1 + 1 / 4 + 1 / 9 + 1 / 16))


@both
def test_the_spec_is_that_of_the_wrapped_metric(wrap: Any) -> None:
    metric = wrap(Rounded(), seed=7)
    spec, wrapped = metric.spec, Rounded.spec
    changed = ("name", "title", "parts", "summary", "citation", "verified", "least_side")
    assert spec == replace(wrapped, **{each: getattr(spec, each) for each in changed})
    assert spec.title == f"{wrap.__name__} Rounded"
    assert spec.parts == ("rounded",)
    assert "seed 7" in spec.summary
    assert not metric(REF, X.clone().requires_grad_()).requires_grad


@pytest.mark.parametrize("name", ["transformed:smoothed:l2", "smoothed:transformed:l2"])
def test_a_prefix_wraps_the_named_metric(name: str) -> None:
    metric = metrics.load(name)
    assert metric.spec == metrics.spec_of(name)
    assert metric.spec.name == name
    assert (metric(REF, X) > 0).all()


@pytest.mark.parametrize("prefix", ["transformed", "smoothed"])
def test_the_name_behind_the_prefix_must_be_known(prefix: str) -> None:
    with pytest.raises(UnknownNameError, match=r"'ssimm'. Did you mean ssim"):
        metrics.load(f"{prefix}:ssimm")


@pytest.mark.parametrize("count", [0, -1, 1.5, "9"])
def test_counts_are_whole_numbers_above_zero(count: Any) -> None:
    with pytest.raises(InputError, match=r"transforms is .* whole number"):
        Transformed(any_weights("l2"), transforms=count)
    with pytest.raises(InputError, match=r"samples is .* whole number"):
        Smoothed(any_weights("l2"), samples=count)


@both
@pytest.mark.parametrize("seed", [-1, 1.5, None, "1", True])
def test_seeds_are_whole_numbers(wrap: Any, seed: Any) -> None:
    with pytest.raises(InputError, match=f"seed is {seed!r}"):
        wrap(any_weights("l2"), seed=seed)


@both
def test_images_of_any_dtype_and_size_in_turn(wrap: Any) -> None:
    """A metric without weights takes any dtype; masks and noise of one size are not used for another."""
    metric = wrap(any_weights("l2"))
    large, small = draw(0, 1, 40), draw(0, 1, 24)
    first = metric(large, 1 - large)
    assert metric(small, 1 - small) != first
    double = metric(large.double(), 1 - large.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), first)
    assert torch.equal(metric(large, 1 - large), first)


@both
def test_a_mask_or_noise_drawn_in_inference_serves_a_gradient(wrap: Any) -> None:
    metric = wrap(any_weights.__wrapped__("st-lpips-alex"))
    with torch.inference_mode():
        metric(REF, X)
    x = X.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(metric(REF, x).sum(), x)
    assert gradient.abs().sum() > 0


@both
def test_no_samples(wrap: Any) -> None:
    empty = torch.zeros(0, 3, 32, 32)
    assert wrap(any_weights("ssim"))(empty, empty).shape == (0,)
