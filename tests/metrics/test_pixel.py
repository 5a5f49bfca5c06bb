"""Metrics of pixels, against closed forms, piq and scikit-image."""

from __future__ import annotations

import piq
import pytest
import skimage.metrics
import torch

from tests.support import any_weights, random_triplets


@pytest.mark.parametrize(("name", "expected"), [("l1", 0.5), ("l2", 0.25)])
def test_mean_errors_in_closed_form(name: str, expected: float) -> None:
    ref = torch.zeros(2, 3, 8, 8)
    x = torch.full_like(ref, 0.5)
    torch.testing.assert_close(any_weights(name)(ref, x), torch.full((2,), expected))
    x[:, 0] = 0
    torch.testing.assert_close(any_weights(name)(ref, x), torch.full((2,), expected * 2 / 3))


def test_psnr_is_what_piq_lacks_to_80_decibels() -> None:
    batch = random_triplets(4)
    for x in (batch.p0, batch.ref, 1 - batch.ref):
        expected = 80 - piq.psnr(x, batch.ref, reduction="none")
        torch.testing.assert_close(any_weights("psnr")(batch.ref, x), expected, rtol=1e-5, atol=1e-4)


def test_psnr_agrees_with_scikit_image() -> None:
    batch = random_triplets(4)
    for value, *pair in zip(any_weights("psnr")(batch.ref, batch.p0), batch.ref, batch.p0, strict=True):
        images = (image.double().numpy() for image in pair)
        theirs = skimage.metrics.peak_signal_noise_ratio(*images, data_range=1.0)
        # piq adds 1e-8 to the error before the logarithm, scikit-image nothing.
        assert 80 - float(value) == pytest.approx(theirs, abs=1e-3)


def test_psnr_is_zero_and_flat_at_the_reference() -> None:
    ref = random_triplets(1).ref
    x = ref.clone().requires_grad_()
    distance = any_weights("psnr")(ref, x)
    (gradient,) = torch.autograd.grad(distance.sum(), x)
    assert float(distance.detach()) == 0
    assert not gradient.any()
