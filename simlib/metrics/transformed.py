"""The average of a metric over random transforms of both images, as in E-LPIPS."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from simlib.kernels.checks import require_count
from simlib.kernels.noise import Draws
from simlib.kernels.settings import own_settings
from simlib.kernels.transforms import LEAST_SIDE, draw_transforms
from simlib.metrics.metric import Features, Metric, MetricSpec, require_metric
from simlib.metrics.registry import Entry, load, register_prefix, spec_of
from simlib.metrics.wrapper import Wrapper

TRANSFORMS = 12
"""With twelve, every flip and every order of the channels occurs equally often."""
DROPPED = 0.01
"""The share of the features that is dropped, as in E-LPIPS."""


class Transformed(Wrapper):
    """Averages a metric over random transforms that reference and image share (Kettunen et al. 2019).

    The transforms are those of E-LPIPS (:mod:`simlib.kernels.transforms`). They are drawn once, and are the
    same for every image and every call. So the distance is deterministic, and its gradient is the mean of
    the gradients over the transforms. An attack on a random metric estimates the same mean (expectation
    over transformations, Athalye et al. 2018). ``Transformed(first.metric, seed=1)`` is the same metric
    with other transforms; an image that fools one of the two may not fool the other.

    If the metric compares features at unit length, as LPIPS does, one feature in a hundred is dropped, the
    same ones in both images. E-LPIPS itself drops features between the layers, has average instead of
    maximum pooling, and has its own weights. Here any metric is used as it is.

    Args:
        metric: the metric to average; it is shared, not copied.
        transforms: number of transforms, at least 1; the time of a measurement is multiplied by it.
        seed: determines the transforms, at least 0.

    Raises:
        InputError: if it is no metric, or a number is not whole, or too small.
    """

    def __init__(self, metric: Metric, *, transforms: int = TRANSFORMS, seed: int = 0) -> None:
        require_metric(metric, "metric")
        require_count("transforms", transforms)
        require_count("seed", seed, 0)
        super().__init__(metric, transforms, _transformed_spec(metric.spec, transforms, seed))
        self.seed = seed
        with own_settings():
            self.transforms = draw_transforms(transforms, seed)
        self._dropped: dict[tuple[int, int], Tensor] = {}

    def look(self, images: Tensor, view: int) -> Features:
        """Compute the features of images (N, 3, H, W) after one of the transforms."""
        features = self.metric.embed(self.transforms[view](images, self.metric.spec.least_side))
        if not self.metric.compares_unit_features:
            return features
        # The features left need no larger scale: the metric scales them to unit length afterwards.
        return tuple(
            tensor.masked_fill(self._mask(tensor, view, layer), 0) for layer, tensor in enumerate(features)
        )

    def combine(self, distances: Tensor) -> Tensor:
        """Return the mean (N,) over the transforms (N, transforms)."""
        return distances.mean(dim=1)

    def _mask(self, features: Tensor, view: int, layer: int) -> Tensor:
        """Return which features (C, H, W) of a layer are dropped; kept until the size of images changes."""
        mask = self._dropped.get((view, layer))
        if mask is None or mask.shape != features.shape[1:] or mask.device != features.device:
            draws = Draws([f"dropped {view} {layer}"], self.seed, features.device)
            mask = draws.uniform(*features.shape[1:])[0] < DROPPED
            self._dropped[view, layer] = mask
        return mask


def _transformed_spec(spec: MetricSpec, transforms: int = TRANSFORMS, seed: int = 0) -> MetricSpec:
    return replace(
        spec,
        name=f"transformed:{spec.name}",
        parts=(spec.name,),
        title=f"Transformed {spec.title}",
        summary=f"{spec.title} averaged over {transforms} random transforms of both images (seed {seed}).",
        least_side=max(spec.least_side, LEAST_SIDE),
        citation="kettunen2019elpips",
        verified="a plain loop over the transforms; no published values",
    )


@register_prefix("transformed")
def _transformed(name: str) -> Entry:
    return _transformed_spec(spec_of(name)), lambda: Transformed(load(name))
