"""A metric of somebody's own: a function of two batches of images, tried out before it is used."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.kernels.finite import finite_gradients
from simlib.metrics.metric import Features, Metric, MetricSpec

_SIDE = 64
_NOISE = (0.05, 0.1, 0.2)
"""Standard deviation of the noise in each sample of the trial; far apart, as neighbours may be."""

_TOLERANCE = 1e-5


class CallableMetric(Metric):
    """Measures by a function; :func:`from_callable` makes one and tries it out."""

    def __init__(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        spec: MetricSpec,
        *,
        higher_is_closer: bool,
        best: float | None,
        image_range: tuple[float, float],
    ) -> None:
        super().__init__()
        self.function, self.spec = function, spec
        self.higher_is_closer, self.best = higher_is_closer, best
        self.image_range = image_range

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the distance (N,) that the function gives, in the dtype of the images.

        Its gradient is zero where a root or a quotient in the function would make it infinite.

        Raises:
            InputError: if the function does not return one value per sample.
        """
        (ref,), (x,) = reference, features
        if not self.spec.differentiable:
            ref, x = ref.detach(), x.detach()
        n = len(ref)
        if n == 0:
            return x.sum(dim=(1, 2, 3))
        with finite_gradients():
            values = self.function(self._in_range(ref), self._in_range(x))
        if not isinstance(values, Tensor) or values.shape not in ((n,), (n, 1), (n, 1, 1, 1)):
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise InputError(
                f"{self.spec.title} returned {got} for {n} pairs of images. Return one value for each, "
                f"({n},): average over channels and pixels only, mean(dim=(1, 2, 3)), or ask the "
                "library for reduction='none'."
            )
        values = values.reshape(n).to(ref.dtype)
        return (self.best or 0.0) - values if self.higher_is_closer else values

    def _in_range(self, images: Tensor) -> Tensor:
        low, high = self.image_range
        return images if (low, high) == (0, 1) else images * (high - low) + low


def from_callable(
    function: Callable[[Tensor, Tensor], Tensor],
    spec: MetricSpec,
    *,
    higher_is_closer: bool = False,
    best: float | None = None,
    image_range: tuple[float, float] = (0.0, 1.0),
) -> Metric:
    """Make a metric of a function, and try it out on a few images.

    What the trial finds is in the spec of the metric: whether it is symmetric, differentiable, and never
    below zero. A gradient that was promised and is not there is reported by a warning.

    Args:
        function: takes references and distorted images, (N, 3, H, W) each, and returns one value for each
            sample, (N,), (N, 1) or (N, 1, 1, 1). A lone pair is handed over twice. A ``torch.nn.Module`` is
            put into evaluation mode, its parameters ask for no gradients from now on, and it moves along
            with the metric.
        spec: what is said of the metric; ``MetricSpec(name, title)`` is enough.
        higher_is_closer: the function measures similarity: the higher, the more alike.
        best: the similarity of identical images, where it has a greatest value: the distance is then
            ``best`` minus the similarity. Without it the distance is minus the similarity, below zero.
        image_range: the values that mean black and white to the function, such as (-1, 1) or (0, 255).

    Raises:
        InputError: if the function fails, does not give one finite value for each sample, lets a sample's
            value depend on the others, or finds identical images farther apart than noisy ones.
    """
    if best is not None and not higher_is_closer:
        raise InputError(f"{spec.title}: best={best} is of a similarity. Give higher_is_closer=True with it.")
    if not image_range[0] < image_range[1]:
        raise InputError(f"{spec.title}: image_range={image_range} must go from black up to white.")
    metric = CallableMetric(
        function, spec, higher_is_closer=higher_is_closer, best=best, image_range=image_range
    )
    metric.eval().requires_grad_(False)
    with torch.random.fork_rng(devices=[]):
        metric.spec = _tried_out(metric)
    return metric


def _tried_out(metric: CallableMetric) -> MetricSpec:
    """Measure a few images, and return the spec with what that shows."""
    spec = metric.spec
    with torch.no_grad():
        _measure(metric, *_images(metric, spec.least_side))
        ref, x = _images(metric, max(_SIDE, spec.least_side))
        same, noisy, back = _measure(metric, ref, ref), _measure(metric, ref, x), _measure(metric, x, ref)
        alone = torch.cat([_measure(metric, ref[i : i + 1], x[i : i + 1]) for i in range(len(ref))])
    if not torch.allclose(noisy, alone, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise InputError(
            f"{spec.title} gives a pair of images {alone.tolist()} alone and {noisy.tolist()} among others. "
            "Normalise and average within each sample, and draw nothing at random."
        )
    if (same > noisy).all():
        raise InputError(
            f"{spec.title} finds identical images farther apart ({same.tolist()}) than noisy ones "
            f"({noisy.tolist()}). If it measures similarity, say higher_is_closer=True; else leave that out."
        )
    unbounded = metric.higher_is_closer and metric.best is None
    return replace(
        spec,
        symmetric=spec.symmetric and torch.allclose(noisy, back, rtol=1e-4, atol=_TOLERANCE),
        differentiable=spec.differentiable and _has_gradient(metric, ref, x),
        may_be_negative=spec.may_be_negative
        or unbounded
        or bool(torch.cat([same, noisy]).min() < -_TOLERANCE),
    )


def _images(metric: Metric, side: int) -> tuple[Tensor, Tensor]:
    """Draw smooth references, and the same with more noise from sample to sample."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((len(_NOISE), 3, 8, 8), generator=generator)
    ref = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    noise = torch.randn(ref.shape, generator=generator)
    x = (ref + noise * torch.tensor(_NOISE).view(-1, 1, 1, 1)).clamp(0, 1)
    like = next(metric.parameters(), x)
    return ref.to(like), x.to(like)


def _measure(metric: Metric, ref: Tensor, x: Tensor) -> Tensor:
    try:
        values = metric(ref, x)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{metric.spec.title} fails on images {tuple(ref.shape)}: {type(error).__name__}: {error}. "
            "If they are too small for it, give the spec a least_side; if it wants other values than 0 to 1, "
            "give an image_range."
        ) from error
    if not values.isfinite().all():
        raise InputError(
            f"{metric.spec.title} returns {values.tolist()} for images {tuple(ref.shape)}. "
            "If they are too small for it, give the spec a least_side."
        )
    return values


_NOT_FINITE = "it is not finite"


def _has_gradient(metric: Metric, ref: Tensor, x: Tensor) -> bool:
    """Say whether the gradient can be used, and warn where it cannot."""
    title = metric.spec.title
    fault = _gradient_fault(metric, ref, x)
    if fault:
        warnings.warn(
            f"{title} has no gradient to attack by: {fault}. Attacks that need one refuse it "
            "(NoGradientError); one_pixel, few_pixel and square do without. To say that you know: "
            "differentiable=False in its spec.",
            stacklevel=4,
        )
        return False
    extremes = {"identical": ref, "black": torch.zeros_like(ref)}
    lost = [what for what, image in extremes.items() if _gradient_fault(metric, image, image) == _NOT_FINITE]
    if lost:
        warnings.warn(
            f"The gradient of {title} is not finite at {' and '.join(lost)} images, and an attack that gets "
            "there is lost. Add a small number below roots and to what is divided by.",
            stacklevel=4,
        )
    return True


def _gradient_fault(metric: Metric, ref: Tensor, x: Tensor) -> str:
    """Say in words what is wrong with the gradient with respect to ``x``; empty if nothing is."""
    variable = x.clone().requires_grad_()
    try:
        distance = metric(ref, variable)
        if not distance.requires_grad:
            return "torch cannot follow it back to the images (no_grad, detach or numpy inside)"
        (gradient,) = torch.autograd.grad(distance.sum(), variable)
    except RuntimeError as error:
        return f"torch says {str(error).splitlines()[0]!r}"
    if not gradient.isfinite().all():
        return _NOT_FINITE
    return "" if gradient.any() else "it is zero everywhere"
