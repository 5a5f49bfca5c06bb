"""Metrics that compare pixel by pixel; none needs weights."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register

_LEAST_ERROR = 1e-8
"""Added to the mean squared error, so that PSNR is at most 80 dB."""

_spec = partial(MetricSpec, family="pixel", licence="MIT")


@register(
    _spec("l1", "L1", values="0 to 1", citation="wang2009mean", verified="closed form"),
    "The mean absolute difference of the pixel values.",
)
class MeanAbsoluteError(Metric):
    """The mean absolute error of the values in [0, 1]."""

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the mean absolute error (N,)."""
        return (reference[0] - features[0]).abs().mean(dim=(1, 2, 3))


@register(
    _spec("l2", "L2", values="0 to 1", citation="ghildyal2023attacking", verified="closed form"),
    "The mean squared difference of the pixel values.",
)
class MeanSquaredError(Metric):
    """The mean squared error of the values in [0, 1]."""

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the mean squared error (N,)."""
        return (reference[0] - features[0]).square().mean(dim=(1, 2, 3))


@register(
    _spec(
        "psnr", "PSNR", values="0 to 80", citation="wang2009mean", verified="the package piq; scikit-image"
    ),
    "Decibels below 80 dB, the peak signal-to-noise ratio of identical images; ranks as L2 does.",
)
class LostSignalToNoise(Metric):
    """80 dB, the greatest peak signal-to-noise ratio, minus the ratio of the two images.

    PSNR is -10 log10(mean squared error + 1e-8), as in the package piq. The difference is zero for
    identical images and has a finite gradient there.
    """

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the difference in decibels (N,)."""
        error = (reference[0] - features[0]).square().mean(dim=(1, 2, 3))
        return torch.log1p(error / _LEAST_ERROR) * (10 / math.log(10))
