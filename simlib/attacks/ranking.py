"""How a metric ranks triplets: every image looked at once, for any number of attacks and judgements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from simlib.kernels.device import exact_convolutions
from simlib.metrics import Features, Metric, narrow
from simlib.metrics.timing import announce
from simlib.triplets import Triplets

Target = Literal["closer", "farther", "reference"]


@dataclass(frozen=True)
class Ranking:
    """Triplets that a metric has looked at.

    Attributes:
        metric: the metric.
        ref, p0, p1: what it remembers of the references and of the distorted images.
        distance0, distance1: distances (N,) of p0 and of p1 from the references.
    """

    metric: Metric
    ref: Features
    p0: Features
    p1: Features
    distance0: Tensor
    distance1: Tensor

    @classmethod
    @torch.no_grad()
    def look(cls, metric: Metric, triplets: Triplets) -> Ranking:
        """Let a metric look at triplets and rank them; memory grows with their number."""
        announce(metric, triplets.ref, 2 * len(triplets))
        with exact_convolutions():
            ref, p0, p1 = (metric.look_at(images) for images in (triplets.ref, triplets.p0, triplets.p1))
            return cls(metric, ref, p0, p1, metric.measure(ref, p0), metric.measure(ref, p1))

    def __len__(self) -> int:
        return len(self.distance0)

    def __getitem__(self, part: slice) -> Ranking:
        """Return the ranking of consecutive triplets."""
        index = torch.arange(len(self), device=self.distance0.device)[part]
        ref, p0, p1 = (narrow(features, index) for features in (self.ref, self.p0, self.p1))
        return Ranking(self.metric, ref, p0, p1, self.distance0[part], self.distance1[part])

    @property
    def p1_closer(self) -> Tensor:
        """Which image is closer, (N,): p1 where True; p0 where False, and where both are equally close."""
        return self.distance0 > self.distance1

    def attacks_p1(self, target: Target) -> Tensor:
        """Say where p1 is the image that an attack on this metric changes, (N,); p0 elsewhere."""
        return ~self.p1_closer if target == "farther" else self.p1_closer

    @torch.no_grad()
    def with_attacked(self, images: Tensor, target: Target, attacked_p1: Tensor) -> tuple[Tensor, Tensor]:
        """Measure both distances, (N,) each, with attacked images (N, 3, H, W), trusted for speed, in place.

        They take the place of the reference if that was the target, else of p1 where ``attacked_p1`` (N,).
        """
        with exact_convolutions():
            features = self.metric.look_at(images)
            if target == "reference":
                return self.metric.measure(features, self.p0), self.metric.measure(features, self.p1)
            attacked = self.metric.measure(self.ref, features)
        first = torch.where(attacked_p1, self.distance0, attacked)
        return first, torch.where(attacked_p1, attacked, self.distance1)

    def is_reversed(self, distance0: Tensor, distance1: Tensor) -> Tensor:
        """Say where these distances rank the two images strictly the other way round, (N,)."""
        return torch.where(self.p1_closer, distance1 > distance0, distance0 > distance1)
