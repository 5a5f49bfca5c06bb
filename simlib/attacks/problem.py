"""What is attacked: an image whose change is to flip the order in which a metric ranks two images."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import get_args

import torch
from torch import Tensor

from simlib.attacks.ranking import Ranking, Target, require_defined
from simlib.errors import InputError, unknown_name
from simlib.kernels.images import validate_alike, validate_images
from simlib.kernels.projection import per_sample
from simlib.metrics import Features, Metric, narrow, require_metric
from simlib.triplets import Index, Triplets, require_triplets


@dataclass(frozen=True)
class RankFlip:
    """Make a metric reverse its ranking of two images by changing one image of the triplet.

    The metric itself says which image is closer: p0 unless it measures p1 as strictly closer. So no
    rank is flipped before an attack. Two equal images are a tie, which is no flip: the margin is 0, and
    any change that the metric notices flips it. Images that are not of 8 bits may be flipped by rounding
    alone; under the strict protocol that is a flip without a step. Nothing is measured when the problem is
    made; :meth:`batch` returns what is ready to be attacked.

    Attributes:
        metric: the metric under attack.
        triplets: the images.
        target: the image to change: the ``"closer"`` one (Ghildyal & Liu 2023), the ``"farther"`` one
            (their reverse attack), or the ``"reference"``.
    """

    metric: Metric
    triplets: Triplets
    target: Target = "closer"

    def __post_init__(self) -> None:
        if self.target not in get_args(Target):
            raise unknown_name("target", str(self.target), get_args(Target))
        require_metric(self.metric, "metric")
        require_triplets(self.triplets)
        if len(self.triplets) == 0:
            raise InputError("There is no triplet to attack. Give at least one.")
        self.metric.validate(self.triplets.ref)

    def __len__(self) -> int:
        return len(self.triplets)

    def __getitem__(self, index: Index) -> RankFlip:
        """Return the problem for a part of the triplets; see :meth:`Triplets.__getitem__`."""
        return RankFlip(self.metric, self.triplets[index], self.target)

    def batch(self, start: int = 0, stop: int | None = None) -> FlipBatch:
        """Return triplets from ``start`` up to ``stop``, all by default, as a batch ready to be attacked."""
        triplets = self.triplets if (start, stop) == (0, None) else self.triplets[start:stop]
        return FlipBatch.prepare(Ranking.look(self.metric, triplets), triplets, self.target)

    def margin(self, images: Tensor) -> Tensor:
        """Measure by how much candidates (N, 3, H, W) in [0, 1] flip the rank, (N,): positive where they do.

        Raises:
            InputError: they are not images, or not one for each triplet.
        """
        validate_images(images, "images")
        validate_alike(self.triplets.ref, "ref", images, "images")
        return self.batch().margin(images)


@dataclass(frozen=True)
class RankedFlip(RankFlip):
    """A problem whose metric has looked at the triplets already, for several attacks on the same ones.

    The ranking stays in memory for as long as the problem does. A part of the problem is an ordinary one.
    """

    ranking: Ranking = field(kw_only=True)

    def batch(self, start: int = 0, stop: int | None = None) -> FlipBatch:
        """Return triplets from ``start`` up to ``stop``, all by default; nothing is looked at again."""
        part = slice(start, stop)
        if part.indices(len(self)) == (0, len(self), 1):
            return FlipBatch.prepare(self.ranking, self.triplets, self.target)
        return FlipBatch.prepare(self.ranking[part], self.triplets[part], self.target)


@dataclass(frozen=True)
class FlipBatch:
    """One batch of a rank-flip problem, with every image looked at that will not change.

    Attributes:
        metric, names: the metric under attack, and the names of the triplets.
        original: the images to change (N, 3, H, W), as they are before the attack.
        fixed: what the metric remembers of the images that do not change.
        other: distance (N,) of the image that is not attacked; NaN when the reference is.
        target: which image is attacked.
        position: (N,) where the samples stand in the batch as it was prepared.
        undefined: for that whole batch, how often a margin or a gradient was NaN; narrowed batches share it.
    """

    metric: Metric
    names: tuple[str, ...]
    original: Tensor
    fixed: tuple[Features, ...]
    other: Tensor
    target: Target
    position: Tensor
    undefined: Tensor

    @classmethod
    def prepare(cls, ranking: Ranking, triplets: Triplets, target: Target) -> FlipBatch:
        """Pick, by the metric's own ranking of the triplets, what is attacked and what will not change."""
        p1_closer = ranking.p1_closer
        position = torch.arange(len(triplets), device=p1_closer.device)
        counters = position, torch.zeros_like(position)
        if target == "reference":
            p0, p1 = ranking.p0, ranking.p1
            fixed = (_choose(p1_closer, p1, p0), _choose(p1_closer, p0, p1))
            other = torch.full_like(ranking.distance0, torch.nan)
            return cls(ranking.metric, triplets.names, triplets.ref, fixed, other, target, *counters)
        attacks_p1 = ranking.attacks_p1(target)
        (original,) = _choose(attacks_p1, (triplets.p1,), (triplets.p0,))
        other = torch.where(attacks_p1, ranking.distance0, ranking.distance1)
        return cls(ranking.metric, triplets.names, original, (ranking.ref,), other, target, *counters)

    def __len__(self) -> int:
        return len(self.names)

    def distances(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Measure the distances (N,) of the image that was closer, and of the one that was farther.

        Candidates (N, 3, H, W) in [0, 1], trusted for speed, take the place of the attacked images. The rank
        is flipped when the first distance exceeds the second.
        """
        features = self.metric.look_at(images)
        if self.target == "reference":
            closer, farther = (self.metric.measure(features, image) for image in self.fixed)
        else:
            distance = self.metric.measure(self.fixed[0], features)
            closer, farther = (distance, self.other) if self.target == "closer" else (self.other, distance)
        self.note_undefined(closer.detach() - farther.detach())
        return closer, farther

    def margin(self, images: Tensor) -> Tensor:
        """Measure by how much the rank is flipped, (N,): positive exactly when it is, 0 for a tie."""
        closer, farther = self.distances(images)
        return closer - farther

    @torch.no_grad()
    def flips(self, images: Tensor) -> Tensor:
        """Say which ranks are flipped, (N,), without keeping anything for a gradient."""
        return self.margin(images) > 0

    def note_undefined(self, values: Tensor) -> None:
        """Note which of the samples have a NaN among their values (N, ...); an accelerator does not wait."""
        # One pass: a sum is NaN where a value is, or where infinities of both signs are.
        found = (values.flatten(1).sum(dim=1) if values.dim() > 1 else values).isnan()
        self.undefined.index_add_(0, self.position, found.long())

    def require_defined(self, attack: str) -> None:
        """Refuse, by an UndefinedDistanceError, a whole batch of which a sample was noted."""
        tried = f"images that {attack} tried, as their value or as its gradient,"
        require_defined(self.undefined > 0, self.metric, self.names, tried)

    def narrow(self, index: Tensor) -> FlipBatch:
        """Keep the samples at these positions (an integer tensor) only."""
        names = tuple(self.names[position] for position in index.tolist())
        fixed = tuple(narrow(features, index) for features in self.fixed)
        original, other = self.original.index_select(0, index), self.other.index_select(0, index)
        position = self.position.index_select(0, index)
        return replace(self, names=names, original=original, fixed=fixed, other=other, position=position)


def _choose(condition: Tensor, yes: Features, no: Features) -> Features:
    """Take each sample from ``yes`` where the condition (N,) holds, else from ``no``."""
    return tuple(torch.where(per_sample(condition, a), a, b) for a, b in zip(yes, no, strict=True))
