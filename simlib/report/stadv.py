"""Figures of what stAdv found: pixels that moved, how far, and under which form of smoothness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import plotly.graph_objects as go
import torch
from torch import Tensor

from simlib.attacks import AttackResult, RankFlip
from simlib.report.flows import LONG, Moved, flicker, flow_colors
from simlib.report.pictures import Panel, picture_grid
from simlib.report.style import COLORS

_EDGES = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3)
"""Where bars of the length of a flow begin, in pixels; the last one has no end."""


def moves(problem: RankFlip, result: AttackResult, positions: Sequence[int]) -> dict[str, Moved]:
    """Return what stAdv did to some triplets, numbered from 1, with the distances to tell under the images.

    Args:
        problem: what was attacked; its target is the closer image.
        result: what stAdv found for it.
        positions: of the triplets to show.
    """
    chosen = list(positions)
    before, after = result.original[chosen], result.images[chosen]
    with torch.no_grad():
        batch = problem[chosen].batch()
        (was, other), (now, _) = batch.distances(before), batch.distances(after)
    told = [
        (f"distance {a:.4f}", f"now {b:.4f}, other {c:.4f}")
        for a, b, c in zip(was.tolist(), now.tolist(), other.tolist(), strict=True)
    ]
    parts = zip(before, after, result.details["flow"][chosen], told, strict=True)
    return {str(number): Moved(*each) for number, each in enumerate(parts, start=1)}


def taking_turns(moved: Mapping[str, Moved]) -> go.Figure:
    """Let images before and after stAdv take turns, side by side; see :func:`simlib.report.flows.flicker`."""
    before = [Panel(each.original, each.captions[0], f"triplet {name}") for name, each in moved.items()]
    after = [
        Panel(each.attacked, each.captions[1].split(",")[0], f"triplet {name}")
        for name, each in moved.items()
    ]
    alt = (
        f"{len(moved)} images before the attack, which take turns with the attacked ones when play is "
        "pressed. What changes is mostly where edges lie."
    )
    return flicker(before, after, alt=alt)


def length_bars(flows: Mapping[str, Tensor]) -> go.Figure:
    """Draw how far pixels move: the share of all pixels by the length of their flow.

    Args:
        flows: (N, 2, H, W) in pixels, by the name of their bars; one without an image has no bars.
    """
    labels = [*(f"{low:g} to {high:g}" for low, high in pairwise(_EDGES)), f"over {_EDGES[-1]:g}"]
    figure, medians = go.Figure(), list[str]()
    for color, (name, flow) in zip(COLORS, flows.items(), strict=False):
        if not len(flow):
            continue
        lengths = flow.norm(dim=1).flatten().cpu()
        bins = torch.bucketize(lengths, torch.tensor(_EDGES[1:]))
        shares = torch.bincount(bins, minlength=len(labels)).double() / len(lengths)
        images = f"{len(flow)} image{'s' * (len(flow) > 1)}"
        figure.add_bar(
            x=labels,
            y=[round(share, 5) for share in shares.tolist()],
            name=f"{name}, {images}",
            marker_color=color,
            hovertemplate="%{x} pixels: %{y:.1%}<extra>" + name + "</extra>",
        )
        medians.append(f"{name} {float(lengths.median()):.2g} pixels ({images})")
    alt = f"Bars of the share of pixels by how far they move. Medians: {'; '.join(medians) or 'no image'}."
    y_axis = {"title": "share of pixels", "tickformat": ".0%"}
    return figure.update_layout(
        xaxis_title="length of the flow, pixels", yaxis=y_axis, height=420, meta={"alt": alt}
    )


def flows_side_by_side(results: Mapping[str, AttackResult], positions: Sequence[int]) -> go.Figure:
    """Show images before stAdv, and beside each the flows that several forms of it found, as colours.

    Args:
        results: by the name of their form, all of the same first triplets.
        positions: of the triplets to show, a row each; its flows share one scale.
    """
    rows = [_row_of_flows(results, position) for position in positions]
    forms = ", ".join(results)
    alt = f"Rows of an image and its flows painted as colours, one for each form of smoothness: {forms}."
    return picture_grid(rows, alt=alt)


def _row_of_flows(results: Mapping[str, AttackResult], position: int) -> list[Panel]:
    lengths = [result.details["flow"][position].norm(dim=0) for result in results.values()]
    long = max(float(each.quantile(LONG)) for each in lengths)
    panels = [Panel(next(iter(results.values())).original[position], title="before the attack")]
    for (form, result), length in zip(results.items(), lengths, strict=True):
        flipped = "flipped" if result.flipped[position] else "not flipped"
        told = f"longest way<br>{float(length.max()):.2g} pixels,<br>{flipped}"
        panels.append(Panel(flow_colors(result.details["flow"][position], long), told, f"flow, {form}"))
    return panels
