"""Which tensors are images, and the way to 8 bits and back."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlib.errors import InputError
from simlib.kernels.images import (
    from_8bit,
    require_precision,
    to_8bit,
    validate_images,
    validate_pair,
    within_range,
)


def grey(n: int = 2, value: float = 0.5, side: int = 4) -> torch.Tensor:
    return torch.full((n, 3, side, side), value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_images_of_every_precision_pass_with_both_ends_and_empty(
    dtype: torch.dtype,
) -> None:
    images = torch.cat([grey(1, 0.0), grey(1, 1.0)]).to(dtype)
    validate_images(images, "x")
    validate_images(images.requires_grad_(), "x")
    validate_images(images[:0], "x")
    validate_pair(images, images * 0.5)


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (torch.zeros(3, 8, 8), "unsqueeze"),
        (torch.zeros(2, 8, 8, 3), "permute"),
        (torch.zeros(2, 1, 8, 8), "expand"),
        (torch.zeros(2, 4, 8, 8), "three colour channels"),
        (torch.zeros(2, 3, 0, 8), "shape"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "from_8bit"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.int64), "float"),
        ([[0.0]], "is a list"),
    ],
)
def test_what_is_no_batch_of_images_is_refused_with_advice(images: Any, advice: str) -> None:
    with pytest.raises(InputError, match=f"^p1 .*{advice}"):
        validate_images(images, "p1")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (1 + 2e-7, r"sample 3 .*float noise: use images.clamp\(0, 1\)"),
        (-0.5, r"sample 3 .*0.5 too far.*\(images \+ 1\) / 2"),
        (200.0, r"sample 3 .*199 too far.*images / 255"),
        (-300.0, r"sample 3 .*clamp"),
        (float("nan"), "sample 3 .*NaN"),
        (float("inf"), "sample 3 .*infinite"),
        (float("-inf"), "sample 3 .*infinite"),
    ],
)
def test_bad_values_are_refused_and_the_first_bad_sample_named(value: float, message: str) -> None:
    images = grey(6)
    images[3, 1, 2, 0] = value
    images[5] = value
    with pytest.raises(InputError, match=message):
        validate_images(images, "ref")


@pytest.mark.parametrize(
    ("x", "property_name"),
    [
        (grey(3), "shape"),
        (grey(2, side=5), "shape"),
        (grey(2).double(), "dtype"),
        (grey(2) + 1, r"x: .*leaves \[0, 1\]"),
    ],
)
def test_pairs_that_differ_are_refused(x: torch.Tensor, property_name: str) -> None:
    with pytest.raises(InputError, match=property_name):
        validate_pair(grey(2), x)


def test_every_level_survives_the_way_to_float_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert from_8bit(levels).dtype == torch.float32
    for images in (from_8bit(levels), from_8bit(levels).half(), levels.double() / 255):
        assert torch.equal(to_8bit(images), levels)


@settings(deadline=None, max_examples=50)
@given(value=st.floats(0, 1))
def test_rounding_is_to_the_nearest_level(value: float) -> None:
    level = int(to_8bit(torch.tensor([value], dtype=torch.float64))[0])
    assert abs(level - 255 * value) <= 0.5 + 1e-9


def test_only_images_are_rounded_and_only_levels_are_turned_into_images() -> None:
    # Levels would wrap around.
    for value in (1.01, -0.01, float("nan")):
        with pytest.raises(InputError):
            to_8bit(torch.tensor([value]))
    with pytest.raises(InputError, match="to_8bit"):
        from_8bit(torch.zeros(3))
    with pytest.raises(InputError, match="from_8bit"):
        to_8bit(torch.zeros(3, dtype=torch.uint8))


def test_what_leaves_the_range_by_a_hair_is_cut_off_and_keeps_its_slope() -> None:
    images = torch.tensor([-1e-8, 0.0, 0.3, 1.0, 1 + 1e-7], requires_grad=True)
    cut = within_range(images)
    assert cut.tolist() == pytest.approx([0, 0, 0.3, 1, 1], abs=1e-7)
    assert ((cut >= 0) & (cut <= 1)).all()
    cut.sum().backward()
    assert images.grad is not None
    assert images.grad.tolist() == [1] * 5


def test_a_dtype_is_one_of_torch() -> None:
    with pytest.raises(InputError, match=r"^dtype is 'float64'\. Give a torch\.dtype: torch\.float32 or"):
        require_precision(cast(Any, "float64"), "L2")
    with pytest.raises(InputError, match=r"^L2 is of torch\.float16, in which one level"):
        require_precision(torch.float16, "L2")
