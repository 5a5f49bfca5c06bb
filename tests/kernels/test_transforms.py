"""Random transforms of images, against the same written slowly in numpy."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from simlib.kernels.transforms import LEAST_SIDE, Transform, draw_transforms


def images(height: int, width: int, n: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((n, 3, height, width), generator=generator, dtype=torch.float64)


def slow(transform: Transform, image: np.ndarray, smallest: int) -> np.ndarray:
    """Change one image (3, H, W), one step after another."""
    height, width = image.shape[1:]
    factors = range(1, max(1, min(height, width) // max(64, smallest)) + 1)
    rarity = np.array([1 / factor**2 for factor in factors])
    factor = 1 + int((transform.downscale > np.cumsum(rarity) / rarity.sum()).sum())
    top, left = (int(place * 8 * factor) for place in (transform.top, transform.left))
    below, right = (8 * factor - 1 - before for before in (top, left))
    while (height + top + below) % factor:
        below += 1
    while (width + left + right) % factor:
        right += 1
    padded = np.pad(image, ((0, 0), (top, below), (left, right)), mode="reflect")
    rows, columns = padded.shape[1] // factor, padded.shape[2] // factor
    small = padded.reshape(3, rows, factor, columns, factor).mean(axis=(2, 4))
    turned = small.transpose(0, 2, 1) if transform.transposed else small
    turned = turned[:, ::-1] if 2 in transform.flipped else turned
    turned = turned[:, :, ::-1] if 3 in transform.flipped else turned
    return turned[list(transform.channels)] * np.array(transform.factors)[:, None, None]


@pytest.mark.parametrize("size", [(8, 8), (8, 21), (64, 64), (131, 200), (260, 197)])
def test_agrees_with_the_slow_one(size: tuple[int, int]) -> None:
    batch = images(*size)
    for transform in draw_transforms(24, seed=1):
        expected = np.stack([slow(transform, image.numpy(), 16) for image in batch])
        torch.testing.assert_close(transform(batch, 16), torch.from_numpy(expected))


@given(st.integers(1, 30), st.integers(), st.integers(LEAST_SIDE, 150), st.integers(LEAST_SIDE, 150))
def test_images_stay_images_and_do_not_shrink_below_the_smallest(
    count: int, seed: int, height: int, width: int
) -> None:
    batch = images(height, width, n=1).round().float()
    for transform in draw_transforms(count, seed):
        changed = transform(batch, 70)
        assert changed.shape[:2] == (1, 3)
        assert min(changed.shape[2:]) >= min(height, width, 70)
        assert ((changed >= 0) & (changed <= 1)).all()
        assert changed.is_contiguous() and changed.dtype == torch.float32


def test_twelve_have_all_flips_and_orders_equally_often_and_factors_evenly() -> None:
    before = torch.random.get_rng_state()
    drawn = draw_transforms(12, seed=3)
    assert drawn == draw_transforms(12, seed=3) != draw_transforms(12, seed=4)
    assert torch.equal(before, torch.random.get_rng_state())
    assert set(Counter(transform.flipped for transform in drawn).values()) == {3}
    assert Counter(transform.transposed for transform in drawn) == {False: 6, True: 6}
    orders = Counter(transform.channels for transform in drawn)
    assert len(orders) == 6
    assert set(orders.values()) == {2}
    for channel in range(3):
        places = sorted((transform.factors[channel] - 0.2) / 0.8 for transform in drawn)
        assert [int(place * 12) for place in places] == list(range(12))


def test_a_factor_is_as_rare_as_its_square() -> None:
    batch = images(192, 192, n=1)
    still = replace(draw_transforms(1, seed=0)[0], top=0.0, left=0.0)
    drawn = draw_transforms(3000, seed=0)
    sides = Counter(replace(still, downscale=each.downscale)(batch, 1).shape[-1] for each in drawn)
    assert sides.keys() == {192 + 7, 104, 72}
    total = 1 + 1 / 4 + 1 / 9
    for side, share in ((199, 1), (104, 1 / 4), (72, 1 / 9)):
        assert sides[side] / 3000 == pytest.approx(share / total, abs=0.03)


def test_offsets_reach_from_none_to_seven() -> None:
    ramp = torch.arange(64.0).expand(1, 3, 64, 64) / 64
    plain = Transform(0.0, 0.0, 0.0, False, (), (0, 1, 2), (1.0, 1.0, 1.0))
    assert torch.equal(plain(ramp, 1)[..., :64, :64], ramp)
    farthest = replace(plain, left=0.999, top=0.999)(ramp, 1)
    assert torch.equal(farthest[..., 7:, 7:], ramp)
    assert torch.equal(farthest[0, 0, 0, :8] * 64, torch.arange(7.0, -1, -1))


def test_gradient_reaches_every_pixel() -> None:
    batch = images(64, 64).requires_grad_()
    for transform in draw_transforms(6, seed=0):
        (gradient,) = torch.autograd.grad(transform(batch, 64).sum(), batch)
        assert (gradient > 0).all()
