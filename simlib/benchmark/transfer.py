"""Transfer outside a plan: images that one metric was attacked with, judged by another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simlib.attacks import RankFlip, Ranking
from simlib.attacks.driver import BATCH_SIZE
from simlib.benchmark.shard import judge
from simlib.errors import InputError
from simlib.kernels.checks import require_count
from simlib.kernels.images import validate_alike, validate_images
from simlib.metrics import Metric, require_metric

if TYPE_CHECKING:
    import pandas as pd


def transfer(problem: RankFlip, images: Tensor, metric: Metric, batch_size: int = BATCH_SIZE) -> pd.DataFrame:
    """Let a metric judge images that were made to flip another.

    The images are judged as they are: round them to 8 bits first to judge what a file would hold.

    Args:
        problem: what was attacked, with the metric it was attacked by.
        images: one attacked image for each triplet, (N, 3, H, W) in [0, 1].
        metric: the judge; on the device of the images.
        batch_size: triplets judged at once.

    Returns:
        Rows as a benchmark has them, without what is known of the attack;
        :func:`simlib.benchmark.rates.transfer_rate` counts them.

    Raises:
        InputError: if they are not one image for each triplet, the judge or the batch size refuses, or there
            is no problem or no judge.
    """
    import pandas as pd

    if not isinstance(problem, RankFlip):
        raise InputError(
            f"problem is a {type(problem).__name__}. Give what was attacked: RankFlip(metric, triplets)."
        )
    require_metric(metric, "metric")
    validate_images(images, "images")
    validate_alike(problem.triplets.ref, "ref", images, "images")
    metric.validate(images)
    require_count("batch_size", batch_size)
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(problem), batch_size):
        part = slice(start, start + batch_size)
        triplets = problem.triplets[part]
        source, ranking = Ranking.look(problem.metric, triplets), Ranking.look(metric, triplets)
        attacked_p1 = source.attacks_p1(problem.target)
        parts.append(judge(ranking, images[part], problem.target, attacked_p1, source.p1_closer))
    columns = {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}
    known = {
        "triplet": list(problem.triplets.names),
        "photograph": list(problem.triplets.photographs),
        "judge": problem.triplets.judge.cpu().numpy(),
        "source": problem.metric.spec.name,
        "target": metric.spec.name,
    }
    return pd.DataFrame({**known, **columns})
