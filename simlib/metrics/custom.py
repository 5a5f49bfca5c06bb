"""Custom metrics: a function of two batches of images becomes a metric, after a trial."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.kernels.finite import finite_gradients
from simlib.kernels.settings import own_settings
from simlib.metrics.metric import Features, Metric, MetricSpec

_NOISE = (0.05, 0.1, 0.2)
"""Standard deviation of the noise in each sample of the trial; the samples of a batch should differ much."""
_SIDE, _TOLERANCE = 64, 1e-5
_ROUNDING = 1e-2
"""Share by which float32 may round otherwise in a batch of another size, and more, on any processor."""
_NOT_FINITE = "it is not finite"


class CallableMetric(Metric):
    """A metric that calls a function; :func:`from_callable` makes one and tries it out."""

    def __init__(
        self,
        function: Callable[[Tensor, Tensor], Tensor],
        spec: MetricSpec,
        higher_is_closer: bool,
        best: float | None,
        image_range: tuple[float, float],
    ) -> None:
        super().__init__()
        self.function, self.spec, self.image_range = function, spec, image_range
        self.higher_is_closer, self.best = higher_is_closer, best

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the distance (N,) that the function gives, in the dtype of the images.

        Where a root or a quotient in the function would make the gradient infinite, the gradient is zero. A
        function that does not return one value per sample is an ``InputError``.
        """
        pair, n, (low, high) = (*reference, *features), len(reference[0]), self.image_range
        if n == 0:
            return features[0].sum(dim=(1, 2, 3))
        if not self.spec.differentiable:
            pair = [each.detach() for each in pair]
        if (low, high) != (0, 1):
            pair = [each * (high - low) + low for each in pair]
        with finite_gradients():
            values = self.function(*pair)
        if not isinstance(values, Tensor) or values.shape not in ((n,), (n, 1), (n, 1, 1, 1)):
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise InputError(
                f"{self.spec.title} returned {got} for {n} pairs of images. Return one value for each, "
                f"({n},): average over channels and pixels only, mean(dim=(1, 2, 3)), or ask the "
                "library for reduction='none'."
            )
        if values.is_complex():
            raise InputError(f"{self.spec.title} returned complex numbers. Return real ones, such as .abs().")
        values = values.reshape(n).to(features[0].dtype)
        return (self.best or 0.0) - values if self.higher_is_closer else values


def from_callable(
    function: Callable[[Tensor, Tensor], Tensor],
    spec: MetricSpec,
    *,
    higher_is_closer: bool = False,
    best: float | None = None,
    image_range: tuple[float, float] = (0.0, 1.0),
) -> Metric:
    """Make a metric from a function, and try it out on a few images.

    The spec of the metric says what the trial finds: whether the metric is symmetric, differentiable and
    below zero anywhere. If the spec promises a gradient and the function has none, there is a warning.

    Args:
        function: takes references and distorted images, (N, 3, H, W) each, and returns one value for each
            sample, (N,), (N, 1) or (N, 1, 1, 1). A single pair comes as a batch of two equal pairs. A
            ``torch.nn.Module`` is put into evaluation mode, its parameters no longer require gradients, and
            it moves to another device or dtype together with the metric.
        spec: the description of the metric; ``MetricSpec(name, title)`` is enough.
        higher_is_closer: the function measures similarity: higher means more similar.
        best: the similarity of identical images, if the similarity has a greatest value. The distance is
            then ``best`` minus the similarity. Without it, the distance is minus the similarity.
        image_range: the values of black and white that the function expects, such as (-1, 1) or (0, 255).

    Raises:
        InputError: if the function fails, if it does not return one finite value for each sample, if a
            sample's value depends on the others, or if identical images are farther apart than noisy ones.
    """
    _validate(function, spec)
    if best is not None and not higher_is_closer:
        raise InputError(f"{spec.title}: best={best} needs a similarity. Give higher_is_closer=True too.")
    if not image_range[0] < image_range[1]:
        raise InputError(f"{spec.title}: image_range={image_range} must be (black, white), black first.")
    metric = CallableMetric(function, spec, higher_is_closer, best, image_range)
    _leave_inference_mode(metric)
    metric.eval().requires_grad_(False)
    with own_settings(), torch.random.fork_rng(devices=[]):
        metric.spec = _tried_out(metric)
    return metric


def _leave_inference_mode(metric: Metric) -> None:
    """Copy weights that were made in inference mode, where nothing can be differentiated through them."""
    with own_settings():
        for module in metric.modules():
            held: dict[str, Any]
            for held in (vars(module)["_parameters"], vars(module)["_buffers"]):
                for name, tensor in held.items():
                    if tensor is not None and tensor.is_inference():
                        held[name] = type(tensor)(tensor.clone())


def _validate(function: object, spec: object) -> None:
    if not callable(function) or isinstance(function, type):
        given = f"the class {function.__name__}" if isinstance(function, type) else repr(function)
        raise InputError(
            f"function is {given}. Give a function of two batches of images, or a torch.nn.Module."
        )
    if not isinstance(spec, MetricSpec):
        raise InputError(f'spec is {spec!r}. Describe the metric: metrics.MetricSpec("mine", "Mine").')


def _tried_out(metric: CallableMetric) -> MetricSpec:
    spec = metric.spec
    with torch.no_grad():
        _measure(metric, *_images(metric, spec.least_side))
        ref, x = _images(metric, max(_SIDE, spec.least_side))
        same, noisy, back = _measure(metric, ref, ref), _measure(metric, ref, x), _measure(metric, x, ref)
        beside = torch.stack([_measure(metric, ref, _beside_others(x, i))[i] for i in range(len(x))])
        alone = torch.cat([_measure(metric, ref[i : i + 1], x[i : i + 1]) for i in range(len(ref))])
    for found, where, share in ((beside, "beside others", 1e-4), (alone, "alone", _ROUNDING)):
        if not torch.allclose(noisy, found, rtol=share, atol=_TOLERANCE):
            raise InputError(
                f"{spec.title} gives pairs of images {found.tolist()} {where} and {noisy.tolist()} in one "
                "batch. Normalise and average within each sample, and draw nothing at random."
            )
    if (same > noisy).all():
        raise InputError(
            f"{spec.title} finds identical images farther apart ({same.tolist()}) than noisy ones "
            f"({noisy.tolist()}). Give higher_is_closer=True if it measures similarity, and only then."
        )
    unbounded = metric.higher_is_closer and metric.best is None
    below_zero = bool(torch.cat([same, noisy]).min() < -_TOLERANCE)
    return replace(
        spec,
        symmetric=spec.symmetric and torch.allclose(noisy, back, rtol=1e-4, atol=_TOLERANCE),
        differentiable=spec.differentiable and _has_gradient(metric, ref, x),
        may_be_negative=spec.may_be_negative or unbounded or below_zero,
    )


def _images(metric: Metric, side: int) -> tuple[Tensor, Tensor]:
    """Draw smooth references, and the same with noise that grows from sample to sample."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((len(_NOISE), 3, 8, 8), generator=generator)
    ref = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    noise = torch.randn(ref.shape, generator=generator)
    x = (ref + noise * torch.tensor(_NOISE).view(-1, 1, 1, 1)).clamp(0, 1)
    like = next(metric.parameters(), x)
    return ref.to(like), x.to(like)


def _beside_others(images: Tensor, place: int) -> Tensor:
    """Return as many images, with others in all places but one."""
    others = images.flip(-1) * 0.5
    others[place] = images[place]
    return others


def _measure(metric: Metric, ref: Tensor, x: Tensor) -> Tensor:
    given = ref.clone(), x.clone()
    try:
        values = metric(ref, x)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{metric.spec.title} fails on images {tuple(ref.shape)}: {type(error).__name__}: {error}. "
            "If they are too small, give the spec a least_side. If it expects other values than 0 to 1, "
            "give an image_range."
        ) from error
    if not (torch.equal(ref, given[0]) and torch.equal(x, given[1])):
        raise InputError(
            f"{metric.spec.title} changes the images that it is given. Work on copies: clamp, not clamp_."
        )
    if not values.isfinite().all():
        identical = torch.equal(ref, x)
        advice = (
            "Give a finite value there: add a small number to the error, as in log10(mse + 1e-8)."
            if identical
            else "If they are too small, give the spec a least_side; else give a finite value there."
        )
        raise InputError(
            f"{metric.spec.title} returns {values.tolist()} for {'identical ' * identical}images "
            f"{tuple(ref.shape)}. {advice}"
        )
    return values


def _has_gradient(metric: Metric, ref: Tensor, x: Tensor) -> bool:
    """Return whether attacks can use the gradient; warn if they cannot, or only with care."""
    title = metric.spec.title
    fault = _gradient_fault(metric, ref, x)
    if fault:
        warnings.warn(
            f"{title} has no usable gradient: {fault}. Attacks that need one refuse it (NoGradientError); "
            "OnePixel, FewPixel and Square need none. To silence this warning, give its spec "
            "differentiable=False.",
            stacklevel=4,
        )
        return False
    extremes = {"identical": ref, "black": torch.zeros_like(ref)}
    lost = [what for what, image in extremes.items() if _gradient_fault(metric, image, image) == _NOT_FINITE]
    if lost:
        warnings.warn(
            f"The gradient of {title} is not finite at {' and '.join(lost)} images, where an attack gets "
            "stuck. Add a small number under roots and to denominators.",
            stacklevel=4,
        )
    return True


def _gradient_fault(metric: Metric, ref: Tensor, x: Tensor) -> str:
    """Describe what is wrong with the gradient with respect to ``x``; empty if nothing is."""
    variable = x.clone().requires_grad_()
    try:
        with torch.enable_grad():
            distance = metric(ref, variable)
            if not distance.requires_grad:
                return "torch cannot follow it back to the images (no_grad, detach or numpy inside)"
            (gradient,) = torch.autograd.grad(distance.sum(), variable)
    except RuntimeError as error:
        return f"torch says {str(error).splitlines()[0]!r}"
    if not gradient.isfinite().all():
        return _NOT_FINITE
    return "" if gradient.any() else "it is zero everywhere"
