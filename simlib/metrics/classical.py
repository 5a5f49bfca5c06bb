"""Metrics that compare pixels or their local statistics; none needs weights."""

from __future__ import annotations

import piq
from torch import Tensor

from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register


class MeanSquaredError(Metric):
    """Mean of the squared differences of all values (in the units of [0, 1], squared)."""

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the mean squared error (N,)."""
        return (reference[0] - features[0]).square().mean(dim=(1, 2, 3))


class StructuralDissimilarity(Metric):
    """(1 - SSIM) / 2 with the 11x11 Gaussian window of Wang et al. (2004), averaged over channels.

    As they advise, images of 384 pixels and more are first averaged down to about 256. The library
    checks the range of its input, which makes an accelerator wait once a step.
    """

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the structural dissimilarity (N,)."""
        similarity = piq.ssim(reference[0], features[0], data_range=1.0, reduction="none")
        return (1 - similarity) / 2  # pyright: ignore[reportOperatorIssue]


@register(
    MetricSpec(
        name="l2",
        title="L2",
        family="pixel",
        summary="The mean squared difference of the pixel values.",
        values="0 to 1",
        least_side=1,
        weights=(),
        library="simlib",
        licence="MIT",
        citation="ghildyal2023attacking",
        verified="closed form",
    )
)
def mean_squared_error() -> Metric:
    """Build the mean squared error."""
    return MeanSquaredError()


@register(
    MetricSpec(
        name="ssim",
        title="SSIM",
        family="structural",
        summary="How far local means, variances and covariances differ: (1 - SSIM) / 2.",
        values="0 to 1",
        least_side=11,
        weights=(),
        library="piq",
        licence="Apache-2.0",
        citation="wang2004ssim",
        verified="scikit-image",
    )
)
def structural_dissimilarity() -> Metric:
    """Build the structural dissimilarity."""
    return StructuralDissimilarity()
