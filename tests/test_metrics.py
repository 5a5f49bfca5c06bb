"""The contract of a metric, over every metric that is registered, and agreement with other libraries."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import skimage.metrics
import torch
from torch import Tensor

from simlib import metrics
from simlib.benchmark.published import EXAMPLE_TRIPLET
from simlib.errors import AbsentWeightsError, InputError, UnknownNameError, WeightsError
from simlib.metrics import Metric, MetricSpec, weights
from simlib.triplets import example_triplet
from tests.support import any_weights, load_or_skip, random_backbone, random_triplets, shared_data

every_metric = pytest.mark.parametrize("name", metrics.names())


def images(n: int = 3, side: int = 64, seed: int = 0) -> Tensor:
    return torch.rand((n, 3, side, side), generator=torch.Generator().manual_seed(seed))


@every_metric
def test_distance_is_zero_at_the_reference_and_grows_with_noise(name: str) -> None:
    metric, ref = any_weights(name), images()
    noise = images(seed=1) - 0.5
    mild, heavy = ((ref * 0.8 + 0.1 + scale * noise).clamp(0, 1) for scale in (0.02, 0.2))
    start = (ref * 0.8 + 0.1).clamp(0, 1)
    assert metric(start, start).abs().max() < 1e-6
    assert (metric(start, mild) < metric(start, heavy)).all()
    assert metric(start, mild).shape == (3,)


@every_metric
def test_a_sample_does_not_depend_on_its_neighbours(name: str) -> None:
    metric, ref, x = any_weights(name), images(5), images(5, seed=1)
    alone = torch.cat([metric(ref[i : i + 1], x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(metric(ref, x), alone, atol=1e-5, rtol=1e-5)


def _black() -> tuple[Tensor, Tensor]:
    black = torch.zeros(2, 3, 64, 64)
    return black, black.clone()


def _one_pixel() -> tuple[Tensor, Tensor]:
    ref, x = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    x[:, :, 10, 10] = 1
    return ref, x


PAIRS = {
    "identical": lambda: (images(), images()),
    "black": _black,
    "white": lambda: (torch.ones(2, 3, 64, 64), torch.ones(2, 3, 64, 64)),
    "flat": lambda: (torch.full((2, 3, 64, 64), 0.5), torch.full((2, 3, 64, 64), 0.25)),
    "black and white": lambda: (torch.zeros(2, 3, 64, 64), torch.ones(2, 3, 64, 64)),
    "one pixel": _one_pixel,
}


@every_metric
@pytest.mark.parametrize("pair", PAIRS)
def test_values_and_gradients_are_finite(name: str, pair: str) -> None:
    ref, x = PAIRS[pair]()
    x.requires_grad_()
    distance = any_weights(name)(ref, x)
    (gradient,) = torch.autograd.grad(distance.sum(), x)
    assert distance.isfinite().all()
    assert gradient.isfinite().all()


@every_metric
def test_gradient_agrees_with_finite_differences(name: str) -> None:
    metric = any_weights(name, torch.float64)
    ref, x = (images(1, side=32, seed=seed).double() * 0.8 + 0.1 for seed in (0, 1))
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(metric(ref, x.requires_grad_()).sum(), x)
    size = 1e-6
    with torch.no_grad():
        slope = (metric(ref, x + size * direction) - metric(ref, x - size * direction)) / (2 * size)
    torch.testing.assert_close((gradient * direction).sum(), slope.squeeze(), rtol=2e-3, atol=1e-9)


@every_metric
def test_float32_agrees_with_float64(name: str) -> None:
    ref, x = images(), images(seed=1)
    exact = any_weights(name, torch.float64)(ref.double(), x.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(any_weights(name)(ref, x).double(), exact, rtol=1e-4, atol=1e-6)


@every_metric
def test_anchor_gives_the_same_values_and_can_be_narrowed(name: str) -> None:
    metric, ref, x = any_weights(name), images(4), images(4, seed=1)
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
    metric, good = any_weights(name), images(2)
    wrong = {
        "shape": good[0],
        "dtype": (good * 255).to(torch.uint8),
        "range": good * 2 - 1,
        "NaN": good.where(good < 0.9, torch.nan),
        "batch": images(3),
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


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="lpips-alex"):
        metrics.load("lpips-alexx")


def test_a_name_is_registered_once() -> None:
    spec = MetricSpec("l2", "", "pixel", "", "", 1, (), "", "", "", "")
    with pytest.raises(InputError, match="already"):
        metrics.register(spec)(lambda: any_weights("l2"))


@pytest.mark.parametrize("net", ["alex", "squeeze", "vgg"])
def test_lpips_agrees_with_its_package(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "load", random_backbone)
    ours = metrics.load(f"lpips-{net}")
    lpips = importlib.import_module("lpips")
    theirs = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    assert isinstance(ours, metrics.deep.FeatureDistance)
    theirs.net.load_state_dict(ours.backbone.state_dict())
    ref, x = images(), images(seed=1)
    torch.testing.assert_close(ours(ref, x), theirs(ref * 2 - 1, x * 2 - 1).flatten(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_st_lpips_agrees_with_its_package(net: str) -> None:
    package = importlib.import_module("stlpips_pytorch.stlpips")
    theirs = package.LPIPS(net=net, variant="shift_tolerant", verbose=False)
    ref, x = images(), images(seed=1)
    expected = theirs(ref * 2 - 1, x * 2 - 1).flatten()
    torch.testing.assert_close(any_weights(f"st-lpips-{net}")(ref, x), expected, rtol=1e-4, atol=1e-6)


def test_ssim_agrees_with_scikit_image() -> None:
    batch = random_triplets(2)
    ours = any_weights("ssim")(batch.ref, batch.p0)
    for value, ref, x in zip(ours, batch.ref, batch.p0, strict=True):
        full: Any = skimage.metrics.structural_similarity(
            *(image.permute(1, 2, 0).double().numpy() for image in (ref, x)),
            data_range=1.0,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            full=True,
        )
        # piq averages over windows that lie inside the image, scikit-image's map has the border too.
        inside = full[1][5:-5, 5:-5].mean()
        assert float(value) == pytest.approx((1 - inside) / 2, abs=1e-5)


def test_l2_in_closed_form() -> None:
    ref = torch.zeros(2, 3, 8, 8)
    x = torch.full_like(ref, 0.5)
    torch.testing.assert_close(any_weights("l2")(ref, x), torch.full((2,), 0.25))


@pytest.mark.parametrize("name", EXAMPLE_TRIPLET)
def test_published_values_on_the_example_triplet(name: str) -> None:
    metric, folder = load_or_skip(name), shared_data()
    if folder is None:
        pytest.skip("the example triplet is not on this machine")
    triplet = example_triplet(folder / "examples")
    for image, expected in zip((triplet.p0, triplet.p1), EXAMPLE_TRIPLET[name], strict=True):
        assert float(metric(triplet.ref, image)) == pytest.approx(expected, abs=1e-3)


def test_load_first_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> dict[str, Tensor]:
        raise AbsentWeightsError(f"{name} is not here")

    monkeypatch.setattr(weights, "load", load)
    metric, reason = metrics.load_first("lpips-alex", "l2")
    assert isinstance(metric, Metric)
    assert metric.spec.name == "l2"
    assert "LPIPS (Alex)" in reason
    assert "L2" in reason
    with pytest.raises(WeightsError, match="alexnet"):
        metrics.load_first("lpips-alex", "lpips-vgg")


def test_wrong_weights_are_an_error_and_no_reason_to_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> dict[str, Tensor]:
        raise WeightsError(f"{name} is another file")

    monkeypatch.setattr(weights, "load", load)
    with pytest.raises(WeightsError, match="another file"):
        metrics.load_first("lpips-alex", "l2")
    with pytest.raises(WeightsError, match="another file"):
        metrics.load_available(["l2", "lpips-alex"])


def test_available_metrics_and_the_titles_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> dict[str, Tensor]:
        raise AbsentWeightsError(f"{name} is not here")

    monkeypatch.setattr(weights, "load", load)
    found, absent = metrics.load_available(["l2", "lpips-alex", "ssim"])
    assert [metric.spec.name for metric in found] == ["l2", "ssim"]
    assert absent == ["LPIPS (Alex)"]
