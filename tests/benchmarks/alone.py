"""The side that attacks are measured against: published metrics, called as the paper's code calls them."""

from __future__ import annotations

import importlib
from typing import Any

from torch import Tensor

from simlib.metrics.deep import FeatureDistance
from simlib.triplets import Triplets


def as_published(metric: FeatureDistance) -> Any:
    """Build the same metric from its own package, to be called as the paper's code calls it."""
    if metric.spec.library == "lpips":
        published = importlib.import_module("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
        published.net.load_state_dict(metric.backbone.state_dict())
        return published
    package = importlib.import_module("stlpips_pytorch.stlpips")
    return package.LPIPS(net="alex", variant="shift_tolerant", verbose=False)


def one_at_a_time(triplets: Triplets) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return reference, p0 and p1, (1, 3, H, W) each, of every triplet."""
    return [
        (triplets.ref[i : i + 1], triplets.p0[i : i + 1], triplets.p1[i : i + 1])
        for i in range(len(triplets))
    ]


def symmetric(image: Tensor) -> Tensor:
    """Bring an image from [0, 1] to [-1, 1], in which published code works."""
    return image * 2 - 1
