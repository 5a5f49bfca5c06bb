"""Tests of simlib.triplets.distortions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from simlib.errors import InputError, UnknownNameError
from simlib.triplets import photos
from simlib.triplets.distortions import DISTORTIONS, apply, describe

NAMES = sorted(DISTORTIONS)
EXAMPLES = settings(deadline=None, max_examples=15)
SEEDS = st.integers(0, 2**32)
STRENGTHS = st.floats(0.01, 1.0)


def smooth_patch(seed: int = 0, side: int = 32) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).standard_normal((side, side, 3))
    smooth = ndimage.gaussian_filter(noise, sigma=(2, 2, 0))
    return (smooth - smooth.min()) / np.ptp(smooth)


def distance(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Root mean square difference in 8-bit levels."""
    return 255 * float(np.sqrt(np.mean((first - second) ** 2)))


def distort(patch: NDArray[Any], name: str, strength: float, seed: int = 0) -> NDArray[np.float64]:
    return apply(patch, [(name, strength)], np.random.default_rng(seed))


@pytest.mark.parametrize("name", NAMES)
@EXAMPLES
@given(seed=SEEDS, strength=STRENGTHS)
def test_the_result_is_an_image_the_input_is_left_alone_and_chance_repeats(
    name: str, seed: int, strength: float
) -> None:
    patch = smooth_patch(seed)
    before = patch.copy()
    distorted = distort(patch, name, strength, seed)
    assert distorted.shape == patch.shape
    assert distorted.dtype == np.float64
    assert distorted.min() >= 0
    assert distorted.max() <= 1
    assert np.array_equal(patch, before)
    assert np.array_equal(distorted, distort(patch, name, strength, seed))


@pytest.mark.parametrize("name", NAMES)
@EXAMPLES
@given(seed=SEEDS, first=STRENGTHS, second=STRENGTHS)
def test_what_is_drawn_does_not_depend_on_the_strength(
    name: str, seed: int, first: float, second: float
) -> None:
    generators = [np.random.default_rng(seed) for _ in range(2)]
    for generator, strength in zip(generators, (first, second), strict=True):
        apply(smooth_patch(), [(name, strength), (name, strength)], generator)
    assert generators[0].random() == generators[1].random()


@pytest.mark.parametrize("name", [name for name in NAMES if DISTORTIONS[name].monotone])
@EXAMPLES
@given(seed=SEEDS, strengths=st.lists(STRENGTHS, min_size=2, max_size=5))
def test_monotone_distortions_never_come_back(name: str, seed: int, strengths: list[float]) -> None:
    patch = smooth_patch(seed)
    distances = [distance(distort(patch, name, strength, seed), patch) for strength in sorted(strengths)]
    # A hundredth of a level is allowed for: the blur's kernel is cut off at whole pixels.
    assert all(later >= earlier - 0.01 for earlier, later in itertools.pairwise(distances))


@pytest.mark.parametrize("name", NAMES)
def test_mild_is_visible_on_photographs_heavy_is_much_more_and_still_the_same_picture(name: str) -> None:
    patches = photos(24).ref.permute(0, 2, 3, 1).double().numpy()
    mild, heavy, likeness = [], [], []
    for seed, patch in enumerate(patches):
        strong = distort(patch, name, 1.0, seed)
        mild.append(distance(distort(patch, name, 0.15, seed), patch))
        heavy.append(distance(strong, patch))
        likeness.append(np.corrcoef(patch.mean(axis=2).ravel(), strong.mean(axis=2).ravel())[0, 1])
    assert 1.5 < np.median(mild) < 12
    assert np.median(heavy) > 1.9 * np.median(mild)
    assert np.median(likeness) > 0.6


def test_noise_has_the_stated_size_and_scales_with_strength() -> None:
    patch = np.full((64, 64, 3), 0.5)
    weak, strong = (distort(patch, "gaussian_noise", strength, 3) - patch for strength in (0.2, 0.4))
    assert weak.std() == pytest.approx(0.04, rel=0.03)
    assert np.allclose(strong, 2 * weak)


def test_blur_spreads_a_point_by_the_stated_width() -> None:
    patch = np.zeros((41, 41, 3))
    patch[20, 20] = 1
    row = distort(patch, "gaussian_blur", 1.0)[:, :, 0].sum(axis=1)
    assert row.sum() == pytest.approx(1)
    assert np.sqrt(row @ (np.arange(41) - 20) ** 2) == pytest.approx(3.0, rel=0.01)


def test_colour_shift_adds_one_colour_and_keeps_the_sum_of_the_channels() -> None:
    patch = 0.4 + 0.2 * smooth_patch()
    shift = distort(patch, "color_shift", 0.5, 5) - patch
    assert np.ptp(shift, axis=(0, 1)).max() < 1e-12
    assert shift[0, 0].sum() == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(shift[0, 0]) == pytest.approx(0.175)


@pytest.mark.parametrize(
    ("name", "strength", "expected"), [("contrast", 1.0, {0.15, 3.0}), ("saturation", 0.5, {0.5, 2.5})]
)
def test_contrast_and_saturation_go_both_ways_by_the_stated_factors(
    name: str, strength: float, expected: set[float]
) -> None:
    patch = 0.45 + 0.1 * smooth_patch()
    centre = patch.mean() if name == "contrast" else (patch @ [0.299, 0.587, 0.114])[..., np.newaxis]
    changes = [distort(patch, name, strength, seed) - patch for seed in range(12)]
    deviation = patch - centre
    factors = [1 + float((change * deviation).sum() / (deviation**2).sum()) for change in changes]
    assert {round(factor, 6) for factor in factors} == expected


def test_saturation_leaves_grey_alone() -> None:
    patch = np.repeat(smooth_patch()[..., :1], 3, axis=2)
    assert np.allclose(distort(patch, "saturation", 1.0), patch)


def test_warp_moves_within_its_bound_and_leaves_flat_areas() -> None:
    side, strength = 64, 0.5
    ramp = np.repeat(np.linspace(0.25, 0.75, side)[:, np.newaxis, np.newaxis], side, axis=1).repeat(3, axis=2)
    moved = np.abs(distort(ramp, "warp", strength, 1) - ramp)[8:-8] / (0.5 / (side - 1))
    assert 0.3 * 0.12 * side * strength < moved.max() <= 0.12 * side * strength + 1e-6
    assert np.allclose(distort(np.full((32, 32, 3), 0.3), "warp", 1.0), 0.3)


def test_jpeg_gives_levels_and_nearly_keeps_a_flat_patch() -> None:
    distorted = distort(np.full((32, 32, 3), 128 / 255), "jpeg", 0.3)
    assert np.allclose(distorted * 255, 128, atol=1.01)
    levels = distort(smooth_patch(), "jpeg", 0.3) * 255
    assert np.allclose(levels, np.rint(levels))


def test_steps_are_applied_in_order() -> None:
    patch = smooth_patch()
    steps = [("saturation", 0.9), ("color_shift", 0.9)]
    one_after_the_other = np.random.default_rng(2)
    expected = apply(apply(patch, steps[:1], one_after_the_other), steps[1:], one_after_the_other)
    assert np.array_equal(apply(patch, steps, np.random.default_rng(2)), expected)
    assert not np.allclose(apply(patch, steps[::-1], np.random.default_rng(2)), expected)


def test_single_precision_is_accepted() -> None:
    patch = smooth_patch().astype(np.float32)
    single, double = (distort(each, "contrast", 0.5) for each in (patch, patch.astype(np.float64)))
    assert np.allclose(single, double, atol=1e-6)


def test_distortions_are_described() -> None:
    assert describe([("gaussian_blur", 0.4), ("jpeg", 0.805)]) == "Gaussian blur 0.40, then JPEG 0.81"
    assert all(each.name == name and each.title and each.description for name, each in DISTORTIONS.items())


@pytest.mark.parametrize(
    ("steps", "error", "message"),
    [
        ([], InputError, "at least one"),
        ([("gausian_blur", 0.5)], UnknownNameError, "Did you mean gaussian_blur"),
        *(([("jpeg", bad)], InputError, "strength of jpeg") for bad in (0.0, -0.1, 1.01, float("nan"))),
    ],
)
def test_steps_that_mean_nothing_are_refused(steps: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        apply(smooth_patch(), steps, np.random.default_rng(0))
    with pytest.raises(error, match=message):
        describe(steps)


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        (np.zeros((8, 8, 3), dtype=np.uint8), "255"),
        (np.zeros((3, 8, 8)), "channels come last"),
        (np.full((8, 8, 3), 1.5), "1.5"),
        (np.full((8, 8, 3), np.nan), "nan"),
    ],
)
def test_patches_that_are_no_images_are_refused(patch: NDArray[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        distort(patch, "jpeg", 0.5)
