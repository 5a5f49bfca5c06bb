"""Structural metrics against the libraries that compute them, and where those leave something open."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import piq
import pytest
import skimage.metrics
import torch
from torch import Tensor

from simlib import metrics, triplets
from tests.support import any_weights, random_triplets

each = pytest.mark.parametrize("name", [spec.name for spec in metrics.specs() if spec.family == "structural"])
asymmetric = pytest.mark.parametrize("name", ["iw-ssim", "vif", "mdsi"])

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
    "ssim": lambda x, ref, reduction: (1 - torch.as_tensor(piq.ssim(x, ref, reduction=reduction))) / 2,
    "gmsd": piq.gmsd,
    "ms-gmsd": piq.multi_scale_gmsd,
    "ms-gmsdc": lambda x, ref, reduction: piq.multi_scale_gmsd(x, ref, chromatic=True, reduction=reduction),
    "mdsi": piq.mdsi,
}


def pair(side: int, width: int | None = None, n: int = 2) -> tuple[Tensor, Tensor]:
    """Draw references, and versions of them with less contrast and some noise."""
    batch = random_triplets(n, max(side, width or side))
    return batch.ref[..., :side, :width], batch.p0[..., :side, :width] * 0.7 + 0.1


def side_of(name: str, side: int = 64) -> int:
    return max(side, metrics.spec_of(name).least_side)


def theirs(name: str, ref: Tensor, x: Tensor) -> Tensor:
    """Measure one sample at a time by piq, in doubles."""
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


@asymmetric
def test_the_reference_goes_where_piq_expects_it(name: str) -> None:
    batch = triplets.photos(2, side=side_of(name)).to(dtype=torch.float64)
    distance = any_weights(name, torch.float64)(batch.ref, batch.p1)
    torch.testing.assert_close(distance, theirs(name, batch.ref, batch.p1), rtol=1e-6, atol=1e-6)
    assert (distance - theirs(name, batch.p1, batch.ref)).abs().max() > 1e-4


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


@each
def test_identical_images_are_at_distance_zero_and_no_images_have_no_distances(name: str) -> None:
    photo = triplets.photos(1, side=side_of(name)).ref
    images = torch.cat([photo, torch.zeros_like(photo), torch.ones_like(photo)])
    assert not any_weights(name)(images, images).any()
    assert any_weights(name)(images[:0], images[:0]).shape == (0,)


@each
def test_a_step_along_the_gradient_raises_the_distance(name: str) -> None:
    batch = triplets.photos(2, side=side_of(name))
    anchor, x = any_weights(name).anchor(batch.ref), batch.p0.clone().requires_grad_()
    start = anchor(x)
    (gradient,) = torch.autograd.grad(start.sum(), x)
    assert (anchor((batch.p0 + gradient.sign() / 255).clamp(0, 1)) > start).all()


@each
def test_float_noise_beyond_the_range_is_cut_off(name: str) -> None:
    ref, x = pair(side_of(name))
    x[..., :8, :8], x[..., -8:, -8:] = 0, 1
    noisy = x + torch.where(x == 0, -1e-7, 1.2e-7) * ((x == 0) | (x == 1))
    assert noisy.min() < 0 and noisy.max() > 1
    anchor = any_weights(name).anchor(ref)
    torch.testing.assert_close(anchor(noisy), anchor(x), rtol=1e-5, atol=1e-5)


@each
def test_black_and_white_pixels_have_a_slope(name: str) -> None:
    ref, x = pair(side_of(name))
    x = x.round().requires_grad_()
    (gradient,) = torch.autograd.grad(any_weights(name)(ref, x).sum(), x)
    for level in (0, 1):
        assert gradient[x == level].count_nonzero() > 100


@each
def test_the_gradient_by_the_reference_is_finite(name: str) -> None:
    (texture,), _ = pair(side_of(name), n=1)
    black, dot = torch.zeros_like(texture), torch.zeros_like(texture)
    dot[:, 32, 32] = 1
    ref = torch.stack([black, dot, black, texture, texture]).requires_grad_()
    x = torch.stack([dot, black, texture, black, texture])
    (gradient,) = torch.autograd.grad(any_weights(name)(ref, x).sum(), ref)
    assert gradient.isfinite().all()


@asymmetric
def test_the_gradient_by_the_reference_agrees_with_finite_differences(name: str) -> None:
    metric, (ref, x) = any_weights(name, torch.float64), pair(side_of(name, 32), n=1)
    ref, x = ref.double() * 0.8 + 0.1, x.double()
    step = 1e-6 * torch.randn(ref.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(metric(ref.requires_grad_(), x).sum(), ref)
    rise = (metric(ref + step, x) - metric(ref - step, x)).detach() / 2
    torch.testing.assert_close((gradient * step).sum(), rise.squeeze(), rtol=2e-3, atol=1e-15)


def test_dss_of_bright_flat_images_is_not_rounded() -> None:
    """A variance is there the small difference of two large squares; in float32 it would be off by 3e-4."""
    ref, x = (0.9 + 0.02 * image for image in pair(64, n=8))
    exact = any_weights("dss", torch.float64)(ref.double(), x.double())
    torch.testing.assert_close(any_weights("dss")(ref, x).double(), exact, atol=1e-6, rtol=0)


def test_iw_ssim_without_information_is_at_distance_one() -> None:
    black, grey = torch.zeros(1, 3, 161, 161), torch.full((1, 3, 161, 161), 0.5)
    torch.testing.assert_close(any_weights("iw-ssim")(black, grey), torch.ones(1))


def test_ssim_agrees_with_scikit_image() -> None:
    batch = random_triplets(2)
    ours = any_weights("ssim")(batch.ref, batch.p0)
    for value, ref, x in zip(ours, batch.ref, batch.p0, strict=True):
        full: Any = skimage.metrics.structural_similarity(
            *(image.double().numpy() for image in (ref, x)),
            **{"data_range": 1.0, "channel_axis": 0, "gaussian_weights": True, "sigma": 1.5},
            use_sample_covariance=False,
            full=True,
        )
        # piq averages over windows that lie inside the image, scikit-image's map has the border too.
        inside = full[1][:, 5:-5, 5:-5].mean()
        assert float(value) == pytest.approx((1 - inside) / 2, abs=1e-5)
