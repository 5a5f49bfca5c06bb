"""Structural metrics against the libraries that compute them, and where those leave something open."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

import piq
import pytest
import skimage.metrics
import torch
from torch import Tensor

from simlib import metrics, triplets
from tests.support import any_weights, random_triplets

NAMES = [spec.name for spec in metrics.specs() if spec.family == "structural"]

SIMILARITIES: dict[str, Callable[..., Tensor]] = {
    "ms-ssim": piq.multi_scale_ssim,
    "iw-ssim": piq.information_weighted_ssim,
    "vif": piq.vif_p,
    "fsim": lambda x, ref, reduction: piq.fsim(x, ref, chromatic=False, reduction=reduction),
    "fsimc": piq.fsim,
    "sr-sim": piq.srsim,
    "vsi": piq.vsi,
    "dss": piq.dss,
    "haarpsi": piq.haarpsi,
}
DISTANCES: dict[str, Callable[..., Tensor]] = {
    "gmsd": piq.gmsd,
    "ms-gmsd": piq.multi_scale_gmsd,
    "ms-gmsdc": lambda x, ref, reduction: piq.multi_scale_gmsd(x, ref, chromatic=True, reduction=reduction),
    "mdsi": piq.mdsi,
}


def pair(side: int, width: int | None = None, n: int = 2) -> tuple[Tensor, Tensor]:
    """Draw references, and versions of them with less contrast and some noise."""
    batch = random_triplets(n, max(side, width or side))
    x = batch.p0 * 0.7 + 0.1
    return batch.ref[..., :side, :width], x[..., :side, :width]


def side_of(name: str, side: int = 64) -> int:
    return max(side, metrics.spec_of(name).least_side)


def theirs(name: str, ref: Tensor, x: Tensor) -> Tensor:
    """Ask piq about one sample at a time, in doubles."""
    measure = SIMILARITIES.get(name) or DISTANCES[name]
    pairs = zip(ref.double().split(1), x.double().split(1), strict=True)
    values = torch.cat([measure(image, reference, reduction="none") for reference, image in pairs])
    return (1 - values if name in SIMILARITIES else values).to(ref.dtype)


@pytest.mark.parametrize("extra", [0, 7])
@pytest.mark.parametrize("name", [*SIMILARITIES, *DISTANCES])
def test_agrees_with_piq(name: str, extra: int) -> None:
    side = side_of(name, 161 if name == "ms-ssim" else 64)
    ref, x = pair(side + extra, side)
    torch.testing.assert_close(any_weights(name)(ref, x), theirs(name, ref, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["iw-ssim", "vif", "mdsi"])
def test_the_reference_goes_where_piq_expects_it(name: str) -> None:
    batch = triplets.photos(2, side=side_of(name)).to(dtype=torch.float64)
    distance = any_weights(name, torch.float64)(batch.ref, batch.p1)
    torch.testing.assert_close(distance, theirs(name, batch.ref, batch.p1), rtol=1e-6, atol=1e-6)
    assert (distance - theirs(name, batch.p1, batch.ref)).abs().max() > 1e-4


def test_ssim_agrees_with_piq() -> None:
    ref, x = pair(40)
    expected = (1 - torch.as_tensor(piq.ssim(x, ref, reduction="none"))) / 2
    torch.testing.assert_close(any_weights("ssim")(ref, x), expected, rtol=1e-4, atol=1e-4)


def test_nlpd_agrees_with_plenoptic() -> None:
    nlpd = importlib.import_module("plenoptic.metric").nlpd
    ref, x = pair(64, 47)
    grey = [torch.einsum("c,nchw->nhw", torch.tensor([0.299, 0.587, 0.114]), image) for image in (ref, x)]
    expected = nlpd(*(image.unsqueeze(1) for image in grey)).flatten()
    torch.testing.assert_close(any_weights("nlpd")(ref, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("side", [21, 40, 41, 64, 81, 160, 161])
def test_ms_ssim_takes_as_many_scales_as_fit(side: int) -> None:
    ref, x = pair(side, n=1)
    values: list[Tensor] = []
    for scales in range(1, 6):
        with contextlib.suppress(ValueError):
            shares = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:scales]
            values.append(1 - piq.multi_scale_ssim(x, ref, scale_weights=shares, reduction="none"))
    # piq refuses what does not fit. Its own weights for all five sum to 1.0001.
    torch.testing.assert_close(any_weights("ms-ssim")(ref, x), values[-1], rtol=1e-3, atol=1e-6)
    assert (values[-1] / values[-2] - 1).abs() > 3e-3


@pytest.mark.parametrize("name", NAMES)
def test_identical_images_are_at_distance_zero(name: str) -> None:
    photos = triplets.photos(3, side=side_of(name)).ref
    for images in (photos, torch.zeros_like(photos), torch.ones_like(photos)):
        assert not any_weights(name)(images, images).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_step_along_the_gradient_raises_the_distance(name: str) -> None:
    batch = triplets.photos(3, side=side_of(name))
    metric, x = any_weights(name), batch.p0.clone().requires_grad_()
    start = metric(batch.ref, x)
    (gradient,) = torch.autograd.grad(start.sum(), x)
    moved = (batch.p0 + gradient.sign() / 255).clamp(0, 1)
    assert (metric(batch.ref, moved) > start).all()


@pytest.mark.parametrize("name", NAMES)
def test_float_noise_beyond_the_range_is_cut_off(name: str) -> None:
    ref, x = pair(side_of(name))
    x = x.clone()
    x[..., :8, :8], x[..., -8:, -8:] = 0, 1
    noisy = x + torch.where(x == 0, -1e-7, 1.2e-7) * ((x == 0) | (x == 1))
    assert (noisy < 0).any()
    assert (noisy > 1).any()
    anchor = any_weights(name).anchor(ref)
    torch.testing.assert_close(anchor(noisy), anchor(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_black_and_white_pixels_have_a_slope(name: str) -> None:
    ref, x = pair(side_of(name))
    x = x.round().requires_grad_()
    (gradient,) = torch.autograd.grad(any_weights(name)(ref, x).sum(), x)
    for level in (0, 1):
        assert gradient[x == level].count_nonzero() > 100


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_by_the_reference_is_finite(name: str) -> None:
    side = side_of(name)
    black, dot = torch.zeros(1, 3, side, side), torch.zeros(1, 3, side, side)
    dot[..., side // 2, side // 2] = 1
    texture = pair(side, n=1)[0]
    for ref, x in ((black, dot), (dot, black), (black, texture), (texture, black), (texture, texture)):
        variable = ref.clone().requires_grad_()
        distance = any_weights(name)(variable, x)
        (gradient,) = torch.autograd.grad(distance.sum(), variable)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["iw-ssim", "vif", "mdsi"])
def test_the_gradient_by_the_reference_agrees_with_finite_differences(name: str) -> None:
    metric = any_weights(name, torch.float64)
    ref, x = (images.double() for images in pair(side_of(name, 32), n=1))
    ref = ref * 0.8 + 0.1
    direction = torch.randn(ref.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(metric(ref.requires_grad_(), x).sum(), ref)
    size = 1e-6
    with torch.no_grad():
        slope = (metric(ref + size * direction, x) - metric(ref - size * direction, x)) / (2 * size)
    torch.testing.assert_close((gradient * direction).sum(), slope.squeeze(), rtol=2e-3, atol=1e-9)


def test_dss_of_bright_flat_images_has_no_noise_of_the_arithmetic() -> None:
    """There a variance is the small difference of two large squares; in float32 this would be 3e-4 off."""
    ref, x = (0.9 + 0.02 * image for image in pair(64, n=8))
    exact = any_weights("dss", torch.float64)(ref.double(), x.double())
    torch.testing.assert_close(any_weights("dss")(ref, x).double(), exact, atol=1e-6, rtol=0)


def test_iw_ssim_without_information_is_at_distance_one() -> None:
    black, grey = torch.zeros(1, 3, 161, 161), torch.full((1, 3, 161, 161), 0.5)
    torch.testing.assert_close(any_weights("iw-ssim")(black, grey), torch.ones(1))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_images_has_no_distances(name: str) -> None:
    empty = torch.zeros(0, 3, side_of(name), side_of(name))
    assert any_weights(name)(empty, empty).shape == (0,)


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
