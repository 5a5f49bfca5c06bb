"""The median of a metric over samples of Gaussian noise in both images."""

from __future__ import annotations

import numbers
from dataclasses import replace

import torch
from torch import Tensor

from simlib.errors import InputError
from simlib.kernels.checks import require_count
from simlib.kernels.noise import Draws
from simlib.metrics.metric import Features, Metric, MetricSpec, require_metric
from simlib.metrics.registry import Entry, load, register_prefix, spec_of
from simlib.metrics.wrapper import Wrapper

NOISE = 0.1
"""Six times a budget of 4/255. LPIPS (Alex) still ranks the ladders of photos right; at 0.2 it does not."""
SAMPLES = 9
"""An odd number, so that the median is one of the samples."""


class Smoothed(Wrapper):
    """Takes the median of a metric over Gaussian noise that is the same in both images.

    Chiang et al. (2020) smooth a function of one image in this way and certify it; Shumitskaya et al. (2024)
    do so for metrics without a reference. Here the reference gets the same noise. So equal images keep the
    distance 0, and a symmetric metric stays symmetric; with noise in one image only, the distance would
    mostly measure the noise. Their certificate does not hold for this variant: how much it defends has
    to be measured.

    The noise is drawn once for each size of image, and is the same for every image and every call. So the
    distance is deterministic. Its gradient is that of the median sample, or the mean of the gradients of
    the two in the middle. ``Smoothed(first.metric, seed=1)`` is the same metric with other noise.

    Args:
        metric: the metric to smooth; it is shared, not copied.
        noise: standard deviation of the noise, at most 1; 0 changes nothing. Noisy values are cut to [0, 1].
        samples: number of samples of noise, at least 1; the time of a measurement is multiplied by it.
        seed: determines the noise, at least 0.

    Raises:
        InputError: if it is no metric, the noise lies outside [0, 1], or a number is not whole, or too small.
    """

    def __init__(
        self, metric: Metric, *, noise: float = NOISE, samples: int = SAMPLES, seed: int = 0
    ) -> None:
        require_metric(metric, "metric")
        if not (isinstance(noise, numbers.Real) and 0 <= noise <= 1):
            raise InputError(
                f"noise is {noise!r}. It must be a number from 0 to 1: a standard deviation of ten levels of "
                "8 bits is 10 / 255."
            )
        require_count("samples", samples)
        require_count("seed", seed, 0)
        super().__init__(metric, samples, _smoothed_spec(metric.spec, noise, samples, seed))
        self.noise, self.seed = noise, seed
        self._added: Tensor = torch.empty(0)

    def look(self, images: Tensor, view: int) -> Features:
        """Compute the features of images (N, 3, H, W) with one of the samples of noise."""
        noisy = images + self._noise_for(images)[view]
        # The gradient of ``clamp`` alone is zero at exactly 0 and 1 too: black would have no slope.
        cut = torch.where((noisy < 0) | (noisy > 1), noisy.clamp(0, 1).detach(), noisy)
        return self.metric.embed(cut)

    def combine(self, distances: Tensor) -> Tensor:
        """Return the median (N,) over the samples (N, samples); NaN where one of them is."""
        ordered = distances.sort(dim=1, stable=True).values
        median = (ordered[:, (self.views - 1) // 2] + ordered[:, self.views // 2]) / 2
        # NaN stands last in the order, where it would pass for a large distance.
        return torch.where(distances.isnan().any(dim=1), torch.nan, median)

    def _noise_for(self, images: Tensor) -> Tensor:
        """Return the noise (samples, 3, H, W) for images of one size; it is kept until the size changes."""
        added = self._added
        alike = (added.dtype, added.device) == (images.dtype, images.device)
        if added.shape[1:] != images.shape[1:] or not alike:
            draws = Draws([f"noise {view}" for view in range(self.views)], self.seed, images.device)
            uniform = draws.uniform(*images.shape[1:], dtype=torch.float64)
            # In float64, so that every dtype gets the same numbers; at 0 the quantile would be infinite.
            added = torch.special.ndtri(uniform + 2.0**-25) * self.noise
            self._added = added = added.to(images.dtype)
        return added


def _smoothed_spec(
    spec: MetricSpec, noise: float = NOISE, samples: int = SAMPLES, seed: int = 0
) -> MetricSpec:
    return replace(
        spec,
        name=f"smoothed:{spec.name}",
        parts=(spec.name,),
        title=f"Smoothed {spec.title}",
        summary=f"The median of {spec.title} over {samples} samples of noise of standard deviation {noise:g} "
        f"in both images (seed {seed}).",
        citation="chiang2020detection",
        verified="a plain loop over the noise; no published values",
    )


@register_prefix("smoothed")
def _smoothed(name: str) -> Entry:
    return _smoothed_spec(spec_of(name)), lambda: Smoothed(load(name))
