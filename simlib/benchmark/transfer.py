"""Transfer: images that one metric was attacked with, judged by another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simlib.attacks import RankFlip, Target
from simlib.attacks.driver import BATCH_SIZE
from simlib.benchmark.statistics import Rate, wilson
from simlib.kernels.checks import require_count
from simlib.kernels.device import exact_convolutions
from simlib.kernels.images import validate_alike, validate_images
from simlib.metrics import Metric
from simlib.triplets import Triplets


@dataclass(frozen=True)
class Transfer:
    """What attacked images do to a metric that they were not made on.

    A metric that ranks the unattacked images the other way round from the start cannot be flipped, and
    does not count. Where the attacked metric is right about every triplet, those that agree are those
    that Ghildyal & Liu (2023) call accurate.

    Attributes:
        agrees: (N,) whether the metric ranks the unattacked images as the attacked metric does.
        flipped: (N,) whether it agrees, and the attacked image flips its rank.
    """

    agrees: Tensor
    flipped: Tensor

    @property
    def rate(self) -> Rate | None:
        """The share of flips among the triplets on which the metrics agree; None if there is none."""
        agreeing = int(self.agrees.sum())
        return wilson(int(self.flipped.sum()), agreeing) if agreeing else None


def transfer(problem: RankFlip, images: Tensor, metric: Metric, batch_size: int = BATCH_SIZE) -> Transfer:
    """Let a metric judge images that were made to flip another.

    The images are judged as they are: round them to 8 bits first to judge what a file would hold.

    Args:
        problem: what was attacked, with the metric it was attacked by.
        images: one attacked image for each triplet, (N, 3, H, W) in [0, 1].
        metric: the judge; on the device of the images.
        batch_size: triplets judged at once; bounds the memory.

    Raises:
        InputError: if they are not images, not one for each triplet, or not what the judge accepts; or if
            the batch size is not a whole number above zero.
    """
    validate_images(images, "images")
    validate_alike(problem.triplets.ref, "ref", images, "images")
    metric.validate(images)
    require_count("batch_size", batch_size)
    agrees, flipped = [], []
    with torch.no_grad(), exact_convolutions():
        for start in range(0, len(problem), batch_size):
            part = slice(start, start + batch_size)
            triplets = problem.triplets[part]
            p1_closer, margin = _judge(metric, triplets, images[part], problem.target)
            same = p1_closer == _finds_p1_closer(problem.metric, triplets)
            agrees.append(same)
            flipped.append(same & (margin > 0))
    return Transfer(torch.cat(agrees), torch.cat(flipped))


def _finds_p1_closer(metric: Metric, triplets: Triplets) -> Tensor:
    ref, p0, p1 = (metric.embed(images) for images in (triplets.ref, triplets.p0, triplets.p1))
    return metric.compare(ref, p0) > metric.compare(ref, p1)


def _judge(metric: Metric, triplets: Triplets, images: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Return whether p1 was closer before the attack, and the margin after it, (N,) each."""
    ref, p0, p1, attacked = (metric.embed(each) for each in (triplets.ref, triplets.p0, triplets.p1, images))
    distance0, distance1 = metric.compare(ref, p0), metric.compare(ref, p1)
    p1_closer = distance0 > distance1
    if target == "reference":
        distance0, distance1 = metric.compare(attacked, p0), metric.compare(attacked, p1)
    closer = torch.where(p1_closer, distance1, distance0)
    farther = torch.where(p1_closer, distance0, distance1)
    if target == "closer":
        closer = metric.compare(ref, attacked)
    elif target == "farther":
        farther = metric.compare(ref, attacked)
    return p1_closer, closer - farther
