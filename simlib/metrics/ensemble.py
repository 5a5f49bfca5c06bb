"""The average of a metric over random transforms of both images, after E-LPIPS."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from simlib.kernels.checks import require_count
from simlib.kernels.noise import Draws
from simlib.kernels.transforms import LEAST_SIDE, draw_transforms
from simlib.metrics.deep import FeatureDistance
from simlib.metrics.metric import Features, Metric, MetricSpec
from simlib.metrics.registry import Entry, load, register_prefix, spec_of
from simlib.metrics.wrapper import Wrapper

TRANSFORMS = 12
"""As many as give every flip and every order of the channels equally often."""

DROPPED = 0.01
"""The share of the features that is dropped, that of E-LPIPS."""


class Ensemble(Wrapper):
    """Averages a metric over random transforms that reference and image share (Kettunen et al. 2019).

    The transforms are those of E-LPIPS (:mod:`simlib.kernels.transforms`), drawn once: they are the same
    for every image and every call, so the distance is deterministic, and its gradient is the mean of the
    gradients over the transforms, which is what an attack on the random metric estimates (expectation
    over transformations, Athalye et al. 2018). ``Ensemble(first.metric, seed=1)`` is the same metric
    with other draws; an image that fools one of them need not fool the other.

    Where the metric compares features at unit length, as LPIPS does, one in a hundred is dropped, the
    same ones in both images. E-LPIPS drops them between the layers, has average instead of maximum
    pooling, and trained its weights anew; here any metric is taken as it is.

    The reference is remembered once for each transform, and so is everything that a gradient needs.

    Args:
        metric: the metric to average; it is shared, not copied.
        transforms: how many are drawn, at least 1; measuring takes as many times as long.
        seed: decides the transforms.

    Raises:
        InputError: if the number of transforms is not a whole number above zero.
    """

    def __init__(self, metric: Metric, *, transforms: int = TRANSFORMS, seed: int = 0) -> None:
        require_count("transforms", transforms)
        super().__init__(metric, transforms, _ensemble_spec(metric.spec, transforms, seed))
        self.seed = seed
        self.transforms = draw_transforms(transforms, seed)
        self._dropped: dict[tuple[int, int], Tensor] = {}

    def look(self, images: Tensor, view: int) -> Features:
        """Look at images (N, 3, H, W) after one of the transforms."""
        features = self.metric.embed(self.transforms[view](images, self.metric.spec.least_side))
        if not isinstance(self.metric, FeatureDistance):
            return features
        # Lengths are brought to one afterwards, so nothing need be scaled up for what is dropped.
        return tuple(
            tensor.masked_fill(self._mask(tensor, view, layer), 0) for layer, tensor in enumerate(features)
        )

    def combine(self, distances: Tensor) -> Tensor:
        """Return the mean (N,) over the transforms (N, transforms)."""
        return distances.mean(dim=1)

    def _mask(self, features: Tensor, view: int, layer: int) -> Tensor:
        """Say which features (C, H, W) of one layer are dropped; kept until the size of images changes."""
        mask = self._dropped.get((view, layer))
        if mask is None or mask.shape != features.shape[1:] or mask.device != features.device:
            # A mask made while nothing may be differentiated would be of no use when something is.
            with torch.inference_mode(False):
                draws = Draws([f"dropped {view} {layer}"], self.seed, features.device)
                mask = draws.uniform(*features.shape[1:])[0] < DROPPED
            self._dropped[view, layer] = mask
        return mask


def _ensemble_spec(spec: MetricSpec, transforms: int = TRANSFORMS, seed: int = 0) -> MetricSpec:
    """Describe the ensemble of a metric; what is not said anew is as the metric has it."""
    return replace(
        spec,
        name=f"ensemble:{spec.name}",
        title=f"Ensemble of {spec.title}",
        summary=f"{spec.title} averaged over {transforms} random transforms of both images (seed {seed}).",
        least_side=max(spec.least_side, LEAST_SIDE),
        citation="kettunen2019elpips",
        verified="a plain loop over the transforms; no published values",
    )


@register_prefix("ensemble")
def _ensemble(name: str) -> Entry:
    """Have ``ensemble:NAME`` stand for the metric of that name, wrapped."""
    return _ensemble_spec(spec_of(name)), lambda: Ensemble(load(name))
