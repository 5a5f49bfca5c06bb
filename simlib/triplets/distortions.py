"""The "traditional" family of distortions of BAPPS, each with one dial, its strength.

Source: Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018
(https://arxiv.org/abs/1801.03924), Table 2. The family is theirs; the strengths are ours, set by eye on
patches of 64 x 64: 0.15 is mild but visible, 1 is heavy but the patch can still be recognised.

What a distortion draws from its generator does not depend on the strength. So two generators of one seed give
the same noise pattern, warp or colour at two strengths: a ladder, in which only the strength differs.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from simlib.errors import InputError, unknown_name

Patch = NDArray[np.floating[Any]]
"""An image ``(H, W, 3)`` in ``[0, 1]``, float32 or float64."""

Step = tuple[str, float]
"""The name of a distortion and its strength in ``(0, 1]``."""


@dataclass(frozen=True)
class Distortion:
    """A distortion and what is known of it.

    Attributes:
        name: its key in :data:`DISTORTIONS`.
        title: its name for people.
        description: what it does, in a line.
        monotone: whether the l2 distance to the untouched patch, for one draw, never falls as strength grows.
        function: ``function(patch, strength, rng)`` gives the distorted patch, which may leave ``[0, 1]``.
    """

    name: str
    title: str
    description: str
    monotone: bool
    function: Callable[[Patch, float, np.random.Generator], Patch]


def apply(patch: Patch, steps: Sequence[Step], rng: np.random.Generator) -> NDArray[np.float64]:
    """Distort a patch by one or more distortions, one after the other.

    Args:
        patch: float array ``(H, W, 3)`` in ``[0, 1]``; it is left as it is.
        steps: names and strengths in ``(0, 1]``, in the order of application.
        rng: where chance comes from.

    Returns:
        float64 array ``(H, W, 3)``, clipped to ``[0, 1]`` after every step.

    Raises:
        InputError: not such a patch, no steps, or a strength outside ``(0, 1]``.
        UnknownNameError: a distortion that is not in :data:`DISTORTIONS`.
    """
    _validate_patch(patch)
    _validate_steps(steps)
    distorted = patch.astype(np.float64)
    for name, strength in steps:
        distorted = np.clip(DISTORTIONS[name].function(distorted, strength, rng), 0.0, 1.0).astype(np.float64)
    return distorted


def describe(steps: Sequence[Step]) -> str:
    """Say what steps of :func:`apply` do, such as ``"Gaussian blur 0.40, then JPEG 0.80"``."""
    _validate_steps(steps)
    return ", then ".join(f"{DISTORTIONS[name].title} {strength:.2f}" for name, strength in steps)


def gaussian_blur(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Blur by a Gaussian of standard deviation 0.3 + 2.7 strength pixels; draws nothing."""
    sigma = 0.3 + 2.7 * strength
    return ndimage.gaussian_filter(patch, sigma=(sigma, sigma, 0.0), mode="reflect")


def gaussian_noise(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Add white noise of standard deviation 0.2 strength to every channel."""
    return patch + 0.2 * strength * rng.standard_normal(patch.shape)


def jpeg(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Compress as JPEG, at quality 60 for strength 0 down to 6 for strength 1; draws nothing."""
    # Geometric, because what a step of quality does to the picture grows as quality falls.
    quality = round(60 * (6 / 60) ** strength)
    levels = np.rint(np.clip(patch, 0.0, 1.0) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as compressed:
        return np.asarray(compressed.convert("RGB"), dtype=np.float64) / 255


def contrast(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Stretch (up to threefold) or squeeze (to 0.15) the values about the patch's mean, at random."""
    factor = 1 + 2 * strength if rng.random() < 0.5 else 1 - 0.85 * strength
    mean = patch.mean()
    return mean + factor * (patch - mean)


def saturation(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Strengthen the colours (up to fourfold) or fade them (to grey), at random."""
    factor = 1 + 3 * strength if rng.random() < 0.5 else 1 - strength
    # Brightness after ITU-R BT.601.
    grey = (patch @ np.array([0.299, 0.587, 0.114]))[..., np.newaxis]
    return grey + factor * (patch - grey)


def color_shift(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Add one random colour of length 0.35 strength to all pixels, such that R + G + B stays as it is."""
    direction = rng.standard_normal(3)
    direction -= direction.mean()
    return patch + 0.35 * strength * direction / np.linalg.norm(direction)


def warp(patch: Patch, strength: float, rng: np.random.Generator) -> Patch:
    """Move the pixels along a random smooth field, at most by 0.12 of the smaller side times strength."""
    height, width = patch.shape[:2]
    noise = rng.standard_normal((2, height, width))
    field = ndimage.gaussian_filter(noise, sigma=(0.0, height / 8, width / 8), mode="reflect")
    field *= 0.12 * min(height, width) * strength / np.abs(field).max()
    coordinates = np.indices((height, width)) + field
    channels = [
        ndimage.map_coordinates(patch[..., c], coordinates, order=3, mode="reflect") for c in range(3)
    ]
    return np.stack(channels, axis=-1)


DISTORTIONS: dict[str, Distortion] = {
    each.name: each
    for each in (
        Distortion("gaussian_blur", "Gaussian blur", "averages neighbouring pixels", True, gaussian_blur),
        Distortion(
            "gaussian_noise", "Gaussian noise", "adds white noise to every channel", True, gaussian_noise
        ),
        Distortion("jpeg", "JPEG", "compresses with loss, in blocks of 8 x 8", False, jpeg),
        Distortion("contrast", "Contrast", "stretches or squeezes values about the mean", True, contrast),
        Distortion("saturation", "Saturation", "strengthens or fades colours", True, saturation),
        Distortion("color_shift", "Color shift", "adds one colour to all pixels", True, color_shift),
        Distortion("warp", "Warp", "moves pixels along a smooth random field", False, warp),
    )
}
"""Every distortion by its name."""


def _validate_patch(patch: Patch) -> None:
    if not isinstance(patch, np.ndarray) or not np.issubdtype(patch.dtype, np.floating):
        raise InputError("The patch is not a float array. Give one in [0, 1]; divide 8-bit levels by 255.")
    if patch.ndim != 3 or patch.shape[2] != 3 or patch.size == 0:
        raise InputError(f"The patch has shape {patch.shape}. Give (H, W, 3): the channels come last.")
    low, high = float(patch.min()), float(patch.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"The patch reaches from {low:.9g} to {high:.9g}. Bring it to [0, 1], as by np.clip(patch, 0, 1)."
        )


def _validate_steps(steps: Sequence[Step]) -> None:
    if not steps:
        raise InputError("No distortion was given. Give at least one (name, strength).")
    for name, strength in steps:
        if name not in DISTORTIONS:
            raise unknown_name("distortion", name, DISTORTIONS)
        if not (math.isfinite(strength) and 0 < strength <= 1):
            raise InputError(f"The strength of {name} is {strength}. Give a strength above 0 and at most 1.")
