"""What the chapter on the other two images shows: slopes at the start, and references before and after."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from torch import Tensor

from simlib.attacks import AttackResult, RankFlip
from simlib.attacks.objective import margin_and_gradient, slope
from simlib.kernels.images import LEVELS
from simlib.report.pictures import Panel, amplified_change, picture_slider

_AT_ONCE = 64
"""Triplets whose gradients are in memory together."""

_GAIN = 20
"""How much the change of a reference is amplified."""


def levels_of_a_straight_line(problem: RankFlip) -> Tensor:
    """Return the step along the sign of the gradient that would flip each rank if its margin were linear.

    Returns:
        (N,) in levels of 255; huge where the margin has no slope.

    Raises:
        NoGradientError: if the metric gives no gradient.
    """
    levels = []
    for start in range(0, len(problem), _AT_ONCE):
        batch = problem.batch(start, start + _AT_ONCE)
        margin, gradient = margin_and_gradient(batch, batch.original, "margin")
        levels.append(-margin / slope(gradient, "linf") * LEVELS)
    return torch.cat(levels)


def reference_slider(problem: RankFlip, result: AttackResult, shown: Sequence[int]) -> go.Figure:
    """Show references before and after an attack, and under them both images with their distances.

    Args:
        problem: its target is the reference.
        result: of an attack on it.
        shown: positions of the triplets on offer, one or more; a stop of the slider each.
    """
    part, places = problem[shown], list(shown)
    before, after = result.original[places], result.images[places]
    batch = part.batch()
    with torch.no_grad():
        # (triplets, closer and farther, before and after)
        distances = torch.stack([torch.stack(batch.distances(refs), 1) for refs in (before, after)], 2)
    sides = [RankFlip(part.metric, part.triplets, side).batch().original for side in ("closer", "farther")]
    change = amplified_change(after, before, _GAIN)
    rows = {}
    for i in range(len(places)):
        captions = [f"distance {first:.4f},<br>then {then:.4f}" for first, then in distances[i].tolist()]
        rows[str(i + 1)] = [
            [
                Panel(before[i], title="reference, before"),
                Panel(after[i], title="reference, after"),
                Panel(change[i], f"{_GAIN} times amplified", "what changed"),
            ],
            [
                Panel(sides[0][i], captions[0], "closer before"),
                Panel(sides[1][i], captions[1], "farther before"),
            ],
        ]
    alt = (
        f"A slider over {len(rows)} triplets. Each shows the reference before and after the attack and the "
        f"change amplified {_GAIN} times, and under them the two other images with their distances to both "
        f"references. The metric is {part.metric.spec.title}."
    )
    return picture_slider(rows, alt=alt)
