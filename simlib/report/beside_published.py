"""Our results of PGD beside the published ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simlib.attacks import AttackResult, RankFlip
from simlib.benchmark.statistics import Rate, rate
from simlib.kernels.images import LEVELS
from simlib.kernels.projection import truncate_to_8bit
from simlib.report.attacks import median
from simlib.report.published import WHITE_BOX_PGD
from simlib.report.tables import Table

_WIDTH = 0.2
"""Width of the ranges of the ratio in the publication."""


def pgd_beside_published(result: AttackResult, photographs: Sequence[str], title: str) -> Table:
    """Compare a result of PGD under the paper's protocol with the published one.

    Args:
        result: of the metric called ``title``.
        photographs: of its triplets.
        title: of the metric.
    """
    known, done = WHITE_BOX_PGD, result.flipped
    change = (truncate_to_8bit(result.images) - truncate_to_8bit(result.original)) * LEVELS
    truncated = change.square().mean(dim=(1, 2, 3)).sqrt()[done]
    flips = result.steps[done].float()
    mean = float(flips.mean()) if len(flips) else None
    return Table(
        ("PGD, paper protocol", f"here, {title}", "published, LPIPS (Alex)"),
        (
            ("n", len(result), known.n),
            ("flipped", rate(done, photographs), known.rate),
            ("steps of the flipped, mean", mean, known.steps[0]),
            ("steps of the flipped, median", median(flips), known.steps[1]),
            (
                "RMSE of the flipped, truncated, in levels",
                _spread(truncated),
                "{:.3f} ± {:.3f}".format(*known.rmse),
            ),
            ("RMSE of the flipped, rounded, in levels", _spread(result.rmse[done]), None),
        ),
    )


def by_published_ratio(problem: RankFlip, flipped: Tensor) -> tuple[dict[str, Rate], list[float]]:
    """Part triplets by the ratio of the smaller distance to the larger, in the ranges of the publication.

    Args:
        problem: before the attack.
        flipped: (N,) of booleans.

    Returns:
        For each range that holds a triplet, by its name, the rate here; and, in their order, the published
        shares.
    """
    batch = problem.batch()
    with torch.no_grad():
        closer, farther = batch.distances(batch.original)
    ratio = (closer / farther).nan_to_num(1.0)
    here, published = dict[str, Rate](), list[float]()
    for upper, share in WHITE_BOX_PGD.rate_by_ratio.items():
        inside = (ratio >= upper - _WIDTH) & ((ratio < upper) | (upper == 1.0))
        if inside.any():
            here[f"{upper - _WIDTH:.1f} to {upper:.1f}"] = rate(flipped, problem.triplets.photographs, inside)
            published.append(share)
    return here, published


def _spread(values: Tensor) -> str:
    return f"{values.mean():.3f} ± {values.std():.3f}" if len(values) > 1 else "–"
