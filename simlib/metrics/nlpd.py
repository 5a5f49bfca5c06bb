"""NLPD: a Laplacian pyramid of luminance with local gain control (Laparra et al. 2016); needs no weights."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from torch import Tensor

from simlib.kernels.batch_independence import sample_rows
from simlib.kernels.finite import finite_gradients
from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register

_LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the luminance of Rec. ITU-R BT.601."""


class NormalizedLaplacianDistance(Metric):
    """The root mean square difference of the bands of plenoptic's pyramid, averaged over the six."""

    def __init__(self, pyramid: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        self._pyramid = pyramid

    def embed(self, images: Tensor) -> Features:
        """Return the bands of the luminance, from fine to coarse, (N, 1, H', W') each."""
        shares = images.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
        return tuple(self._pyramid((images * shares).sum(dim=1, keepdim=True)))

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the distance (N,)."""
        errors = [(a - b).square().mean(dim=(1, 2, 3)) for a, b in zip(reference, features, strict=True)]
        with finite_gradients():
            return sample_rows(errors).sqrt().mean(dim=1)


@register(
    MetricSpec(
        "nlpd",
        "NLPD",
        "structural",
        "How far the bands of a Laplacian pyramid of luminance differ after local gain control.",
        values="0 upwards, rarely above 1.5",
        least_side=33,
        library="plenoptic",
        licence="MIT",
        citation="laparra2016perceptual",
        verified="the package plenoptic",
    )
)
def normalized_laplacian_distance() -> Metric:
    """Build NLPD."""
    process = importlib.import_module("plenoptic.process")
    return NormalizedLaplacianDistance(process.normalized_laplacian_pyramid)
