"""What a metric is: one contract that every metric keeps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from simlib.errors import InputError
from simlib.kernels.batch_independence import repeat_single
from simlib.kernels.images import plain, require_precision, validate_alike, validate_images, validate_pair
from simlib.kernels.settings import own_settings

Family = Literal["pixel", "structural", "learned", "custom"]
Features = tuple[Tensor, ...]
"""What a metric keeps of a batch of images; the first dimension of each tensor is the batch."""


@dataclass(frozen=True)
class MetricSpec:
    """What a reader must know about a metric before using it.

    Attributes:
        name: the name in plans and commands, such as ``"lpips-alex"``.
        title: the name in text, such as ``"LPIPS (Alex)"``.
        family: pixel, structural or learned; custom for a function of the user.
        summary: one sentence on what it measures.
        values: the range of its values.
        least_side: the smallest height and width of an image that it accepts, in pixels.
        weights: names of the weights that it needs (see :mod:`simlib.metrics.weights`).
        parts: names of the registered metrics that a wrapper measures by; empty for all others.
        library: the package that computes it.
        licence: the licence of that package and of the weights.
        citation: the key of the paper in the book's bibliography.
        verified: what the values were checked against, or that they were not.
        symmetric: whether the two images can change places without changing the distance.
        differentiable: whether it has a gradient with respect to the images.
        may_be_negative: whether values below zero occur; then shares of distances mean nothing.
        extra: the optional part of simlib that has the library (``pip install -e '.[EXTRA]'``), if one has.
    """

    name: str
    title: str
    family: Family = "custom"
    summary: str = ""
    values: str = "unknown"
    least_side: int = 1
    weights: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
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

    A metric defines :meth:`embed` and :meth:`compare`. So the features of the reference are computed once,
    while the other image changes at every step of an attack. Users of a metric call :meth:`look_at` and
    :meth:`measure` instead: their values do not depend on which other images are in the batch.

    Values are per sample. Gradients are finite everywhere. Parameters never require gradients. Values do not
    depend on what a caller has set for torch; who takes a gradient by hand does so outside of autocast, as
    torch advises.
    """

    spec: MetricSpec

    compares_unit_features: bool = False
    """Whether :meth:`compare` scales features to unit length, so that only their direction counts."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Metric:
        # What moves to another device or dtype in inference mode would be of no use outside it.
        with own_settings():
            return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> Metric:
        """Stay as it is, whatever the mode: in training, some layers draw at random or mix the batch."""
        return super().train(False)

    def embed(self, images: Tensor) -> Features:
        """Compute the features of images (N, 3, H, W) in [0, 1]; by default the pixels themselves."""
        return (images,)

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Measure the distance (N,) between the features of two batches, as :meth:`embed` gives them."""
        raise NotImplementedError

    def look_at(self, images: Tensor) -> Features:
        """Compute the features of images (N, 3, H, W) in [0, 1]; a single image in a batch of two.

        So the last sample of a batch that an attack still works on is rounded as it was among the others.
        What the caller has set for torch, such as autocast, changes nothing here, nor in :meth:`measure`.
        """
        with own_settings():
            if len(images) != 1:
                return self.embed(images)
            return tuple(tensor[:1] for tensor in self.embed(repeat_single(images)))

    def measure(self, reference: Features, features: Features) -> Tensor:
        """Measure the distance (N,) between features; a single sample in a batch of two."""
        with own_settings():
            if len(features[0]) != 1:
                return self.compare(reference, features)
            pair = (tuple(repeat_single(tensor) for tensor in each) for each in (reference, features))
            return self.compare(*pair)[:1]

    def forward(self, ref: Tensor, x: Tensor) -> Tensor:
        """Measure the distance (N,) between references (N, 3, H, W) in [0, 1] and distorted images.

        Raises:
            InputError: if the images are not what the metric accepts, or of another shape, dtype or device.
        """
        validate_pair(ref, x)
        self.validate(ref)
        return self.measure(self.look_at(ref), self.look_at(x))

    def anchor(self, ref: Tensor) -> Anchor:
        """Compute the features of references (N, 3, H, W) once; refuses images as :meth:`forward` does."""
        validate_images(ref, "ref")
        self.validate(ref)
        with torch.no_grad():
            return Anchor(self, self.look_at(plain(ref)), ref[:0])

    def validate(self, images: Tensor) -> None:
        """Refuse, by an InputError, images that are too small, of half precision, or unlike the weights.

        Their dtype is float32 or float64, and dtype and device are those of the weights.
        """
        side, least = min(images.shape[-2:]), self.spec.least_side
        if side < least:
            raise InputError(
                f"{self.spec.title} needs images of at least {least}x{least} pixels, and these are "
                f"{images.shape[-2]}x{images.shape[-1]}. Use larger images or another metric."
            )
        weight = next(self.parameters(), None)
        if weight is not None:
            require_precision(weight.dtype, self.spec.title)
        require_precision(images.dtype, "The batch of images")
        if weight is not None and (weight.dtype, weight.device) != (images.dtype, images.device):
            raise InputError(
                f"{self.spec.title} is {weight.dtype} on {weight.device}, the images are {images.dtype} on "
                f"{images.device}. Move one of them: metric.to(images) or images.to(dtype, device)."
            )


@dataclass(frozen=True)
class Anchor:
    """A metric with fixed references, whose features are computed once.

    Attributes:
        metric: the metric.
        features: of the references.
        like: no images (0, 3, H, W), of the size, dtype and device that images must have.
    """

    metric: Metric
    features: Features
    like: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Measure the distance (N,) from the references to as many images ``x`` (N, 3, H, W).

        The values of ``x`` are not checked, so that nothing waits for an accelerator.
        """
        if len(x) != len(self.features[0]):
            references = len(self.features[0])
            raise InputError(f"There are {len(x)} images for {references} references. Give one each.")
        validate_alike(self.like, "ref", x[:0], "x")
        return self.metric.measure(self.features, self.metric.look_at(x))

    def narrow(self, index: Tensor) -> Anchor:
        """Keep the samples at these positions (an integer tensor) only."""
        return Anchor(self.metric, narrow(self.features, index), self.like)


def narrow(features: Features, index: Tensor) -> Features:
    """Keep the samples at these positions of the batch only."""
    return tuple(tensor.index_select(0, index) for tensor in features)


def require_metric(value: object, what: str) -> None:
    """Refuse, by an InputError that calls it ``what``, anything that is no metric of simlib."""
    if isinstance(value, Metric):
        return
    given = repr(value) if isinstance(value, str) else f"a {type(value).__name__}"
    if isinstance(value, type):
        given = f"the class {value.__name__}"
    raise InputError(
        f"{what} is {given}, which is no metric of simlib. Load one by its name, "
        'metrics.load("lpips-alex"), or make one of a function or a module: '
        'metrics.from_callable(function, metrics.MetricSpec("mine", "Mine")).'
    )
