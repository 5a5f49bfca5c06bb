"""What several test files need: metrics to test, and triplets whose answer is known."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor

from simlib import metrics
from simlib.metrics import Features, Metric, weights
from simlib.metrics.pixel import MeanSquaredError
from simlib.triplets import Triplets
from tests.random_weights import random_archive, random_backbone


def weights_are_here(name: str) -> bool:
    return all(weights.locate(file) for file in metrics.spec_of(name).weights)


def load_or_skip(name: str, dtype: torch.dtype = torch.float32) -> Metric:
    """Load a metric with its real weights, or skip the test."""
    if not weights_are_here(name):
        pytest.skip(f"the weights of {name} are not on this machine")
    return metrics.load(name, dtype=dtype)


@cache
def any_weights(name: str, dtype: torch.dtype = torch.float32) -> Metric:
    """Load a metric with its real weights, or with random ones where they are not on this machine."""
    spec = metrics.spec_of(name)
    if spec.extra:
        pytest.importorskip(spec.library)
    if weights_are_here(name):
        return metrics.load(name, dtype=dtype)
    with mock.patch.multiple(weights, load=random_backbone, obtain=random_archive):
        return metrics.load(name, dtype=dtype)


def draw(
    seed: int, n: int = 2, height: int = 64, width: int | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Draw images whose values are independent; square ones unless a width is given."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((n, 3, height, width or height), generator=generator, dtype=dtype)


def assert_equal_values_and_gradients(
    found: Tensor, expected: Tensor, x: Tensor, *, steepest: float = 1e-4
) -> None:
    """Compare distances and their gradients by x, these up to a share of the steepest slope."""
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    slopes = [torch.autograd.grad(value.sum(), x)[0] for value in (found, expected)]
    torch.testing.assert_close(*slopes, rtol=1e-3, atol=steepest * float(slopes[1].abs().max()))


def random_triplets(n: int, side: int = 32, seed: int = 0, dtype: torch.dtype = torch.float32) -> Triplets:
    """Draw triplets of 8 bits: a random reference and two noisy versions, p1 the noisier on average."""
    generator = torch.Generator().manual_seed(seed)
    ref = torch.rand((n, 3, side, side), generator=generator, dtype=dtype)
    noise0, noise1 = (torch.randn((n, 3, side, side), generator=generator, dtype=dtype) for _ in range(2))
    images = [ref, ref + 0.05 * noise0, ref + 0.08 * noise1]
    return Triplets(
        *(image.clamp(0, 1).mul(255).round().div(255) for image in images),
        judge=torch.full((n,), torch.nan),
        names=tuple(f"random-{seed}-{index}" for index in range(n)),
        photographs=("noise",) * n,
        distortions=(("noise 0.05", "noise 0.08"),) * n,
        label_source="constructed",
    )


def cut(triplets: Triplets, height: int, width: int) -> Triplets:
    """Keep the upper left part of all images."""
    return _each(triplets, lambda image: image[..., :height, :width].contiguous())


def exact(triplets: Triplets) -> Triplets:
    """Return the same triplets in float64, again exactly of 8 bits."""
    return _each(triplets, lambda image: (image.double() * 255).round() / 255)


def grey_triplets(n: int, seed: int) -> Triplets:
    """Draw triplets around middle grey: no attack within a quarter of the range meets black or white."""
    drawn = random_triplets(n, seed=seed, dtype=torch.float64)
    return exact(_each(drawn, lambda image: image * 0.2 + 0.4))


def _each(triplets: Triplets, change: Callable[[Tensor], Tensor]) -> Triplets:
    return replace(triplets, **{name: change(getattr(triplets, name)) for name in ("ref", "p0", "p1")})


class Watched(MeanSquaredError):  # noqa: N818
    """The mean squared error, which remembers what it looked at.

    Args:
        room: most images that it has memory for.
        blind: whether it is computed without a gradient, as by a program outside torch.

    Attributes:
        seen: the images of every look.
        differentiated: whether a gradient of one of them was asked for.
    """

    spec = metrics.spec_of("l2")

    def __init__(self, room: int = 10**9, *, blind: bool = False) -> None:
        super().__init__()
        self.seen: list[Tensor] = []
        self.differentiated = False
        self._room, self._blind = room, blind

    @property
    def sizes(self) -> list[int]:
        """How many images each look was at."""
        return [len(images) for images in self.seen]

    def look_at(self, images: Tensor) -> Features:
        self.seen.append(images.detach().clone())
        self.differentiated |= images.requires_grad
        if len(images) > self._room:
            raise torch.OutOfMemoryError("out of memory, says the device")
        return super().look_at(images)

    def compare(self, reference: Features, features: Features) -> Tensor:
        values = super().compare(reference, features)
        return values.detach() if self._blind else values


def shared_data() -> Path | None:
    """Find the folder of public data beside the repository, if it is there."""
    folder = Path(os.environ.get("SIMLIB_WEIGHTS", "")).parent
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return next((path for path in (folder, beside) if (path / "examples" / "ex_ref.png").is_file()), None)
