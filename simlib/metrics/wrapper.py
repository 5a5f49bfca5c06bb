"""A metric that measures several views of the images by another metric."""

from __future__ import annotations

from torch import Tensor

from simlib.kernels.batch_independence import sample_rows
from simlib.metrics.metric import Features, Metric, MetricSpec


class Wrapper(Metric):
    """Measures several views of each image by another metric, and combines the distances into one.

    The features of an image, and the memory that a gradient needs, are those of the wrapped metric times
    the number of views.

    Args:
        metric: the metric that measures; it is shared, not copied.
        views: the number of views.
        spec: the spec of the whole.
    """

    def __init__(self, metric: Metric, views: int, spec: MetricSpec) -> None:
        super().__init__()
        self.metric, self.views, self.spec = metric, views, spec

    def look(self, images: Tensor, view: int) -> Features:
        """Compute the features of one view, numbered from 0, of images (N, 3, H, W)."""
        raise NotImplementedError

    def combine(self, distances: Tensor) -> Tensor:
        """Combine the distances in all views (N, views) into one (N,)."""
        raise NotImplementedError

    def embed(self, images: Tensor) -> Features:
        """Return the features of all views, one view after another."""
        return tuple(tensor for view in range(self.views) for tensor in self.look(images, view))

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Measure every view by the wrapped metric and combine the distances (N,)."""
        size = len(features) // self.views
        parts = [slice(start, start + size) for start in range(0, len(features), size)]
        return self.combine(sample_rows([self.metric.compare(reference[p], features[p]) for p in parts]))
