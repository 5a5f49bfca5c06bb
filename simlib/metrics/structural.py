"""Metrics that compare local statistics, edges and saliency; none needs weights.

All of them are computed by libraries, and turned into distances: zero for identical images, lower means
more similar. The package piq checks the range of its input, which makes an accelerator wait at each step.
"""

from __future__ import annotations

import importlib
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
from simlib.metrics.registry import register

Measure = Callable[[Tensor, Tensor], Tensor]
"""The distance (N,) from references (N, 3, H, W) to distorted images of the same shape."""

_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""How much each scale counts, from fine to coarse (Wang, Simoncelli & Bovik 2003)."""

_LUMINANCE = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the luminance of Rec. ITU-R BT.601."""


class LibraryDistance(Metric):
    """A distance that a library computes from both images at once.

    What libraries leave open is settled here: gradients are finite, computation is in the precision of
    the images, float noise outside [0, 1] is cut off, and identical images are at distance zero, where
    the arithmetic of some libraries gives a few millionths or, for black images, infinity.

    Args:
        measure: the library's distance from the references to the distorted images.
    """

    def __init__(self, measure: Measure) -> None:
        super().__init__()
        self._measure = measure

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the distance (N,)."""
        references, images = within_range(reference[0]), within_range(features[0])
        if len(images) == 0:
            return images.sum(dim=(1, 2, 3))
        with finite_gradients(), keep_precision(images.dtype):
            distance = self._measure(references, images)
        differs = (references != images).flatten(1).any(dim=1)
        return distance.where(differs, 0)


class NormalizedLaplacianDistance(Metric):
    """NLPD: differences between the bands of a Laplacian pyramid under local gain control, of luminance.

    The root mean square difference of each of six bands, averaged (Laparra et al. 2016).

    Args:
        pyramid: ``normalized_laplacian_pyramid`` of the package plenoptic.
    """

    def __init__(self, pyramid: Callable[[Tensor], list[Tensor]]) -> None:
        super().__init__()
        self._pyramid = pyramid

    def embed(self, images: Tensor) -> Features:
        """Return the bands of the luminance, from fine to coarse, (N, 1, H', W') each."""
        shares = images.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
        return tuple(self._pyramid((images * shares).sum(dim=1, keepdim=True)))

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the mean over bands of the root mean square difference (N,)."""
        errors = [(a - b).square().mean(dim=(1, 2, 3)) for a, b in zip(reference, features, strict=True)]
        with finite_gradients():
            # A sample to a row: sums down the columns round otherwise in the last columns of a batch.
            return torch.stack(errors, dim=1).sqrt().mean(dim=1)


_piq_spec = partial(
    MetricSpec,
    family="structural",
    values="0 to 1",
    library="piq",
    licence="Apache-2.0",
    verified="the package piq",
)


def _register(spec: MetricSpec) -> Callable[[Measure], Measure]:
    """Enter the decorated function in the register, as a metric."""

    def enter(measure: Measure) -> Measure:
        register(spec)(lambda: LibraryDistance(measure))
        return measure

    return enter


@_register(
    _piq_spec(
        name="ssim",
        title="SSIM",
        summary="How far local means, variances and covariances differ: (1 - SSIM) / 2.",
        least_side=11,
        citation="wang2004ssim",
        verified="the package piq; scikit-image",
    )
)
def ssim(reference: Tensor, x: Tensor) -> Tensor:
    """(1 - SSIM) / 2 with the 11x11 Gaussian window of Wang et al. (2004), averaged over channels.

    As they advise, images of 384 pixels and more are first averaged down to about 256. In float32,
    variances of bright, flat areas carry a noise that reaches 5e-5 in the distance.
    """
    similarity = piq.ssim(x, reference, reduction="none")
    return (1 - similarity) / 2  # pyright: ignore[reportOperatorIssue]


@_register(
    _piq_spec(
        name="ms-ssim",
        title="MS-SSIM",
        summary="SSIM over scales, as many of its five as the side allows: two from 21 pixels, three from "
        "41, four from 81, five from 161; the weights of those used are scaled to sum to one.",
        least_side=21,
        citation="wang2003multiscale",
    )
)
def multi_scale_ssim(reference: Tensor, x: Tensor) -> Tensor:
    """1 - MS-SSIM (Wang, Simoncelli & Bovik 2003); a whole number of 11x11 windows must fit at each scale."""
    scales = min(5, 1 + int(math.log2((min(x.shape[-2:]) - 1) / 10)))
    # With all five, the weights of the paper sum to 1.0001, and the library leaves them so.
    weights = x.new_tensor(_SCALE_WEIGHTS[:scales]) if scales < 5 else None
    return 1 - piq.multi_scale_ssim(x, reference, scale_weights=weights, reduction="none")


@_register(
    _piq_spec(
        name="iw-ssim",
        title="IW-SSIM",
        summary="MS-SSIM of luminance, weighted by how much information each place of the reference holds.",
        least_side=161,
        citation="wang2011information",
        symmetric=False,
    )
)
def information_weighted_ssim(reference: Tensor, x: Tensor) -> Tensor:
    """1 - IW-SSIM (Wang & Li 2011); 1 where there is no information to weigh by.

    In doubles: it inverts covariance matrices, and their float32 noise would be 3e-4 in the distance.
    """
    similarity = piq.information_weighted_ssim(x.double(), reference.double(), reduction="none")
    return (1 - similarity.nan_to_num(nan=0.0)).to(x.dtype)


@_register(
    _piq_spec(
        name="vif",
        title="VIF",
        summary="The share of the information in the reference's luminance that is lost, in the pixel "
        "domain; 0 for all images if the reference is black.",
        values="up to 1; negative where contrast is higher than in the reference",
        least_side=41,
        citation="sheikh2006image",
        symmetric=False,
        may_be_negative=True,
    )
)
def visual_information(reference: Tensor, x: Tensor) -> Tensor:
    """1 - VIF in the pixel domain (Sheikh & Bovik 2006).

    In float32, variances of bright, flat areas carry a noise of about 0.001, beside the 2 that stand for
    the noise of vision; on photographs it reaches 8e-4 in the distance.
    """
    return 1 - piq.vif_p(x, reference, reduction="none")


@_register(
    _piq_spec(
        name="fsim",
        title="FSIM",
        summary="How far phase congruency and gradient magnitude of luminance differ.",
        least_side=2,
        citation="zhang2011fsim",
    )
)
def feature_similarity(reference: Tensor, x: Tensor) -> Tensor:
    """1 - FSIM (Zhang et al. 2011) without colour."""
    return 1 - piq.fsim(x, reference, chromatic=False, reduction="none")


@_register(
    _piq_spec(
        name="fsimc",
        title="FSIMc",
        summary="FSIM with the two chrominance channels of YIQ.",
        least_side=2,
        citation="zhang2011fsim",
    )
)
def feature_similarity_in_colour(reference: Tensor, x: Tensor) -> Tensor:
    """1 - FSIMc (Zhang et al. 2011)."""
    return 1 - piq.fsim(x, reference, chromatic=True, reduction="none")


@_register(
    _piq_spec(
        name="sr-sim",
        title="SR-SIM",
        summary="How far gradient magnitude and spectral-residual saliency of luminance differ.",
        least_side=40,
        citation="zhang2012srsim",
    )
)
def spectral_residual_similarity(reference: Tensor, x: Tensor) -> Tensor:
    """1 - SR-SIM (Zhang & Li 2012), one sample at a time: the library scales saliency over the batch."""
    pairs = zip(x.split(1), reference.split(1), strict=True)
    return 1 - torch.cat([piq.srsim(*pair, reduction="none") for pair in pairs])


@_register(
    _piq_spec(
        name="gmsd",
        title="GMSD",
        summary="How unevenly the gradient magnitude of luminance differs over the image.",
        values="0 to 0.5",
        least_side=3,
        citation="xue2014gmsd",
    )
)
def gradient_deviation(reference: Tensor, x: Tensor) -> Tensor:
    """GMSD (Xue et al. 2014): the standard deviation of the similarity of gradient magnitudes."""
    return piq.gmsd(x, reference, reduction="none")


@_register(
    _piq_spec(
        name="ms-gmsd",
        title="MS-GMSD",
        summary="GMSD over four scales.",
        values="0 to 0.5",
        least_side=17,
        citation="zhang2017gmsd",
    )
)
def multi_scale_gradient_deviation(reference: Tensor, x: Tensor) -> Tensor:
    """MS-GMSD (Zhang, Sander & Bermak 2017) without colour."""
    return piq.multi_scale_gmsd(x, reference, chromatic=False, reduction="none")


@_register(
    _piq_spec(
        name="ms-gmsdc",
        title="MS-GMSDc",
        summary="MS-GMSD with the error of the two chrominance channels of YIQ.",
        values="0 upwards, rarely above 0.5",
        least_side=17,
        citation="zhang2017gmsd",
    )
)
def multi_scale_gradient_deviation_in_colour(reference: Tensor, x: Tensor) -> Tensor:
    """MS-GMSDc (Zhang, Sander & Bermak 2017)."""
    return piq.multi_scale_gmsd(x, reference, chromatic=True, reduction="none")


@_register(
    _piq_spec(
        name="vsi",
        title="VSI",
        summary="How far visual saliency, gradient magnitude and chrominance differ; 0 for flat images.",
        least_side=2,
        citation="zhang2014vsi",
    )
)
def visual_saliency_similarity(reference: Tensor, x: Tensor) -> Tensor:
    """1 - VSI (Zhang, Shen & Li 2014).

    Chrominance is stretched to its full range before saliency is taken from it. In grey images that
    range is noise of the arithmetic, and so is part of their saliency: 4e-5 in the distance.
    """
    return 1 - piq.vsi(x, reference, reduction="none")


@_register(
    _piq_spec(
        name="dss",
        title="DSS",
        summary="How far the local variances of cosine-transform subbands of luminance differ, "
        "where they differ most.",
        least_side=32,
        citation="balanov2015dss",
    )
)
def subband_similarity(reference: Tensor, x: Tensor) -> Tensor:
    """1 - DSS (Balanov et al. 2015); up to 7 rows and columns beyond a multiple of 8 are not looked at.

    In doubles: in float32, variances of bright, flat areas carry a noise that reaches 4e-4 in the distance
    and differs from one size of the batch to another. The library's similarity may still exceed 1 by
    rounding; that is cut off.
    """
    similarity = piq.dss(x.double(), reference.double(), reduction="none")
    return (1 - similarity.clamp(max=1)).to(x.dtype)  # pyright: ignore[reportAttributeAccessIssue]


@_register(
    _piq_spec(
        name="haarpsi",
        title="HaarPSI",
        summary="How far the Haar wavelet coefficients of luminance and chrominance differ.",
        least_side=16,
        citation="reisenhofer2018haarpsi",
    )
)
def haar_similarity(reference: Tensor, x: Tensor) -> Tensor:
    """1 - HaarPSI (Reisenhofer et al. 2018).

    The library inverts a logistic function near one: its float32 values carry an error of up to 1e-5, and
    nearly black images overflow.
    """
    return 1 - piq.haarpsi(x, reference, reduction="none").clamp(max=1)


@_register(
    _piq_spec(
        name="mdsi",
        title="MDSI",
        summary="How unevenly gradient magnitude and chromaticity differ over the image.",
        values="0 upwards, rarely above 0.8",
        least_side=2,
        citation="nafchi2016mdsi",
        symmetric=False,
    )
)
def mean_deviation_similarity(reference: Tensor, x: Tensor) -> Tensor:
    """MDSI (Nafchi et al. 2016), with gradient and chromaticity similarity added.

    It ends in a fourth root, which makes 0.01 of float32 noise of 1e-8 in nearly identical images.
    """
    return piq.mdsi(x, reference, reduction="none")


@register(
    MetricSpec(
        name="nlpd",
        title="NLPD",
        family="structural",
        summary="How far the bands of a Laplacian pyramid of luminance differ after local gain control.",
        values="0 upwards, rarely above 1.5",
        least_side=33,
        library="plenoptic",
        licence="MIT",
        citation="laparra2016perceptual",
        verified="the package plenoptic",
    )
)
def normalized_laplacian_distance() -> Metric:
    """Build NLPD (Laparra et al. 2016)."""
    process = importlib.import_module("plenoptic.process")
    return NormalizedLaplacianDistance(process.normalized_laplacian_pyramid)
