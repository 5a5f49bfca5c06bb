"""The gallery of metrics: what each one measures, needs and costs, and where they disagree."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import plotly.graph_objects as go
import torch
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from simlib.benchmark.statistics import Rate
from simlib.checkout import WEIGHTS_VARIABLE
from simlib.given import given_path
from simlib.metrics import Metric, MetricSpec, require_metric, why_absent
from simlib.metrics.timing import Timing
from simlib.report.figures import rate_matrix
from simlib.report.published import EXAMPLE_TRIPLET
from simlib.report.style import COLORS
from simlib.report.tables import Cell, Table
from simlib.triplets import Triplets, example_triplet, require_triplets

COLUMNS: Mapping[str, Callable[[MetricSpec], Cell]] = {
    "name": lambda spec: spec.name,
    "metric": lambda spec: spec.title,
    "family": lambda spec: spec.family,
    "what it measures": lambda spec: spec.summary,
    "least side": lambda spec: spec.least_side,
    "gradient": lambda spec: "yes" if spec.differentiable else "no",
    "weights": lambda spec: ", ".join(spec.weights) or "none",
    "here now": lambda spec: "no" if why_absent(spec.name) else "yes",
    "package": lambda spec: spec.library,
    "licence of package and weights": lambda spec: spec.licence,
    "values": lambda spec: spec.values,
    "checked against": lambda spec: spec.verified,
    "citation": lambda spec: spec.citation or "none",
}
"""What can be told of a metric without measuring. The least side is in pixels."""


def described(spec: MetricSpec, columns: Sequence[str]) -> tuple[Cell, ...]:
    """Return the cells of a metric in some of :data:`COLUMNS`."""
    return tuple(COLUMNS[each](spec) for each in columns)


def specs_as_table(specs: Sequence[MetricSpec], columns: Sequence[str]) -> Table:
    """Show some of :data:`COLUMNS`, from left to right, with a row for each metric."""
    return Table(tuple(columns), tuple(described(spec, columns) for spec in specs))


def cost_dots(costs: Mapping[str, Timing]) -> go.Figure:
    """Draw the milliseconds of a pair of images by metric, the cheapest lowest, without and with gradient."""
    titles = sorted(costs, key=lambda title: costs[title].both or costs[title].forward)
    figure = go.Figure()
    for name, color, symbol, part in (
        ("distance", COLORS[0], "circle-open", "forward"),
        ("with gradient", COLORS[1], "circle", "both"),
    ):
        figure.add_scatter(
            x=[getattr(costs[title], part) for title in titles],
            y=titles,
            name=name,
            mode="markers",
            marker={"color": color, "size": 9, "symbol": symbol},
        )
    return figure.update_layout(
        xaxis={"type": "log", "title": "milliseconds a pair", "dtick": 1},
        yaxis={"automargin": True, "dtick": 1},
        height=120 + 22 * len(titles),
        meta={
            "alt": f"Dots for {len(titles)} metrics; {titles[0]} is the cheapest, {titles[-1]} the dearest."
        },
    )


def lpips_example(folder: str = "") -> Triplets | None:
    """Read the example triplet of LPIPS; None where its images are not at hand.

    Args:
        folder: where they are; if empty, the folder ``examples`` beside that of the weights.
    """
    weights = given_path(os.environ.get(WEIGHTS_VARIABLE, "."))
    place = given_path(folder) if folder else weights.parent / "examples"
    return example_triplet(place) if (place / "ex_ref.png").exists() else None


def example_as_table(metrics: Sequence[Metric], example: Triplets) -> Table:
    """Show the distances of an example's two images, those that are published, and which image is closer.

    Args:
        metrics: those that the images are too small for are left out.
        example: one triplet.
    """
    rows = list[tuple[Cell, ...]]()
    for metric in fitting(metrics, example)[0]:
        first, second = (float(metric(example.ref, image)) for image in (example.p0, example.p1))
        known = EXAMPLE_TRIPLET.get(metric.spec.name, (None, None))
        closer = "second" if first > second else "first"
        rows.append((metric.spec.title, first, known[0], second, known[1], closer))
    header = ("metric", "first", "first, published", "second", "second, published", "closer")
    return Table(header, tuple(rows))


def fitting(metrics: Sequence[Metric], triplets: Triplets) -> tuple[list[Metric], list[str]]:
    """Return the metrics that images of this size are large enough for, and the titles of the others."""
    for metric in metrics:
        require_metric(metric, "a metric")
    require_triplets(triplets)
    side = min(triplets.ref.shape[-2:])
    fit = [metric for metric in metrics if metric.spec.least_side <= side]
    return fit, [metric.spec.title for metric in metrics if metric not in fit]


def range_boxes(measured: Mapping[str, tuple[Tensor, Tensor]]) -> go.Figure:
    """Draw in which range the distances of metrics lie: median, middle half and ends of what is above zero.

    Args:
        measured: for each metric, by its title, the distances (N,) of the first and of the second images.
    """
    pooled = {title: torch.cat(pair).double().cpu() for title, pair in measured.items()}
    above = {title: values[values > 0] for title, values in pooled.items() if (values > 0).any()}
    points = torch.tensor([0, 0.25, 0.5, 0.75, 1], dtype=torch.double)
    parts = [values.quantile(points).tolist() for values in above.values()]
    names = ("lowerfence", "q1", "median", "q3", "upperfence")
    box = dict(zip(names, map(list, zip(*parts, strict=True)), strict=True))
    told = ", ".join(
        f"{title} {part[0]:.2g} to {part[-1]:.2g}" for title, part in zip(above, parts, strict=True)
    )
    figure = go.Figure(go.Box(y=list(above), orientation="h", marker_color=COLORS[0], line_width=1.5, **box))
    return figure.update_layout(
        xaxis={"type": "log", "title": "distance", "exponentformat": "power", "dtick": 2},
        yaxis={"automargin": True, "autorange": "reversed", "dtick": 1},
        height=120 + 26 * len(above),
        meta={"alt": f"Box plots of distances, each metric in a range of its own: {told}."},
    )


def alike_together(apart: Sequence[Sequence[Rate | None]]) -> list[int]:
    """Order metrics so that those which rank alike stand beside each other, by average linkage.

    Args:
        apart: how often every two disagree, a square, None on its diagonal.

    Returns:
        Their positions in the new order.
    """
    if len(apart) < 3:
        return list(range(len(apart)))
    shares = [[0.0 if cell is None else cell.value for cell in row] for row in apart]
    return leaves_list(linkage(squareform(shares, checks=False), "average")).tolist()


def disagreement_matrix(titles: Sequence[str], apart: Sequence[Sequence[Rate | None]]) -> go.Figure:
    """Draw how often every two metrics disagree, in the order of :func:`alike_together`."""
    order = alike_together(apart)
    named = [titles[i] for i in order]
    pairs = sorted(
        (cell.value, f"{titles[i]} and {titles[j]}, {cell.value:.0%}")
        for i, row in enumerate(apart)
        for j, cell in enumerate(row[:i])
        if cell
    )
    ends = f": the least {pairs[0][1]}; the most {pairs[-1][1]}" if pairs else ""
    alt = f"A matrix of the share of triplets that each two of {', '.join(named)} rank differently{ends}."
    figure = rate_matrix(named, [[apart[i][j] for j in order] for i in order], alt=alt)
    # Without a fixed distance, a narrow page leaves out labels that would cover each other.
    return figure.update_xaxes(dtick=None, tickangle=-90, tickfont={"size": 9})
