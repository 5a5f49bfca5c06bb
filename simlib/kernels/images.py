"""Checks that tensors are images, and the conversion to 8 bits and back.

Images are float tensors ``(N, 3, H, W)`` in ``[0, 1]``. One level is 1/255, the step of an 8-bit file.
"""

from __future__ import annotations

import torch

from simlib.errors import InputError

LEVELS = 255
"""The number of steps between black and white in an 8-bit file."""

DTYPES = (torch.float32, torch.float64)
"""What images are measured in. In half precision a level is lost in rounding, and so are most distances."""


def validate_images(images: torch.Tensor, what: str) -> None:
    """Refuse anything that is not a batch of images; ``what`` is their name in the message.

    The range is strict: 1.0000001 is refused, because some metrics refuse it too, with a message that is less
    clear. An empty batch (N = 0) is a batch. The check costs one transfer from the device.

    Raises:
        InputError: it is no float tensor of this shape, or a value is not finite or lies outside ``[0, 1]``;
            the message names the first bad sample.
    """
    if not isinstance(images, torch.Tensor):
        raise InputError(
            f"{what} is a {type(images).__name__}, not a torch tensor. "
            "Give a float tensor (N, 3, H, W) in [0, 1]."
        )
    _validate_dtype(images, what)
    if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] < 1 or images.shape[3] < 1:
        raise InputError(
            f"{what} has shape {tuple(images.shape)}; images are (N, 3, H, W). {_shape_advice(images)}"
        )
    _validate_values(images, what)


def validate_pair(ref: torch.Tensor, x: torch.Tensor) -> None:
    """Refuse, by an InputError, two batches of images that differ in shape, dtype or device, or are none."""
    validate_images(ref, "ref")
    validate_images(x, "x")
    validate_alike(ref, "ref", x, "x")


def validate_alike(first: torch.Tensor, first_name: str, second: torch.Tensor, second_name: str) -> None:
    """Refuse, by an InputError, two tensors that differ in shape, dtype or device."""
    properties = (
        ("shape", tuple(first.shape), tuple(second.shape), "Bring both to one shape; nothing is broadcast."),
        ("dtype", first.dtype, second.dtype, f"Convert one of them: {second_name}.to({first_name}.dtype)."),
        ("device", first.device, second.device, f"Move one of them: {second_name}.to({first_name}.device)."),
    )
    for name, of_first, of_second, advice in properties:
        if of_first != of_second:
            raise InputError(
                f"{first_name} and {second_name} differ in {name}: {of_first} and {of_second}. {advice}"
            )


def within_range(images: torch.Tensor) -> torch.Tensor:
    """Cut off the float noise by which images leave [0, 1], and let the gradient pass unchanged.

    The gradient of ``clamp`` is zero outside the range and, since torch 2.15, also at exactly 0 and 1: black
    and white pixels would have no slope.
    """
    return images + (images.clamp(0, 1) - images).detach()


def to_8bit(images: torch.Tensor) -> torch.Tensor:
    """Round floats of any shape in ``[0, 1]`` to the nearest 8-bit level (uint8), as saving to a PNG does.

    Raises:
        InputError: it is no float tensor, or a value is not finite or lies outside ``[0, 1]``.
    """
    _validate_dtype(images, "images")
    _validate_values(images, "images")
    # At least float32: half precision would round 255 times a level.
    wide = images.detach().to(torch.promote_types(images.dtype, torch.float32))
    return (wide * LEVELS).round().to(torch.uint8)


def from_8bit(levels: torch.Tensor) -> torch.Tensor:
    """Turn levels (uint8) into float32 in ``[0, 1]``; :func:`to_8bit` gives exactly these levels back."""
    if levels.dtype != torch.uint8:
        raise InputError(f"levels are {levels.dtype}, not torch.uint8. Use to_8bit to round a float image.")
    return levels.to(torch.float32) / LEVELS


def require_precision(dtype: torch.dtype, what: str) -> None:
    """Refuse, by an InputError that calls it ``what``, a dtype in which nothing is measured."""
    if not isinstance(dtype, torch.dtype):
        raise InputError(f"dtype is {dtype!r}. Give a torch.dtype: {' or '.join(map(str, DTYPES))}.")
    if dtype not in DTYPES:
        known = " and ".join(map(str, DTYPES))
        raise InputError(
            f"{what} is of {dtype}, in which one level of 8 bits is lost in rounding. Metrics measure in "
            f"{known}: convert by .float()."
        )


def plain(images: torch.Tensor) -> torch.Tensor:
    """Return images without a graph behind them, as code outside the inference mode can use them."""
    images = images.detach()
    if not images.is_inference():
        return images
    with torch.inference_mode(False):
        return images.clone()


def _validate_dtype(images: torch.Tensor, what: str) -> None:
    if not images.dtype.is_floating_point:
        advice = "Use from_8bit." if images.dtype == torch.uint8 else "Convert with .float()."
        raise InputError(f"{what} has dtype {images.dtype}; images are floats in [0, 1]. {advice}")


def _validate_values(images: torch.Tensor, what: str) -> None:
    images = images.detach()
    if images.numel() == 0:
        return
    # If any value is NaN, so are both extremes. So two numbers, fetched at once, decide for the batch.
    low, high = torch.stack(images.aminmax()).tolist()
    if low >= 0 and high <= 1:
        return
    infinite = ~torch.isfinite(images)
    if infinite.any():
        raise InputError(
            f"{what}{_first_bad_sample(infinite)} has values that are NaN or infinite. Find where they "
            "arise; drop the sample."
        )
    raise InputError(
        f"{what}{_first_bad_sample((images < 0) | (images > 1))} leaves [0, 1]: the batch reaches from "
        f"{low:.9g} to {high:.9g}, {max(-low, high - 1):.3g} too far. {_range_advice(low, high)}"
    )


def _first_bad_sample(bad: torch.Tensor) -> str:
    return "" if bad.ndim < 4 else f": sample {int(bad.flatten(1).any(dim=1).nonzero()[0])}"


def _shape_advice(images: torch.Tensor) -> str:
    if images.ndim == 3 and images.shape[0] == 3:
        return "For a single image, add the batch dimension: image.unsqueeze(0)."
    if images.ndim == 4 and images.shape[3] == 3:
        return "The channels are last: images.permute(0, 3, 1, 2)."
    if images.ndim == 4 and images.shape[1] == 1:
        return "Grey images are repeated to three channels: images.expand(-1, 3, -1, -1)."
    return "Give three colour channels in the second place."


def _range_advice(low: float, high: float) -> str:
    if max(-low, high - 1) <= 1e-3:
        return "This looks like float noise: use images.clamp(0, 1)."
    if low >= -1 and high <= 1:
        return "If the images are in [-1, 1], use (images + 1) / 2; else images.clamp(0, 1)."
    if low >= 0 and high <= LEVELS:
        return "If the images are in [0, 255], use images / 255; else images.clamp(0, 1)."
    return "Scale the images to [0, 1], or use images.clamp(0, 1)."
