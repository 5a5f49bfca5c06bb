"""Figures of a benchmark: rates side by side, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from simlib.benchmark.statistics import Rate
from simlib.errors import InputError
from simlib.report.benchmark import named
from simlib.report.figures import described
from simlib.report.scale import Cost
from simlib.report.style import COLORS, LEGEND, MOST_SERIES, SYMBOLS, folded, in_lines, whiskers


def rate_dots(
    names: Sequence[str], series: Mapping[str, Sequence[Rate | None]], *, x_title: str
) -> go.Figure:
    """Draw rates with their 95 % intervals, names down the side; hovering shows n and the interval.

    Each series has a rate for each name; None leaves a gap. The alternative text tells all rates.

    Raises:
        InputError: if there are more series than can be told apart.
    """
    if len(series) > MOST_SERIES:
        raise InputError(
            f"{len(series)} series are too many to be told apart. Give up to {MOST_SERIES}, or a matrix."
        )
    figure = go.Figure()
    for place, (label, rates) in enumerate(series.items()):
        # The series of one name stand one under the other, the first on top.
        shift = 0.7 * ((place + 0.5) / len(series) - 0.5)
        there = [(i, rate) for i, (_, rate) in enumerate(zip(names, rates, strict=True)) if rate]
        figure.add_scatter(
            x=[rate.value for _, rate in there],
            y=[i + shift for i, _ in there],
            name=label,
            mode="markers",
            marker={"color": COLORS[place], "symbol": SYMBOLS[place], "size": 8},
            error_x=whiskers([rate for _, rate in there]),
            customdata=[f"{names[i]}, {label}<br>{in_lines(rate)}" for i, rate in there],
            hovertemplate="%{customdata}<extra></extra>",
        )
    return figure.update_layout(
        xaxis={"title": x_title, "tickformat": ".0%", "range": [-0.02, 1.02]},
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": [folded(name) for name in names],
            "range": [len(names) - 0.5, -0.5],
            "zeroline": False,
        },
        height=140 + len(names) * max(26, 15 * len(series)),
        meta={"alt": f"Marks with intervals: share {x_title}. {described(names, series)}."},
    )


def cost_bars(costs: Sequence[Cost], *, threads: int) -> go.Figure:
    """Draw what attacks cost, a bar for each attacked metric, in core seconds for a triplet.

    Costs are stacked in their order; so many threads took their seconds together. Costs that belong to no
    attack are left out.
    """
    costs = [cost for cost in costs if cost.metric]
    figure = go.Figure()
    names = list(dict.fromkeys(cost.metric for cost in costs))
    upwards = [folded(named(name).title) for name in reversed(names)]
    order = {"categoryorder": "array", "categoryarray": upwards}
    for color, part in zip(COLORS, dict.fromkeys(cost.part for cost in costs), strict=False):
        own = [cost for cost in costs if cost.part == part]
        figure.add_bar(
            x=[cost.seconds * threads for cost in own],
            y=[folded(named(cost.metric).title) for cost in own],
            orientation="h",
            name=part,
            marker={"color": color, "line": {"width": 1, "color": "white"}},
            customdata=[
                f"{named(cost.metric).title}, {cost.attack}<br>{cost.seconds * threads:.3g} core seconds"
                for cost in own
            ],
            hovertemplate="%{customdata}<extra></extra>",
        )
    dearest = max(costs, key=lambda cost: cost.seconds)
    total = sum(cost.seconds for cost in costs) * threads
    alt = (
        "Bars of core seconds a triplet, one for each attack on each metric. The longest is "
        f"{dearest.attack} on {named(dearest.metric).title}, {dearest.seconds * threads:.2g}; "
        f"all attacks together take {total:.2g}."
    )
    return figure.update_layout(
        barmode="stack",
        xaxis={"title": "core seconds a triplet", "rangemode": "tozero"},
        yaxis={**order, "ticks": "outside", "tickcolor": "rgba(0,0,0,0)"},
        legend=LEGEND,
        height=180 + 40 * len(names),
        meta={"alt": alt},
    )
