"""What all metrics share that look at an image several times: names, specs, counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.errors import InputError, UnknownNameError
from simlib.metrics import Metric, MetricSpec, weights
from simlib.metrics.ensemble import Ensemble
from simlib.metrics.metric import Features
from simlib.metrics.smoothed import Smoothed
from simlib.metrics.wrapper import Wrapper
from tests.support import any_weights

both = pytest.mark.parametrize("wrap", [Ensemble, Smoothed])


class Steps(Wrapper):
    """Looks at images, their halves, their thirds, and so on, and adds the distances up."""

    def look(self, images: Tensor, view: int) -> Features:
        return self.metric.embed(images / (view + 1))

    def combine(self, distances: Tensor) -> Tensor:
        return distances.sum(dim=1)


class Rounded(Metric):
    """A metric without a gradient that has more to say of itself than a spec's defaults."""

    spec = MetricSpec(
        name="rounded",
        title="Rounded",
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
    ref, x = (torch.rand((3, 3, 8, 8), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    steps = Steps(l2, 4, l2.spec)
    torch.testing.assert_close(steps(ref, x), l2(ref, x) * (1 + 1 / 4 + 1 / 9 + 1 / 16))
    keep = torch.tensor([2, 0])
    torch.testing.assert_close(steps.anchor(ref).narrow(keep)(x[keep]), steps(ref, x)[keep])


@both
def test_the_spec_is_that_of_the_wrapped_metric(wrap: Any) -> None:
    metric = wrap(Rounded())
    spec, own = metric.spec, Rounded.spec
    anew = ("name", "title", "summary", "citation", "verified", "least_side")
    assert spec == replace(own, **{each: getattr(spec, each) for each in anew})
    assert "Rounded" in spec.title
    ref, x = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8, requires_grad=True)
    assert not metric(ref, x).requires_grad


@both
def test_the_summary_says_what_was_drawn(wrap: Any) -> None:
    assert "seed 7" in wrap(Rounded(), seed=7).spec.summary


@pytest.mark.parametrize(
    "name", ["ensemble:ssim", "smoothed:ssim", "ensemble:smoothed:l2", "smoothed:ensemble:l2"]
)
def test_a_prefix_wraps_the_named_metric(name: str) -> None:
    metric = metrics.load(name)
    assert metric.spec == metrics.spec_of(name)
    assert metric.spec.name == name
    ref, x = (torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert (metric(ref, x) > 0).all()


@pytest.mark.parametrize("prefix", ["ensemble", "smoothed"])
def test_the_name_behind_the_prefix_must_be_known(prefix: str) -> None:
    with pytest.raises(UnknownNameError, match=r"'ssimm'. Did you mean ssim"):
        metrics.load(f"{prefix}:ssimm")


@pytest.mark.parametrize("prefix", ["ensemble", "smoothed"])
def test_weights_are_those_of_the_wrapped_metric(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "locate", lambda _: None)
    assert "simlib weights fetch vgg16" in metrics.why_absent(f"{prefix}:lpips-vgg")
    assert metrics.why_absent(f"{prefix}:l2") == ""


@pytest.mark.parametrize("count", [0, -1, 1.5, "9"])
def test_counts_are_whole_numbers_above_zero(count: Any) -> None:
    with pytest.raises(InputError, match=r"transforms is .* whole number"):
        Ensemble(any_weights("l2"), transforms=count)
    with pytest.raises(InputError, match=r"samples is .* whole number"):
        Smoothed(any_weights("l2"), samples=count)


@both
def test_images_of_any_dtype_and_size_in_turn(wrap: Any) -> None:
    """A metric without weights takes what it is given; what was kept for one size serves no other."""
    metric = wrap(any_weights("l2"))
    generator = torch.Generator().manual_seed(1)
    large, small = (torch.rand((1, 3, side, side), generator=generator) for side in (40, 24))
    first = metric(large, 1 - large)
    assert metric(small, 1 - small) != first
    double = metric(large.double(), 1 - large.double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), first)
    assert torch.equal(metric(large, 1 - large), first)


@both
def test_a_mask_or_noise_drawn_in_inference_serves_a_gradient(wrap: Any) -> None:
    metric = wrap(any_weights.__wrapped__("st-lpips-alex"))
    ref, x = (torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    with torch.inference_mode():
        metric(ref, x)
    (gradient,) = torch.autograd.grad(metric(ref, x.requires_grad_()).sum(), x)
    assert gradient.abs().sum() > 0


@both
def test_no_samples(wrap: Any) -> None:
    empty = torch.zeros(0, 3, 32, 32)
    assert wrap(any_weights("ssim"))(empty, empty).shape == (0,)
