"""A metric that measures several views of the images by another metric."""

from __future__ import annotations

import torch
from torch import Tensor

from simlib.metrics.metric import Features, Metric, MetricSpec


class Wrapper(Metric):
    """Looks at each image several times, measures each time, and makes one distance of them.

    What is remembered of an image, and the memory that a gradient needs, is that of the wrapped metric
    times the number of views.

    Args:
        metric: the metric that measures; it is shared, not copied.
        views: how many looks there are.
        spec: what is said of the whole.
    """

    def __init__(self, metric: Metric, views: int, spec: MetricSpec) -> None:
        super().__init__()
        self.metric, self.views, self.spec = metric, views, spec

    def look(self, images: Tensor, view: int) -> Features:
        """Look at images (N, 3, H, W) in one of the views, numbered from 0."""
        raise NotImplementedError

    def combine(self, distances: Tensor) -> Tensor:
        """Make one distance (N,) of those in all views (N, views)."""
        raise NotImplementedError

    def embed(self, images: Tensor) -> Features:
        """Return what the wrapped metric remembers of one view after another."""
        return tuple(tensor for view in range(self.views) for tensor in self.look(images, view))

    def compare(self, reference: Features, features: Features) -> Tensor:
        """Measure every view by the wrapped metric and combine the distances (N,)."""
        size = len(features) // self.views
        parts = [slice(start, start + size) for start in range(0, len(features), size)]
        distances = [self.metric.compare(reference[p], features[p]) for p in parts]
        # A sample to a row: sums down the columns round otherwise in the last columns of a batch.
        return self.combine(torch.stack(distances, dim=1))
