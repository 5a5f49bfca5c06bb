"""Metrics that compare local statistics, edges and saliency; none needs weights.

The package piq computes them, and here they become distances: zero for identical images, lower means more
similar. piq checks the range of its input, which makes an accelerator wait at each step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import piq
import torch
from torch import Tensor

from simlib.kernels.finite import finite_gradients
from simlib.kernels.images import within_range
from simlib.kernels.precision import keep_precision
from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import load, register

Measure = Callable[[Tensor, Tensor], Tensor]
"""The distance (N,) from references (N, 3, H, W) to distorted images of the same shape."""


class LibraryDistance(Metric):
    """The distance of a library, made to keep the contract of a metric.

    Gradients are finite, computation is in the precision of the images, and float noise outside [0, 1] is
    cut off. Identical images are at distance zero; the arithmetic of some libraries gives a few millionths
    there, or infinity for black images.
    """

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self._measure = measure

    def __reduce__(self) -> tuple[Callable[[str], Metric], tuple[str]]:
        # The function may be one without a name, which no other process could find.
        return load, (self.spec.name,)

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the distance (N,)."""
        references, images = within_range(reference[0]), within_range(features[0])
        if len(images) == 0:
            return images.sum(dim=(1, 2, 3))
        with finite_gradients(), keep_precision(images.dtype):
            distance = self._measure(references, images)
        differs = (references != images).flatten(1).any(dim=1)
        return distance.where(differs, 0)


def _register(spec: MetricSpec, summary: str, measure: Measure) -> None:
    register(spec, summary)(partial(LibraryDistance, measure))


_spec = partial(
    MetricSpec,
    family="structural",
    values="0 to 1",
    library="piq",
    licence="Apache-2.0",
    verified="the package piq",
)

# The window is 11x11. As Wang et al. advise, images of 384 pixels and more are first averaged down to about
# 256. In float32, the variances of bright, flat areas have an error of up to 5e-5 in the distance.
_register(
    _spec("ssim", "SSIM", least_side=11, citation="wang2004ssim", verified="the package piq; scikit-image"),
    "How far local means, variances and covariances differ: (1 - SSIM) / 2.",
    lambda ref, x: (1 - torch.as_tensor(piq.ssim(x, ref, reduction="none"))) / 2,
)


def _multi_scale_ssim(ref: Tensor, x: Tensor) -> Tensor:
    """Use as many scales as have room for a whole number of 11x11 windows."""
    scales = min(5, 1 + int(math.log2((min(x.shape[-2:]) - 1) / 10)))
    # From fine to coarse (Wang et al.). The five sum to 1.0001; without weights, piq uses them as they are.
    shares = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
    weights = x.new_tensor(shares[:scales]) if scales < 5 else None
    return 1 - piq.multi_scale_ssim(x, ref, scale_weights=weights, reduction="none")


_register(
    _spec("ms-ssim", "MS-SSIM", least_side=21, citation="wang2003multiscale"),
    "SSIM over scales, as many of its five as the side allows: two from 21 pixels, three from 41, four from "
    "81, five from 161; the weights of those used are scaled to sum to one.",
    _multi_scale_ssim,
)


def _information_weighted_ssim(ref: Tensor, x: Tensor) -> Tensor:
    """Measure in doubles: inverse covariance matrices in float32 would make an error of 3e-4.

    The distance is 1 where the reference has no information.
    """
    similarity = piq.information_weighted_ssim(x.double(), ref.double(), reduction="none")
    return (1 - similarity.nan_to_num(nan=0.0)).to(x.dtype)


_register(
    _spec("iw-ssim", "IW-SSIM", least_side=161, citation="wang2011information", symmetric=False),
    "MS-SSIM of luminance, each place weighted by the information in the reference there.",
    _information_weighted_ssim,
)

# In float32, the variances of bright, flat areas have an error of about 0.001 (the model of vision adds a
# noise of 2 to them). On photographs this is up to 8e-4 in the distance.
_register(
    _spec(
        "vif",
        "VIF",
        values="up to 1; negative where contrast is higher than in the reference",
        least_side=41,
        citation="sheikh2006image",
        symmetric=False,
        may_be_negative=True,
    ),
    "The share of the information in the reference's luminance that is lost, in the pixel domain; 0 for all "
    "images if the reference is black.",
    lambda ref, x: 1 - piq.vif_p(x, ref, reduction="none"),
)

_register(
    _spec("fsim", "FSIM", least_side=2, citation="zhang2011fsim"),
    "How far phase congruency and gradient magnitude of luminance differ.",
    lambda ref, x: 1 - piq.fsim(x, ref, chromatic=False, reduction="none"),
)

_register(
    _spec("fsimc", "FSIMc", least_side=2, citation="zhang2011fsim"),
    "FSIM with the two chrominance channels of YIQ.",
    lambda ref, x: 1 - piq.fsim(x, ref, chromatic=True, reduction="none"),
)


def _spectral_residual_similarity(ref: Tensor, x: Tensor) -> Tensor:
    """Measure one sample at a time, because piq scales saliency over the batch."""
    pairs = zip(x.split(1), ref.split(1), strict=True)
    return 1 - torch.cat([piq.srsim(*pair, reduction="none") for pair in pairs])


_register(
    _spec("sr-sim", "SR-SIM", least_side=40, citation="zhang2012srsim"),
    "How far gradient magnitude and spectral-residual saliency of luminance differ.",
    _spectral_residual_similarity,
)

_register(
    _spec("gmsd", "GMSD", values="0 to 0.5", least_side=3, citation="xue2014gmsd"),
    "How unevenly the gradient magnitude of luminance differs over the image.",
    lambda ref, x: piq.gmsd(x, ref, reduction="none"),
)

_register(
    _spec("ms-gmsd", "MS-GMSD", values="0 to 0.5", least_side=17, citation="zhang2017gmsd"),
    "GMSD over four scales.",
    lambda ref, x: piq.multi_scale_gmsd(x, ref, chromatic=False, reduction="none"),
)

_register(
    _spec(
        "ms-gmsdc",
        "MS-GMSDc",
        values="0 upwards, rarely above 0.5",
        least_side=17,
        citation="zhang2017gmsd",
    ),
    "MS-GMSD with the error of the two chrominance channels of YIQ.",
    lambda ref, x: piq.multi_scale_gmsd(x, ref, chromatic=True, reduction="none"),
)

# Chrominance is scaled to its full range before its saliency is computed. In grey images that range is only
# rounding error, which becomes part of the saliency: 4e-5 in the distance.
_register(
    _spec("vsi", "VSI", least_side=2, citation="zhang2014vsi"),
    "How far visual saliency, gradient magnitude and chrominance differ; 0 for flat images.",
    lambda ref, x: 1 - piq.vsi(x, ref, reduction="none"),
)


def _subband_similarity(ref: Tensor, x: Tensor) -> Tensor:
    """Measure in doubles; up to 7 rows and columns beyond a multiple of 8 are ignored.

    In float32, the variances of bright, flat areas have an error of up to 4e-4 in the distance, which
    depends on the size of the batch. By rounding, piq's similarity may exceed 1; that is cut off.
    """
    similarity = torch.as_tensor(piq.dss(x.double(), ref.double(), reduction="none"))
    return (1 - similarity.clamp(max=1)).to(x.dtype)


_register(
    _spec("dss", "DSS", least_side=32, citation="balanov2015dss"),
    "How far the local variances of cosine-transform subbands of luminance differ, where they differ most.",
    _subband_similarity,
)

# piq inverts a logistic function near one. So float32 values have an error of up to 1e-5, and nearly black
# images overflow.
_register(
    _spec("haarpsi", "HaarPSI", least_side=16, citation="reisenhofer2018haarpsi"),
    "How far the Haar wavelet coefficients of luminance and chrominance differ.",
    lambda ref, x: 1 - piq.haarpsi(x, ref, reduction="none").clamp(max=1),
)

# The sum of gradient and chromaticity similarity ends in a fourth root. In nearly identical images this turns
# a float32 error of 1e-8 into 0.01.
_register(
    _spec(
        "mdsi",
        "MDSI",
        values="0 upwards, rarely above 0.8",
        least_side=2,
        citation="nafchi2016mdsi",
        symmetric=False,
    ),
    "How unevenly gradient magnitude and chromaticity differ over the image.",
    lambda ref, x: piq.mdsi(x, ref, reduction="none"),
)
