"""Metrics that compare pixel by pixel; none needs weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register

_LEAST_ERROR = 1e-8
"""What is added to the mean squared error before its logarithm, which puts the ceiling of PSNR at 80 dB."""


class MeanAbsoluteError(Metric):
    """Mean of the absolute differences of all values (in the units of [0, 1])."""

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the mean absolute error (N,)."""
        return (reference[0] - features[0]).abs().mean(dim=(1, 2, 3))


class MeanSquaredError(Metric):
    """Mean of the squared differences of all values (in the units of [0, 1], squared)."""

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the mean squared error (N,)."""
        return (reference[0] - features[0]).square().mean(dim=(1, 2, 3))


class LostSignalToNoise(Metric):
    """Decibels by which the peak signal-to-noise ratio is below its ceiling of 80 dB.

    PSNR is -10 log10(mean squared error + 1e-8), as the package piq has it. Taken from the ceiling, it is
    zero for identical images and has a finite gradient there.
    """

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the decibels lost (N,)."""
        error = (reference[0] - features[0]).square().mean(dim=(1, 2, 3))
        return torch.log1p(error / _LEAST_ERROR) * (10 / math.log(10))


@register(
    MetricSpec(
        name="l1",
        title="L1",
        family="pixel",
        summary="The mean absolute difference of the pixel values.",
        values="0 to 1",
        licence="MIT",
        citation="wang2009mean",
        verified="closed form",
    )
)
def mean_absolute_error() -> Metric:
    """Build the mean absolute error."""
    return MeanAbsoluteError()


@register(
    MetricSpec(
        name="l2",
        title="L2",
        family="pixel",
        summary="The mean squared difference of the pixel values.",
        values="0 to 1",
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
        name="psnr",
        title="PSNR",
        family="pixel",
        summary="Decibels below 80 dB, the peak signal-to-noise ratio of identical images; ranks as L2 does.",
        values="0 to 80",
        licence="MIT",
        citation="wang2009mean",
        verified="the package piq; scikit-image",
    )
)
def lost_signal_to_noise() -> Metric:
    """Build the peak signal-to-noise ratio, as a distance."""
    return LostSignalToNoise()
