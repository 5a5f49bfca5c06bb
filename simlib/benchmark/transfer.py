"""Transfer: images that one metric was attacked with, judged by another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simlib.attacks import RankFlip
from simlib.attacks.driver import BATCH_SIZE
from simlib.attacks.ranking import Ranking
from simlib.benchmark.statistics import Rate, wilson
from simlib.kernels.checks import require_count
from simlib.kernels.images import validate_alike, validate_images
from simlib.metrics import Metric


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
    for start in range(0, len(problem), batch_size):
        part = slice(start, start + batch_size)
        triplets = problem.triplets[part]
        source, judge = Ranking.look(problem.metric, triplets), Ranking.look(metric, triplets)
        same = judge.p1_closer == source.p1_closer
        attacked_p1 = source.attacks_p1(problem.target)
        attacked = judge.with_attacked(images[part], problem.target, attacked_p1)
        agrees.append(same)
        flipped.append(same & judge.is_reversed(*attacked))
    return Transfer(torch.cat(agrees), torch.cat(flipped))
