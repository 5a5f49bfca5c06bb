"""PieAPP: a score learned from which of two distorted images people prefer (Prashnani et al. 2018)."""

from __future__ import annotations

import torch
from piq.functional import crop_patches
from piq.pieapp import PieAPPModel
from torch import Tensor

from simlib.metrics import weights
from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import register

_SIDE, _STRIDE = 64, 27
"""Side and distance of the patches, in pixels: those of the training, and of its authors' sparse sampling."""


class PreferenceScore(Metric):
    """Weighted mean, over patches, of the score that a network gives to a difference of features.

    Patches of 64 pixels begin every 27 pixels. Pixels at the right and at the bottom that no patch reaches
    are ignored. Scores and patch weights may be negative.
    """

    def __init__(self, model: PieAPPModel) -> None:
        super().__init__()
        self.model = model

    def embed(self, images: Tensor) -> Features:
        """Return the features of every patch, (N, P, 120832), and those of its weight, (N, P, 2048)."""
        patches = crop_patches(images * 255, size=_SIDE, stride=_STRIDE)
        return tuple(features.unflatten(0, (len(images), -1)) for features in self.model(patches))

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Return the score of the difference (N,)."""
        difference, weighing = (ref - x for ref, x in zip(reference, features, strict=True))
        scores, patch_weights = self.model.compute_difference(difference, weighing)
        return (scores * patch_weights).sum(dim=(1, 2)) / patch_weights.sum(dim=(1, 2))


@register(
    MetricSpec(
        "pieapp",
        "PieAPP",
        "learned",
        "How likely people prefer the reference, learned from pairs; patches of 64 pixels, every 27.",
        values="about 0 for identical images; may be negative",
        least_side=_SIDE,
        weights=("pieapp",),
        library="piq",
        licence="Apache-2.0; weights without a stated licence, trained on data for non-commercial use",
        citation="prashnani2018pieapp",
        verified="the package piq with random weights; not verified against published values",
        symmetric=False,
        may_be_negative=True,
    )
)
def pieapp() -> Metric:
    """Build PieAPP."""
    # On the device "meta" nothing is drawn at random.
    with torch.device("meta"):
        model = PieAPPModel()
    # The published file has a vector where piq's linear layer has a matrix of one row.
    state = {
        key: torch.atleast_2d(value) if key == "ref_score_subtract.weight" else value
        for key, value in weights.load("pieapp").items()
    }
    weights.fill(model.to_empty(device="cpu"), state, source="pieapp")
    return PreferenceScore(model)
