"""How a metric ranks triplets: every image looked at once, for any number of attacks and judgements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from simlib.errors import UndefinedDistanceError
from simlib.metrics import Features, Metric, narrow, require_metric
from simlib.metrics.timing import announce
from simlib.triplets import Triplets, require_triplets

Target = Literal["closer", "farther", "reference"]


@dataclass(frozen=True)
class Ranking:
    """Triplets that a metric has looked at.

    Attributes:
        metric, names: the metric, and the names of the triplets.
        ref, p0, p1: what it remembers of the references and of the distorted images.
        distance0, distance1: distances (N,) of p0 and of p1 from the references.
    """

    metric: Metric
    names: tuple[str, ...]
    ref: Features
    p0: Features
    p1: Features
    distance0: Tensor
    distance1: Tensor

    @classmethod
    @torch.no_grad()
    def look(
        cls, metric: Metric, triplets: Triplets, others: str = "triplets[is_defined(metric, triplets)]"
    ) -> Ranking:
        """Let a metric look at triplets and rank them; memory grows with their number.

        Args:
            metric: what ranks them.
            triplets: what is ranked.
            others: how to leave out triplets whose distances cannot be compared, for the message.

        Raises:
            InputError: there is no metric, or no triplets, or the metric refuses them.
            UndefinedDistanceError: the distances of a triplet cannot be compared, because one is NaN or both
                are infinite.
        """
        _require(metric, triplets)
        announce(metric, triplets.ref, 2 * len(triplets))
        ref, p0, p1 = (metric.look_at(images) for images in (triplets.ref, triplets.p0, triplets.p1))
        distance0, distance1 = metric.measure(ref, p0), metric.measure(ref, p1)
        require_defined((distance0 - distance1).isnan(), metric, triplets.names, "the images", others)
        return cls(metric, triplets.names, ref, p0, p1, distance0, distance1)

    def __len__(self) -> int:
        return len(self.distance0)

    def __getitem__(self, part: slice) -> Ranking:
        """Return the ranking of consecutive triplets."""
        index = torch.arange(len(self), device=self.distance0.device)[part]
        ref, p0, p1 = (narrow(features, index) for features in (self.ref, self.p0, self.p1))
        distance0, distance1 = self.distance0[part], self.distance1[part]
        return Ranking(self.metric, self.names[part], ref, p0, p1, distance0, distance1)

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
        Distances that cannot be compared are refused as by :meth:`look`.
        """
        features = self.metric.look_at(images)
        if target == "reference":
            first, second = (self.metric.measure(features, image) for image in (self.p0, self.p1))
        else:
            attacked = self.metric.measure(self.ref, features)
            first = torch.where(attacked_p1, self.distance0, attacked)
            second = torch.where(attacked_p1, attacked, self.distance1)
        require_defined((first - second).isnan(), self.metric, self.names, "the attacked images")
        return first, second

    def is_reversed(self, distance0: Tensor, distance1: Tensor) -> Tensor:
        """Say where these distances rank the two images strictly the other way round, (N,)."""
        return torch.where(self.p1_closer, distance1 > distance0, distance0 > distance1)


@torch.no_grad()
def is_defined(metric: Metric, triplets: Triplets) -> Tensor:
    """Say for which triplets, (N,), a metric gives two distances that can be compared.

    Raises:
        InputError: there is no metric, or no triplets, or the metric refuses them.
    """
    _require(metric, triplets)
    ref, p0, p1 = (metric.look_at(images) for images in (triplets.ref, triplets.p0, triplets.p1))
    return ~(metric.measure(ref, p0) - metric.measure(ref, p1)).isnan()


def _require(metric: Metric, triplets: Triplets) -> None:
    """Refuse, by an InputError, what is no metric, no triplets, or triplets that the metric refuses."""
    require_metric(metric, "metric")
    require_triplets(triplets)
    metric.validate(triplets.ref)


def require_defined(
    undefined: Tensor, metric: Metric, names: Sequence[str], images: str, others: str = ""
) -> None:
    """Refuse, by an UndefinedDistanceError, samples (N,) for which a metric has given NaN.

    A comparison with NaN is false: such a metric would pass for one that nothing flips.

    Args:
        undefined: which samples.
        metric: what has given NaN.
        names: of the samples.
        images: what it was asked about, in words.
        others: an expression that leaves these samples out, if there is one.
    """
    places = undefined.nonzero().flatten().tolist()
    if places:
        raise UndefinedDistanceError(
            f"{metric.spec.title} gives NaN, or two infinite distances, for {images} of {len(places)} of "
            f"{len(names)} triplets, the first {names[places[0]]!r}. So it ranks nothing there, and would "
            f"pass for robust. Mend the metric, or leave these triplets out{f': {others}' if others else ''}."
        )
