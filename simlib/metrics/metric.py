"""What a metric is: one contract that every metric keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from simlib.errors import InputError
from simlib.kernels.company import in_company
from simlib.kernels.device import exact_convolutions
from simlib.kernels.images import validate_images, validate_pair

Family = Literal["pixel", "structural", "learned", "own"]
Features = tuple[Tensor, ...]
"""What a metric remembers of a batch of images; the first dimension of each tensor is the batch."""


@dataclass(frozen=True)
class MetricSpec:
    """What a reader must know of a metric before using it.

    Attributes:
        name: how it is asked for, such as ``"lpips-alex"``.
        title: how it is written, such as ``"LPIPS (Alex)"``.
        family: pixel, structural or learned; own for a function that somebody brought.
        summary: one sentence on what it measures.
        values: the range of its values.
        least_side: the smallest height and width of an image that it accepts, in pixels.
        weights: names of the weights it needs (see :mod:`simlib.metrics.weights`).
        library: the package that computes it.
        licence: the licence of that package and of the weights.
        citation: the key of the paper in the book's bibliography.
        verified: against what the values were checked, or that they were not.
        symmetric: whether the two images can change places without changing the distance.
        differentiable: whether a gradient with respect to the images can be had.
        may_be_negative: whether values below zero occur; then shares of distances mean nothing.
        extra: the optional part of simlib that brings the library, as in ``pip install 'simlib[EXTRA]'``;
            empty if the library always comes along.
    """

    name: str
    title: str
    family: Family = "own"
    summary: str = ""
    values: str = "unknown"
    least_side: int = 1
    weights: tuple[str, ...] = ()
    library: str = "simlib"
    licence: str = "unknown"
    citation: str = ""
    verified: str = "not verified"
    symmetric: bool = True
    differentiable: bool = True
    may_be_negative: bool = False
    extra: str = ""


class Metric(nn.Module):
    """A distance between a reference and a distorted image; lower means more similar.

    A metric is two functions: :meth:`embed` looks at one batch of images, :meth:`compare` measures
    two batches that were looked at. Kept apart, the reference is looked at once while its
    counterpart changes at every step of an attack. They are what a metric defines; who uses one calls
    :meth:`look_at` and :meth:`measure`, which keep a sample's values the same whatever the batch.

    Values are per sample and do not depend on the other samples of the batch. Gradients are finite
    everywhere. Parameters never ask for gradients.
    """

    spec: MetricSpec

    def embed(self, images: Tensor) -> Features:
        """Look at images (N, 3, H, W) in [0, 1]; the pixels themselves unless a metric says else."""
        return (images,)

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Measure the distance (N,) between two batches that :meth:`embed` has looked at."""
        raise NotImplementedError

    def look_at(self, images: Tensor) -> Features:
        """Look at images (N, 3, H, W) in [0, 1] as :meth:`embed` does, at a lone one in company.

        A sample that is the last of its batch to be attacked fares as among others so.
        """
        if len(images) != 1:
            return self.embed(images)
        return tuple(tensor[:1] for tensor in self.embed(in_company(images)))

    def measure(self, reference: Features, features: Features) -> Tensor:
        """Measure the distance (N,) as :meth:`compare` does, that of a lone sample in company."""
        if len(features[0]) != 1:
            return self.compare(reference, features)
        pair = (tuple(in_company(tensor) for tensor in each) for each in (reference, features))
        return self.compare(*pair)[:1]

    def forward(self, ref: Tensor, x: Tensor) -> Tensor:
        """Measure the distance from each reference to its counterpart.

        Args:
            ref: reference images (N, 3, H, W) in [0, 1].
            x: distorted images, same shape, dtype and device.

        Returns:
            Distances (N,), lower means more similar.

        Raises:
            InputError: if the images are not what the metric accepts.
        """
        validate_pair(ref, x)
        self.validate(ref)
        with exact_convolutions():
            return self.measure(self.look_at(ref), self.look_at(x))

    def anchor(self, ref: Tensor) -> Anchor:
        """Look at the references (N, 3, H, W) once, for many measurements against them.

        Raises:
            InputError: if the images are not what the metric accepts.
        """
        validate_images(ref, "ref")
        self.validate(ref)
        with torch.no_grad(), exact_convolutions():
            return Anchor(self, self.look_at(ref))

    def validate(self, images: Tensor) -> None:
        """Refuse images that are too small, or of another dtype or device than the weights.

        Raises:
            InputError: saying what the metric accepts and how to get there.
        """
        side, least = min(images.shape[-2:]), self.spec.least_side
        if side < least:
            raise InputError(
                f"{self.spec.title} needs images of at least {least}x{least} pixels, and these are "
                f"{images.shape[-2]}x{images.shape[-1]}. Use larger images or another metric."
            )
        weight = next(self.parameters(), None)
        if weight is not None and (weight.dtype, weight.device) != (images.dtype, images.device):
            raise InputError(
                f"{self.spec.title} is {weight.dtype} on {weight.device}, the images are {images.dtype} on "
                f"{images.device}. Move one of them: metric.to(images) or images.to(dtype, device)."
            )


@dataclass(frozen=True)
class Anchor:
    """A metric with one of its two sides fixed: the references, looked at once."""

    metric: Metric
    features: Features

    def __call__(self, x: Tensor) -> Tensor:
        """Measure the distance (N,) from the references to ``x`` (N, 3, H, W).

        The values of ``x`` are trusted, so that nothing waits for an accelerator.

        Raises:
            InputError: if there are not as many images as references.
        """
        if len(x) != len(self.features[0]):
            raise InputError(
                f"There are {len(x)} images for {len(self.features[0])} references. Give one each."
            )
        return self.metric.measure(self.features, self.metric.look_at(x))

    def narrow(self, index: Tensor) -> Anchor:
        """Keep the samples at these positions (an integer tensor) only."""
        return Anchor(self.metric, narrow(self.features, index))


def narrow(features: Features, index: Tensor) -> Features:
    """Keep the samples at these positions of the batch only."""
    return tuple(tensor.index_select(0, index) for tensor in features)
